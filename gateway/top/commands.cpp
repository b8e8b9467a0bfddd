#include <headgate/io/run.hpp>

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>

#include <gateway/top/answers.hpp>
#include <gateway/top/commands.hpp>
#include <gateway/top/screen.hpp>
#include <gateway/top/top.hpp>
#include <gateway/top/words.hpp>
#include <gateway/units.hpp>

namespace headgate::gateway::top {

namespace {

constexpr duration answer_timeout = std::chrono::seconds(30);
constexpr int nothing_fits = 3, not_ready = 3;

void print_json(const std::string& text) { fmt::print("{}{}", text, text.ends_with('\n') ? "" : "\n"); }

int refused(const admin::reply& r) {
    fmt::print(stderr, "the gateway has refused ({}): {}\n", r.status, read_problem(r.body));
    return 1;
}

int not_understood(const std::string& why) {
    fmt::print(stderr, "{}\n", why);
    return 1;
}

void print_flows(const std::vector<flow_row>& flows) {
    if (flows.empty()) return;
    constexpr const char* row = "{:<12}  {:<22}  {:>9}  {:>9}  {:>14}  {:<15}  {:<12}  {}\n";
    fmt::print(row, "ID", "WAITS FOR", "HELD", "MOVED", "AGE", "CLIENT", "ROUTE", "WHAT");
    for (const flow_row& f : flows) {
        const judgement j = judge(f);
        const std::string brief = j.how == judgement::level::fine   ? "moves"
                                  : j.how == judgement::level::slow ? "slow: " + j.brief
                                                                    : j.brief;
        fmt::print(row, f.id, brief, bytes_text(f.held), bytes_text(f.up + f.down), time_text(f.age_ms), f.client,
                   f.route, f.what());
    }
}

task<int> show_flows(admin::target where, flow_query which, duration stalled, bool json) {
    const admin::reply r =
        co_await admin::ask(std::move(where), "GET", which.path(), "application/json", answer_timeout);
    if (!r.good()) co_return refused(r);
    auto list = read_flows(r.body);
    if (!list) co_return not_understood(list.error());
    const double least = std::chrono::duration<double, std::milli>(stalled).count();
    if (least > 0) std::erase_if(list->flows, [least](const flow_row& f) { return f.stalled_ms < least; });
    if (json)
        print_json(least > 0 ? only_stalled(r.body, least) : r.body);
    else
        print_flows(list->flows);
    co_return list->flows.empty() ? nothing_fits : 0;
}

void print_status(const overview& o) {
    fmt::print("headgate {}, process {}, {}, up {}, {} workers\n", o.version, o.pid,
               o.draining ? "ending"
               : o.ready  ? "ready"
                          : "not ready",
               time_text(o.uptime_s * 1000), o.workers);
    fmt::print(
        "{} flows, {} stalled, {} connections, {:.0f} requests/s, {:.0f} errors/s, {}/s to clients, {}/s from them\n",
        o.flows, o.stalled(), o.connections, o.requests_per_s, o.errors_per_s,
        bytes_text(static_cast<std::uint64_t>(o.down_per_s)), bytes_text(static_cast<std::uint64_t>(o.up_per_s)));
    if (o.memory) fmt::print("memory       {} of {}\n", bytes_text(o.memory->used), bytes_text(o.memory->limit));
    if (o.spool) fmt::print("spool        {} of {}\n", bytes_text(o.spool->used), bytes_text(o.spool->limit));
    if (o.descriptors) fmt::print("descriptors  {} of {}\n", o.descriptors->used, o.descriptors->limit);
    for (const route_row& r : o.routes)
        fmt::print("route        {}: {} flows, {} stalled; {} wait for clients, {} for upstreams, {} for databases, {} "
                   "for stages\n",
                   r.name, r.flows, r.stalled, r.client, r.upstream, r.database, r.stage);
    for (const upstream_row& u : o.upstreams) {
        const auto well = std::ranges::count_if(
            u.endpoints, [](const endpoint_row& e) { return e.healthy && !e.ejected && !e.draining; });
        fmt::print("upstream     {}: {} of {} endpoints well, {} connections in use, {} kept, circuit {}\n", u.name,
                   well, u.endpoints.size(), u.busy, u.idle, u.circuit);
    }
    for (const source_row& s : o.sources)
        fmt::print(
            "database     {}: {} of {} connections in use, {} wait, {} of {} given back before the client was done\n",
            s.name, s.busy, s.size, s.waiting, s.returned_early, s.leases);
}

task<int> show_status(admin::target where, bool json) {
    const admin::reply r =
        co_await admin::ask(std::move(where), "GET", "/api/v1/overview", "application/json", answer_timeout);
    if (!r.good()) co_return refused(r);
    const auto o = read_overview(r.body);
    if (!o) co_return not_understood(o.error());
    if (json)
        print_json(r.body);
    else
        print_status(*o);
    co_return o->ready && !o->draining ? 0 : not_ready;
}

} // namespace

commands::commands(CLI::App& app)
    : top_(app.add_subcommand("top", "Show what flows through a running gateway, and whom it waits for")),
      flows_(app.add_subcommand("flows", "List what flows through a running gateway; exits with 3 if nothing fits")),
      status_(app.add_subcommand("status", "Say how a running gateway is; exits with 3 if it is not ready")) {
    for (CLI::App* c : {top_, flows_, status_}) where_.add(*c);
    for (CLI::App* c : {top_, flows_})
        c->add_option("--search", which_.search, "Only flows whose target, client or id contains it")
            ->type_name("TEXT");
    for (CLI::App* c : {flows_, status_}) c->add_flag("--json", json_, "What the admin server answers, as it is");
    std::vector<std::string> keys;
    for (const order& o : orders) keys.emplace_back(o.key);
    flows_->add_option("--sort", which_.sort, "What comes first")->check(CLI::IsMember(keys))->capture_default_str();
    flows_->add_option("--limit", which_.limit, "The most flows to list")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    flows_->add_option("--route", which_.route, "Only flows of this route")->type_name("NAME");
    flows_->add_option("--client", which_.client, "Only flows of this client")->type_name("ADDRESS");
    flows_->add_option("--upstream", which_.upstream, "Only flows to this endpoint")->type_name("ADDRESS");
    flows_->add_option("--kind", which_.kind, "Only such flows: request, upgrade, tunnel, export, static")
        ->type_name("KIND");
    flows_
        ->add_option_function<std::string>(
            "--stalled",
            [this](const std::string& text) {
                const auto d = parse_duration(text);
                if (!d) throw CLI::ValidationError("--stalled", d.error());
                stalled_ = *d;
            },
            "Only flows without a byte for so long")
        ->type_name("TIME");
}

std::optional<int> commands::run() const {
    if (!*top_ && !*flows_ && !*status_) return std::nullopt;
    auto where = where_.resolve();
    if (!where) return where.error();
    if (*top_) return headgate::run(run_top(std::move(*where), which_.search));
    if (*flows_) return headgate::run(show_flows(std::move(*where), which_, stalled_, json_));
    return headgate::run(show_status(std::move(*where), json_));
}

} // namespace headgate::gateway::top
