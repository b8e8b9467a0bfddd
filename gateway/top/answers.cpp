#include <algorithm>

#include <gateway/top/answers.hpp>
#include <gateway/top/words.hpp>
#include <nlohmann/json.hpp>

namespace headgate::gateway::top {

namespace {

using nlohmann::json;

constexpr double slow_share_min = 0.5;
constexpr double slow_age_ms_min = 2000; // before that a share says nothing

const json* member(const json& in, const char* name) {
    if (!in.is_object()) return nullptr;
    const auto found = in.find(name);
    return found == in.end() || found->is_null() ? nullptr : &*found;
}

std::string text(const json& in, const char* name) {
    const json* m = member(in, name);
    return m && m->is_string() ? printable(m->get_ref<const std::string&>()) : std::string();
}

double number(const json& in, const char* name) {
    const json* m = member(in, name);
    return m && m->is_number() ? m->get<double>() : 0;
}

std::uint64_t count(const json& in, const char* name) {
    return static_cast<std::uint64_t>(std::clamp(number(in, name), 0.0, 1e18));
}

bool truth(const json& in, const char* name, bool otherwise = false) {
    const json* m = member(in, name);
    return m && m->is_boolean() ? m->get<bool>() : otherwise;
}

// Calls read(element) with each element of an array; not at all if it is none.
template <class Row>
std::vector<Row> rows(const json& in, const char* name, Row (*read)(const json&)) {
    std::vector<Row> out;
    if (const json* m = member(in, name); m && m->is_array())
        for (const json& element : *m) out.push_back(read(element));
    return out;
}

std::optional<verdict> read_verdict(const json& in) {
    const json* v = member(in, "verdict");
    if (!v) return std::nullopt;
    return verdict{.stage = text(*v, "stage"),
                   .index = count(*v, "index"),
                   .party = text(*v, "party"),
                   .share = number(*v, "share"),
                   .stalled_ms = number(*v, "stalled_ms")};
}

stage_row read_stage(const json& s) {
    return {.name = text(s, "name"),
            .side = text(s, "side"),
            .state = text(s, "state"),
            .bytes = count(s, "bytes"),
            .held = count(s, "held_bytes"),
            .limit = count(s, "limit_bytes"),
            .waiting_for_source_ms = number(s, "waiting_for_source_ms"),
            .working_ms = number(s, "working_ms"),
            .waiting_for_consumer_ms = number(s, "waiting_for_consumer_ms")};
}

lane_row read_lane(const json& l) {
    return {.down = text(l, "direction") != "up", .stages = rows(l, "stages", &read_stage), .blamed = read_verdict(l)};
}

transition read_transition(const json& t) { return {.at_ms = number(t, "at_ms"), .what = text(t, "what")}; }

flow_row read_row(const json& f) {
    flow_row r{.id = text(f, "id"),
               .request_id = text(f, "request_id"),
               .kind = text(f, "kind"),
               .route = text(f, "route"),
               .client = text(f, "client"),
               .upstream = text(f, "upstream"),
               .source = text(f, "source"),
               .method = text(f, "method"),
               .target = text(f, "target"),
               .phase = text(f, "phase"),
               .waiting_for = text(f, "waiting_for"),
               .status = static_cast<int>(count(f, "status")),
               .age_ms = number(f, "age_ms"),
               .waiting_ms = number(f, "waiting_ms"),
               .stalled_ms = number(f, "stalled_ms"),
               .stalled_by = text(f, "stalled_by"),
               .up = count(f, "up_bytes"),
               .down = count(f, "down_bytes"),
               .held = count(f, "held_bytes"),
               .held_limit = count(f, "held_limit_bytes"),
               .holding = truth(f, "holding"),
               .lanes = rows(f, "lanes", &read_lane),
               .blamed = read_verdict(f),
               .transitions = rows(f, "transitions", &read_transition)};
    if (member(f, "hold_ms")) r.hold_ms = number(f, "hold_ms");
    return r;
}

route_row read_route(const json& r) {
    static const json none;
    const json* b = member(r, "bottlenecks");
    const json& by = b ? *b : none;
    return {.name = text(r, "route"),
            .flows = count(r, "flows"),
            .stalled = count(r, "stalled"),
            .held = count(r, "held_bytes"),
            .client = count(by, "client"),
            .upstream = count(by, "upstream"),
            .database = count(by, "database"),
            .stage = count(by, "stage")};
}

endpoint_row read_endpoint(const json& e) {
    return {.address = text(e, "address"),
            .healthy = truth(e, "healthy", true),
            .ejected = truth(e, "ejected"),
            .draining = truth(e, "draining"),
            .busy = count(e, "busy")};
}

upstream_row read_upstream(const json& u) {
    return {.name = text(u, "name"),
            .circuit = text(u, "circuit"),
            .busy = count(u, "busy"),
            .idle = count(u, "idle"),
            .queued = count(u, "queued"),
            .endpoints = rows(u, "endpoints", &read_endpoint)};
}

source_row read_source(const json& s) {
    return {.name = text(s, "name"),
            .driver = text(s, "driver"),
            .size = count(s, "size"),
            .busy = count(s, "busy"),
            .waiting = count(s, "waiting"),
            .leases = count(s, "leases_total"),
            .returned_early = count(s, "returned_early_total"),
            .hold_ms = number(s, "hold_ms_total")};
}

std::optional<budget> read_budget(const json& in, const char* name, const char* used, const char* limit) {
    const json* b = member(in, name);
    if (!b) return std::nullopt;
    return budget{count(*b, used), count(*b, limit)};
}

std::expected<json, std::string> parse(std::string_view text, const char* must_have) {
    json j = json::parse(text, nullptr, false);
    if (!j.is_object() || !j.contains(must_have)) return std::unexpected("the gateway's answer is not understood");
    return j;
}

std::string name_of(const std::string& party, const std::string& stage) {
    return party == "stage" ? "the stage " + stage : "the " + party;
}

// Who stands at a place of a lane.
std::string party_of(const flow_row& f, const lane_row& in, const stage_row& s) {
    if (s.side == "stage") return "stage";
    if ((s.side == "sink") == in.down) return "client";
    return f.source.empty() ? "upstream" : "database";
}

} // namespace

std::string flow_row::what() const {
    if (target.empty() && method.empty()) return kind;
    return method.empty() || target.empty() ? method + target : method + " " + target;
}

std::uint64_t overview::stalled() const {
    std::uint64_t n = 0;
    for (const route_row& r : routes) n += r.stalled;
    return n;
}

std::expected<flow_list, std::string> read_flows(std::string_view text) {
    const auto j = parse(text, "flows");
    if (!j) return std::unexpected(j.error());
    return flow_list{
        .total = count(*j, "total"), .matched = count(*j, "matched"), .flows = rows(*j, "flows", &read_row)};
}

std::expected<flow_row, std::string> read_flow(std::string_view text) {
    const auto j = parse(text, "id");
    if (!j) return std::unexpected(j.error());
    return read_row(*j);
}

std::expected<overview, std::string> read_overview(std::string_view body) {
    const auto parsed = parse(body, "version");
    if (!parsed) return std::unexpected(parsed.error());
    const json& j = *parsed;
    static const json none;
    const json* r = member(j, "rates");
    const json& rates = r ? *r : none;
    return overview{.version = text(j, "version"),
                    .pid = count(j, "pid"),
                    .workers = count(j, "workers"),
                    .connections = count(j, "connections"),
                    .flows = count(j, "flows"),
                    .rss = count(j, "rss_bytes"),
                    .uptime_s = number(j, "uptime_s"),
                    .ready = truth(j, "ready"),
                    .draining = truth(j, "draining"),
                    .memory = read_budget(j, "memory", "used_bytes", "limit_bytes"),
                    .spool = read_budget(j, "spool", "used_bytes", "limit_bytes"),
                    .descriptors = read_budget(j, "descriptors", "used", "limit"),
                    .requests_per_s = number(rates, "requests_per_s"),
                    .down_per_s = number(rates, "down_bytes_per_s"),
                    .up_per_s = number(rates, "up_bytes_per_s"),
                    .errors_per_s = number(rates, "errors_per_s"),
                    .routes = rows(j, "routes", &read_route),
                    .upstreams = rows(j, "upstreams", &read_upstream),
                    .sources = rows(j, "sources", &read_source)};
}

std::string only_stalled(std::string_view text, double least_ms) {
    json j = json::parse(text, nullptr, false);
    json& flows = j["flows"];
    flows.erase(std::remove_if(flows.begin(), flows.end(),
                               [least_ms](const json& f) { return number(f, "stalled_ms") < least_ms; }),
                flows.end());
    return j.dump();
}

std::string read_problem(std::string_view body) {
    const json j = json::parse(body, nullptr, false);
    std::string detail = text(j, "detail");
    return detail.empty() ? printable(body.substr(0, 200)) : detail;
}

judgement judge(const flow_row& f) {
    const auto& v = f.blamed;
    if (f.stalled_ms > 0) {
        const std::string& party = f.stalled_by;
        const std::string stage = v ? v->stage : std::string();
        const std::string since = time_text(f.stalled_ms);
        return {.how = judgement::level::stalled,
                .party = party,
                .brief = (party == "stage" ? stage : party) + " " + since,
                .text = "waits for " + name_of(party, stage) + ": " + since};
    }
    if (v && v->share >= slow_share_min && f.age_ms >= slow_age_ms_min)
        return {.how = judgement::level::slow,
                .party = v->party,
                .brief = (v->party == "stage" ? v->stage : v->party) + " " + percent_text(v->share),
                .text = "slowed by " + name_of(v->party, v->stage) + ": " + percent_text(v->share) + " of the time"};
    return {.text = "moves"};
}

std::string stage_words(const flow_row& f, const lane_row& in, std::size_t index) {
    const stage_row& s = in.stages[index];
    const std::string party = party_of(f, in, s);
    if (const auto& v = in.blamed; v && v->index == index && v->stalled_ms > 0) {
        const bool takes = (s.side == "sink");
        const char* nothing = party == "stage"      ? "moves nothing"
                              : party == "database" ? "gives no rows"
                              : takes               ? "takes nothing"
                                                    : "sends nothing";
        return std::string(nothing) + ": " + time_text(v->stalled_ms);
    } else if (v && v->index == index && v->share >= slow_share_min && f.age_ms >= slow_age_ms_min) {
        return "slow: " + percent_text(v->share) + " of the time";
    }
    if (s.state == "working") return "at work";
    if (s.state == "done")
        return party == "database" && !f.holding && f.hold_ms ? "given back after " + time_text(*f.hold_ms) : "done";
    const bool forward = s.state == "waiting_for_consumer";
    const auto& v = in.blamed;
    if (v && (forward ? v->index > index : v->index < index)) return "waits for " + name_of(v->party, v->stage);
    const std::string whom = party_of(f, in, forward ? in.stages.back() : in.stages.front());
    return whom == party ? "nothing to do" : "waits for " + name_of(whom, {});
}

} // namespace headgate::gateway::top
