#include <charconv>
#include <ctime>

#include <fmt/format.h>

#include <gateway/admin/views.hpp>

namespace headgate::gateway::admin {

namespace {

std::string id_text(std::size_t worker, std::uint64_t number) { return fmt::format("w{}-{}", worker, number); }

const char* state_text(stage_state s) {
    switch (s) {
    case stage_state::waiting_for_source: return "waiting_for_source";
    case stage_state::working: return "working";
    case stage_state::waiting_for_consumer: return "waiting_for_consumer";
    case stage_state::done: return "done";
    }
    return "";
}

void write_verdict(json_writer& out, const std::optional<flow_verdict>& v) {
    out.key("verdict");
    if (!v) {
        out.null();
        return;
    }
    out.begin_object()
        .field("stage", v->stage)
        .field("index", v->index)
        .field("party", to_string(v->party))
        .field("share", v->share)
        .field("stalled_ms", v->stalled)
        .end_object();
}

void write_stage(json_writer& out, const stage_report& r) {
    const char* where = r.where == side::source ? "source" : r.where == side::sink ? "sink" : "stage";
    out.begin_object()
        .field("name", r.name)
        .field("side", where)
        .field("items", r.items)
        .field("bytes", r.bytes)
        .field("held_bytes", r.held)
        .field("held_max_bytes", r.held_max)
        .field("limit_bytes", r.limit)
        .field("waiting_for_source_ms", r.waiting_for_source)
        .field("working_ms", r.working)
        .field("waiting_for_consumer_ms", r.waiting_for_consumer)
        .field("state", state_text(r.state))
        .end_object();
}

void write_lanes(json_writer& out, const flow_view& f) {
    out.key("lanes").begin_array();
    for (const lane_view& lane : f.lanes) {
        if (lane.stages == 0) continue;
        out.begin_object().field("direction", lane.up ? "up" : "down").key("stages").begin_array();
        for (const stage_report& r : std::span(lane.parts).first(lane.stages)) write_stage(out, r);
        out.end_array();
        write_verdict(out, lane.verdict);
        out.end_object();
    }
    out.end_array();
}

// What live and ended flows have in common.
void write_labels(json_writer& out, const flow_labels& l, flow_kind kind) {
    const bool database = kind == flow_kind::export_rows;
    std::array<char, 48> host;
    const std::string_view client(host.data(), l.client.write_host(host));
    out.text_field("request_id", l.request_id())
        .field("kind", to_string(kind))
        .text_field("route", l.route())
        .text_field("listener", l.listener())
        .text_field("client", client)
        .text_field("upstream", database ? std::string_view() : l.upstream())
        .text_field("source", database ? l.upstream() : std::string_view())
        .text_field("method", l.method())
        .text_field("target", l.target())
        .field("status", l.status == 0 ? std::nullopt : std::optional(l.status));
}

} // namespace

std::string utc_text(std::chrono::system_clock::time_point t) {
    const std::int64_t ms = std::chrono::duration_cast<std::chrono::milliseconds>(t.time_since_epoch()).count();
    const time_t seconds = ms / 1000;
    tm parts{};
    ::gmtime_r(&seconds, &parts);
    char text[24];
    ::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    return fmt::format("{}.{:03}Z", text, ms % 1000);
}

void write(json_writer& out, const route_totals& r) {
    out.begin_object()
        .text_field("route", r.route)
        .field("flows", r.flows)
        .field("stalled", r.stalled)
        .field("held_bytes", r.held)
        .field("held_limit_bytes", r.limit)
        .key("bottlenecks")
        .begin_object();
    for (std::size_t i = 0; i < waited_parties; ++i) out.field(to_string(static_cast<waited_party>(i)), r.blamed[i]);
    out.field("none", r.blamed[waited_parties]).end_object().end_object();
}

void write(json_writer& out, const flow_view& f, bool transitions) {
    out.begin_object().field("id", id_text(f.worker, f.number));
    write_labels(out, f.of, f.kind);
    out.field("age_ms", f.age)
        .field("phase", to_string(f.phase))
        .field("waiting_for", f.waiting_for)
        .field("waiting_ms", f.waiting_for ? std::optional(f.waiting) : std::nullopt)
        .field("up_bytes", f.of.up_bytes)
        .field("down_bytes", f.of.down_bytes)
        .field("held_bytes", f.held.held)
        .field("held_limit_bytes", f.held.limit)
        .field("held_max_bytes", f.held.max)
        .field("hold_ms", f.hold)
        .field("holding", f.holding);
    out.field("stalled_ms", f.stalled).field("stalled_by", f.stalled_by);
    write_lanes(out, f);
    write_verdict(out, f.verdict);
    if (transitions) {
        out.key("transitions").begin_array();
        for (const flow_transition& t : std::span(f.recorder).first(f.transitions))
            out.begin_object()
                .field("at_ms", static_cast<double>(t.microseconds) / 1000)
                .field("what", transition_name(t.what))
                .end_object();
        out.end_array();
    }
    out.end_object();
}

void write(json_writer& out, const ended_flow& e) {
    out.begin_object().field("id", id_text(e.worker, e.number));
    write_labels(out, e.of, e.kind);
    out.field("ended", utc_text(e.ended))
        .field("age_ms", e.age)
        .field("up_bytes", e.of.up_bytes)
        .field("down_bytes", e.of.down_bytes)
        .field("cause", to_string(e.why))
        .field("side", side_of(e.why))
        .field("phase", to_string(e.phase))
        .field("held_max_bytes", e.held_max)
        .field("left_bytes", e.left)
        .field("hold_ms", e.hold);
    write_verdict(out, e.verdict);
    out.key("stages").begin_array();
    for (const ended_stage& s : std::span(e.parts).first(e.stages))
        out.begin_object()
            .field("name", s.name)
            .field("bytes", s.bytes)
            .field("held_max_bytes", s.held_max)
            .field("left_bytes", s.left)
            .end_object();
    out.end_array().end_object();
}

void write(json_writer& out, std::string_view name, const upstream_state& u) {
    const char* circuit = u.circuit == circuit_breaker::state::closed ? "closed"
                          : u.circuit == circuit_breaker::state::open ? "open"
                                                                      : "half_open";
    out.begin_object()
        .field("name", name)
        .field("busy", u.busy)
        .field("idle", u.idle)
        .field("queued", u.queued)
        .field("limit", u.limit)
        .field("circuit", circuit)
        .field("retries_total", u.counts.retries)
        .key("endpoints")
        .begin_array();
    for (const endpoint_state& e : u.endpoints)
        out.begin_object()
            .field("address", e.address)
            .field("healthy", e.healthy)
            .field("ejected", e.ejected)
            .field("draining", e.draining)
            .field("busy", e.busy)
            .field("idle", e.idle)
            .field("weight", e.weight)
            .end_object();
    out.end_array().end_object();
}

void write(json_writer& out, std::string_view name, const source_state& s) {
    out.begin_object()
        .field("name", name)
        .field("driver", s.driver)
        .field("size", s.size)
        .field("busy", s.pool.held)
        .field("idle", s.pool.idle)
        .field("waiting", s.pool.waiting)
        .field("hold_ms_total", s.pool.held_in_all)
        .field("leases_total", s.pool.leases)
        .field("returned_early_total", s.returned_early)
        .end_object();
}

std::optional<flow_id> parse_flow_id(std::string_view text) {
    flow_id id;
    const std::size_t dash = text.find('-');
    if (!text.starts_with('w') || dash == std::string_view::npos) return std::nullopt;
    const char* const end = text.data() + text.size();
    const auto worker = std::from_chars(text.data() + 1, text.data() + dash, id.worker);
    const auto number = std::from_chars(text.data() + dash + 1, end, id.number);
    if (worker.ec != std::errc() || worker.ptr != text.data() + dash || number.ec != std::errc() || number.ptr != end)
        return std::nullopt;
    return id;
}

} // namespace headgate::gateway::admin
