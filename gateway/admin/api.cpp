#include <headgate/core/sleep.hpp>

#include <algorithm>
#include <charconv>
#include <tuple>

#include <fmt/format.h>
#include <unistd.h>

#include <gateway/admin/api.hpp>
#include <gateway/config/explain.hpp>
#include <gateway/observe/flow_survey.hpp>
#include <gateway/tell.hpp>

namespace headgate::gateway::admin {

namespace {

answer refused(int status, std::string why) { return {.status = status, .text = std::move(why) + "\n"}; }
answer nobody_answers() { return refused(503, "no worker answers"); }
answer as_json(std::string text) {
    text += '\n';
    return {.text = text, .json = text};
}

constexpr std::pair<std::string_view, flow_order> orders[] = {{"stalled", flow_order::stalled},
                                                              {"held", flow_order::held},
                                                              {"age", flow_order::age},
                                                              {"hold", flow_order::hold},
                                                              {"bytes", flow_order::bytes}};

// A number of the query, from 1 to `most`. The error is for the client.
std::expected<std::size_t, std::string> limit_of(const asked& rq, std::size_t otherwise, std::size_t most) {
    const auto given = rq.parameter("limit");
    if (!given) return otherwise;
    std::size_t n = 0;
    const auto [end, wrong] = std::from_chars(given->data(), given->data() + given->size(), n);
    if (wrong != std::errc() || end != given->data() + given->size() || n == 0 || n > most)
        return std::unexpected(fmt::format("limit must be a number from 1 to {}", most));
    return n;
}

std::expected<flow_query, std::string> query_of(const asked& rq) {
    flow_query q;
    const auto limit = limit_of(rq, q.limit, flow_query::limit_max);
    if (!limit) return std::unexpected(limit.error());
    q.limit = *limit;
    if (const auto sort = rq.parameter("sort")) {
        const auto found = std::ranges::find(orders, *sort, &std::pair<std::string_view, flow_order>::first);
        if (found == std::end(orders)) return std::unexpected("sort must be stalled, held, age, hold or bytes");
        q.sort = found->second;
    }
    q.route = rq.parameter("route").value_or("");
    q.client = rq.parameter("client").value_or("");
    q.upstream = rq.parameter("upstream").value_or("");
    q.kind = rq.parameter("kind").value_or("");
    q.search = rq.parameter("search").value_or("");
    return q;
}

// The pages of all workers as one. Nothing if there is none.
std::optional<flow_page> joined(std::vector<std::optional<flow_page>> pages, const flow_query& q) {
    flow_page all;
    bool any = false;
    std::map<std::string, route_totals> routes;
    for (std::size_t w = 0; w < pages.size(); ++w) {
        if (!pages[w]) continue;
        any = true;
        all.total += pages[w]->total;
        all.matched += pages[w]->matched;
        for (route_totals& r : pages[w]->routes) {
            const auto [at, fresh] = routes.try_emplace(r.route, r);
            if (!fresh) at->second.add(r);
        }
        for (flow_view& f : pages[w]->flows) {
            f.worker = w;
            all.flows.push_back(std::move(f));
        }
    }
    if (!any) return std::nullopt;
    std::ranges::sort(all.flows, [](const flow_view& a, const flow_view& b) {
        return a.rank != b.rank ? a.rank > b.rank : std::tie(a.worker, a.number) < std::tie(b.worker, b.number);
    });
    if (all.flows.size() > q.limit) all.flows.resize(q.limit);
    for (auto& [name, r] : routes) all.routes.push_back(std::move(r));
    return all;
}

// What has ended lately on one worker.
struct ended_page {
    std::vector<ended_flow> flows{};
    std::uint64_t serial = 0;
    std::uint64_t skipped = 0;
};

ended_page ended_of(worker& w, std::size_t limit, std::uint64_t after) {
    ended_page p{.serial = after};
    p.flows = w.flows.ended(limit, p.serial, p.skipped);
    return p;
}

// Of all workers, newest first.
std::vector<ended_flow> joined(std::vector<std::optional<ended_page>>& pages, std::size_t limit) {
    std::vector<ended_flow> all;
    for (std::size_t w = 0; w < pages.size(); ++w) {
        if (!pages[w]) continue;
        for (ended_flow& e : pages[w]->flows) {
            e.worker = w;
            all.push_back(e);
        }
    }
    std::ranges::sort(all, std::greater(), &ended_flow::ended_at);
    if (all.size() > limit) all.resize(limit);
    return all;
}

const route_totals& totals_of(const worker_state& s, const std::string& route) {
    static const route_totals none{};
    const auto found = s.routes.find(route);
    return found == s.routes.end() ? none : found->second;
}

void write_route_totals(json_writer& out, const worker_state& s) {
    out.key("routes").begin_array();
    for (const auto& [name, r] : s.routes) write(out, r);
    out.end_array();
}

const char* action_of(const route_config& r) {
    static constexpr const char* names[] = {"proxy", "redirect", "respond", "static", "export", "tcp"};
    return names[r.action.index()];
}

} // namespace

std::vector<endpoint> api::endpoints() {
    return {{"GET", "/api/v1/flows", [this](asked rq) { return flows(std::move(rq)); }},
            {"GET", "/api/v1/flows/ended", [this](asked rq) { return ended(std::move(rq)); }},
            {"GET", "/api/v1/flows/{id}", [this](asked rq) { return flow(std::move(rq)); }},
            {"DELETE", "/api/v1/flows/{id}", [this](asked rq) { return abort_flow(std::move(rq)); }},
            {"GET", "/api/v1/overview", [this](const asked&) { return overview(); }},
            {"GET", "/api/v1/routes", [this](const asked&) { return routes(); }},
            {"GET", "/api/v1/upstreams", [this](const asked&) { return upstreams(); }},
            {"POST", "/api/v1/upstreams/{name}/endpoints/{address}/drain",
             [this](asked rq) { return drain(std::move(rq), true); }},
            {"POST", "/api/v1/upstreams/{name}/endpoints/{address}/undrain",
             [this](asked rq) { return drain(std::move(rq), false); }},
            {"GET", "/api/v1/sources", [this](const asked&) { return sources(); }},
            {"GET", "/api/v1/config", [this](asked rq) { return show_config(std::move(rq)); }},
            {"GET", "/api/v1/log-level", [this](const asked&) { return level(); }},
            {"PUT", "/api/v1/log-level", [this](asked rq) { return set_level(std::move(rq)); }},
            {"GET", "/api/v1/events", [this](asked rq) { return events(std::move(rq)); }},
            {"GET", "/metrics", [this](const asked&) { return metrics(); }}};
}

// ---- flows

task<std::string> api::flows_json(flow_query q) {
    auto page = joined(co_await workers_.ask_slowly<flow_page>([q](worker& w) { return survey(&w.flows, q); }), q);
    if (!page) co_return std::string();
    json_writer out;
    out.begin_object()
        .field("time", utc_text(std::chrono::system_clock::now()))
        .field("total", page->total)
        .field("matched", page->matched)
        .key("routes")
        .begin_array();
    for (const route_totals& r : page->routes) write(out, r);
    out.end_array().key("flows").begin_array();
    for (const flow_view& f : page->flows) write(out, f, false);
    out.end_array().end_object();
    co_return out.take();
}

task<answer> api::flows(asked rq) {
    auto q = query_of(rq);
    if (!q) co_return refused(400, q.error());
    std::string text = co_await flows_json(std::move(*q));
    co_return text.empty() ? nobody_answers() : as_json(std::move(text));
}

task<answer> api::flow(asked rq) {
    const auto id = parse_flow_id(rq.segments.front());
    if (!id) co_return refused(404, "there is no such flow");
    using found = std::optional<flow_view>;
    auto all = co_await workers_.ask<found>([n = id->number](worker& w) { return w.flows.find(n); });
    if (id->worker >= all.size()) co_return refused(404, "there is no such flow");
    if (!all[id->worker]) co_return nobody_answers();
    auto& f = *all[id->worker];
    if (!f) co_return refused(404, "there is no such flow, or it has ended");
    f->worker = id->worker;
    json_writer out;
    write(out, *f, true);
    co_return as_json(out.take());
}

task<answer> api::abort_flow(asked rq) {
    const auto id = parse_flow_id(rq.segments.front());
    if (!id || id->worker >= workers_.size()) co_return refused(404, "there is no such flow");
    auto all = co_await workers_.ask_one<bool>(id->worker, [n = id->number](worker& w) { return w.flows.abort(n); });
    if (!all) co_return nobody_answers();
    if (!*all) co_return refused(404, "there is no such flow, or it has ended");
    co_return answer{.status = 202, .text = "headgate: aborted\n", .json = "{\"aborted\":true}\n"};
}

task<answer> api::ended(asked rq) {
    const auto limit = limit_of(rq, 100, flow_query::limit_max);
    if (!limit) co_return refused(400, limit.error());
    auto pages = co_await workers_.ask<ended_page>([n = *limit](worker& w) { return ended_of(w, n, 0); });
    json_writer out;
    out.begin_object().key("flows").begin_array();
    for (const ended_flow& e : joined(pages, *limit)) write(out, e);
    out.end_array().end_object();
    co_return as_json(out.take());
}

// ---- all together

task<std::optional<worker_state>> api::ask_state() {
    const auto all = co_await workers_.ask_slowly<worker_state>([](worker& w) { return state_of(&w); });
    std::optional<worker_state> sum;
    for (const auto& s : all) {
        if (!s) continue;
        if (sum)
            sum->add(*s);
        else
            sum = *s;
    }
    co_return sum;
}

// Counted anew once a second, however many ask.
std::optional<api::rates> api::rates_of(const worker_state& s) {
    totals now;
    for (const auto& [name, m] : s.meters) {
        for (const std::uint64_t n : m.answers) now.requests += n;
        now.errors += m.errors;
        now.up += m.up_bytes + totals_of(s, name).up_bytes;
        now.down += m.down_bytes + totals_of(s, name).down_bytes;
    }
    const time_point at = executor::current().now();
    const duration passed = at - before_at_;
    if (passed < event_interval - std::chrono::milliseconds(100)) return rates_;
    const double seconds = std::chrono::duration<double>(passed).count();
    const auto per_second = [&](std::uint64_t a, std::uint64_t b) {
        return a < b ? 0 : static_cast<double>(a - b) / seconds;
    };
    constexpr duration too_long_ago = std::chrono::seconds(10);
    if (before_at_ == time_point() || passed > too_long_ago)
        rates_.reset();
    else
        rates_ = {per_second(now.requests, before_.requests), per_second(now.errors, before_.errors),
                  per_second(now.up, before_.up), per_second(now.down, before_.down)};
    before_ = now;
    before_at_ = at;
    return rates_;
}

task<std::string> api::overview_json() {
    const auto s = co_await ask_state();
    if (!s) co_return std::string();
    const process_facts process = process_now();
    json_writer out;
    out.begin_object()
        .field("time", utc_text(std::chrono::system_clock::now()))
        .field("version", HEADGATE_VERSION)
        .field("pid", ::getpid())
        .field("uptime_s", std::chrono::duration<double>(executor::current().now() - facts_.begun).count())
        .field("ready", facts_.ready)
        .field("draining", !facts_.ready)
        .field("workers", workers_.size())
        .field("stalled_after_ms", stall_begins)
        .field("connections", s->live.connections)
        .field("requests", s->live.requests)
        .field("flows", s->flows)
        .key("memory");
    if (const memory_budget* b = workers_.budget())
        out.begin_object().field("used_bytes", b->used()).field("limit_bytes", b->limit()).end_object();
    else
        out.null();
    const auto spool = workers_.current().spool_levels().front();
    out.key("spool").begin_object().field("used_bytes", spool.used);
    out.field("limit_bytes", spool.limit == unlimited ? std::nullopt : std::optional(spool.limit)).end_object();
    out.key("descriptors").begin_object();
    out.field("used", process.descriptors).field("limit", process.descriptors_max).end_object();
    out.field("rss_bytes", process.rss_bytes).key("rates").begin_object();
    const auto r = rates_of(*s);
    const auto rate = [&](double rates::* which) { return r ? std::optional((*r).*which) : std::nullopt; };
    out.field("requests_per_s", rate(&rates::requests))
        .field("down_bytes_per_s", rate(&rates::down))
        .field("up_bytes_per_s", rate(&rates::up))
        .field("errors_per_s", rate(&rates::errors))
        .end_object();
    write_route_totals(out, *s);
    out.key("upstreams").begin_array();
    for (const auto& [name, u] : s->upstreams) write(out, name, u);
    out.end_array().key("sources").begin_array();
    for (const auto& [name, source] : s->sources) write(out, name, source);
    out.end_array().end_object();
    co_return out.take();
}

task<answer> api::overview() {
    std::string text = co_await overview_json();
    co_return text.empty() ? nobody_answers() : as_json(std::move(text));
}

task<answer> api::routes() {
    const auto s = co_await ask_state();
    if (!s) co_return nobody_answers();
    json_writer out;
    out.begin_object().key("routes").begin_array();
    for (const route_config& r : workers_.current().of().routes) {
        route_totals t = totals_of(*s, r.name);
        t.route = r.name;
        json_writer one;
        write(one, t);
        std::string text = one.take();
        text.pop_back(); // more follows in the same object
        const auto m = s->meters.find(r.name);
        const route_meters none{};
        const route_meters& counts = m == s->meters.end() ? none : m->second;
        std::uint64_t requests = 0;
        for (const std::uint64_t n : counts.answers) requests += n;
        json_writer listeners;
        std::string names;
        for (const std::string& l : r.listeners) names += (names.empty() ? "" : " ") + l;
        listeners.text_field("listener", names);
        out.raw(text + fmt::format(",\"requests_total\":{},\"errors_total\":{},{},\"action\":\"{}\"}}", requests,
                                   counts.errors, listeners.take(), action_of(r)));
    }
    out.end_array().end_object();
    co_return as_json(out.take());
}

task<answer> api::upstreams() {
    const auto s = co_await ask_state();
    if (!s) co_return nobody_answers();
    json_writer out;
    out.begin_object().key("upstreams").begin_array();
    for (const auto& [name, u] : s->upstreams) write(out, name, u);
    out.end_array().end_object();
    co_return as_json(out.take());
}

task<answer> api::sources() {
    const auto s = co_await ask_state();
    if (!s) co_return nobody_answers();
    json_writer out;
    out.begin_object().key("sources").begin_array();
    for (const auto& [name, source] : s->sources) write(out, name, source);
    out.end_array().end_object();
    co_return as_json(out.take());
}

task<answer> api::drain(asked rq, bool on) {
    const auto done = co_await workers_.ask<bool>([name = rq.segments[0], to = rq.segments[1], on](worker& w) {
        const auto& now = w.config().now();
        if (!now) return false;
        const auto& all = now->shared->of().upstreams;
        bool found = false;
        for (std::size_t i = 0; i < all.size(); ++i)
            if (all[i].name == name && now->upstreams[i]->drain(to, on)) found = true;
        return found;
    });
    if (std::ranges::all_of(done, [](const auto& d) { return !d; })) co_return nobody_answers();
    if (std::ranges::none_of(done, [](const auto& d) { return d && *d; }))
        co_return refused(404, "there is no such upstream, or it has no such endpoint");
    json_writer out;
    out.begin_object().field("address", rq.segments[1]).field("draining", on).end_object();
    co_return as_json(out.take());
}

task<answer> api::metrics() {
    const auto s = co_await ask_state();
    if (!s) co_return nobody_answers();
    co_return answer{.text = metrics_text(*s, facts_, workers_),
                     .text_type = "text/plain; version=0.0.4; charset=utf-8"};
}

// ---- the rest

task<answer> api::show_config(asked rq) {
    const snapshot& now = workers_.current();
    const auto parts = explain_all(now.of(), now.origin() ? *now.origin() : config_origin());
    json_writer out;
    out.begin_object().text_field("file", now.origin() ? now.origin()->file : "").key("parts").begin_array();
    for (const explained_part& p : parts) {
        out.begin_object().field("kind", p.kind).text_field("name", p.name).text_field("from", p.from);
        out.key("about").begin_array();
        for (const std::string& a : p.about) out.value(a);
        out.end_array().key("options").begin_array();
        for (const explained_option& o : p.options)
            out.begin_object().field("key", o.key).text_field("value", o.value).field("from", o.from).end_object();
        out.end_array().end_object();
    }
    out.end_array().end_object();
    answer a{.text = text_of(parts)};
    if (rq.wants_json()) a.json = out.take() + "\n";
    co_return a;
}

namespace {
constexpr std::string_view level_names[] = {"error", "warning", "info"};
}

task<answer> api::level() {
    co_return as_json(fmt::format("{{\"level\":\"{}\"}}", level_names[static_cast<std::size_t>(wanted_level())]));
}

task<answer> api::set_level(asked rq) {
    for (std::size_t i = 0; i < std::size(level_names); ++i) {
        std::string text = rq.body;
        std::erase_if(text, [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; });
        if (text != fmt::format("{{\"level\":\"{}\"}}", level_names[i])) continue;
        set_log_level(static_cast<log_level>(i));
        co_return co_await level();
    }
    co_return refused(400, R"(the body must be {"level": "error"}, "warning" or "info")");
}

task<answer> api::events(asked rq) {
    auto q = query_of(rq);
    if (!q) co_return refused(400, q.error());
    answer a;
    a.events = [this, q = std::move(*q)](event_stream& to) { return send_events(q, to); };
    co_return a;
}

task<> api::send_events(flow_query q, event_stream& to) {
    std::vector<std::uint64_t> seen(workers_.size());
    for (bool first = true;; first = false) {
        const std::size_t most = first ? 0 : ended_per_event_max;
        auto pages = co_await workers_.ask_each<ended_page>(
            [seen, most](worker& w, std::size_t i) { return ended_of(w, most, seen[i]); });
        std::uint64_t skipped = 0;
        std::uint64_t fresh = 0;
        for (std::size_t i = 0; i < pages.size(); ++i) {
            if (!pages[i]) continue;
            seen[i] = pages[i]->serial;
            skipped += pages[i]->skipped;
            fresh += pages[i]->flows.size();
        }
        if (const std::string text = co_await overview_json(); !text.empty()) to.add("overview", text);
        if (const std::string text = co_await flows_json(q); !text.empty()) to.add("flows", text);
        if (!first && fresh + skipped != 0) {
            const auto newest = joined(pages, ended_per_event_max);
            json_writer out;
            out.begin_object().field("skipped", skipped + fresh - newest.size()).key("flows").begin_array();
            for (const ended_flow& e : newest) write(out, e);
            out.end_array().end_object();
            to.add("ended", out.take());
        }
        if (!co_await to.send()) co_return;
        co_await sleep_for(event_interval);
    }
}

} // namespace headgate::gateway::admin
