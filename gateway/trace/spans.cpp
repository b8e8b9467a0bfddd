#include <chrono>
#include <span>

#include <fmt/format.h>

#include <gateway/json_text.hpp>
#include <gateway/redact.hpp>
#include <gateway/trace/spans.hpp>

namespace headgate::gateway {

namespace {

// Of OTLP's enumerations.
enum class span_kind : std::uint8_t { internal = 1, server = 2, client = 3 };
constexpr unsigned flag_remote_is_known = 0x100;
constexpr unsigned flag_remote = 0x200;

// Writes spans, each from open() to close().
class span_writer {
public:
    // `redacted` are the parameters of queries whose values are left out.
    span_writer(std::string& out, const trace_context& c, std::span<const std::string> redacted = {})
        : out_(out), of_(c), redacted_(redacted),
          wall_(std::chrono::system_clock::now().time_since_epoch() - executor::current().now().time_since_epoch()) {}

    struct head {
        std::uint64_t id;
        std::uint64_t parent;
        bool remote_parent = false;
        span_kind kind;
        std::string_view name;
        std::string_view name_of{}; // what follows it, after a space
        time_point begun;
        time_point ended;
    };
    void open(const head& h) {
        if (count_++ != 0) out_ += ',';
        print(R"({{"traceId":"{:016x}{:016x}","spanId":"{:016x}",)", of_.trace_high, of_.trace_low, h.id);
        if (h.parent != 0) print(R"("parentSpanId":"{:016x}",)", h.parent);
        const unsigned flags = 1 | flag_remote_is_known | (h.remote_parent ? flag_remote : 0);
        print(R"("flags":{},"name":")", flags);
        append_json_text(out_, h.name);
        if (!h.name_of.empty()) out_ += ' ';
        append_json_text(out_, h.name_of);
        print(R"(","kind":{},"startTimeUnixNano":"{}","endTimeUnixNano":"{}","attributes":[)",
              static_cast<unsigned>(h.kind), nanoseconds(h.begun), nanoseconds(std::max(h.begun, h.ended)));
        first_ = true;
    }
    void text(std::string_view key, std::string_view value) {
        begin(key, "stringValue");
        out_ += '"';
        append_json_text(out_, value);
        out_ += "\"}}";
    }
    void text_if_any(std::string_view key, std::string_view value) {
        if (!value.empty()) text(key, value);
    }
    // A target with its query, less its first bytes.
    void redacted(std::string_view key, std::string_view before, std::string_view target, std::size_t less = 0) {
        begin(key, "stringValue");
        out_ += '"';
        append_json_text(out_, before);
        redact(target, redacted_, [&](std::string_view piece) {
            append_json_text(out_, piece.substr(std::min(less, piece.size())));
            less -= std::min(less, piece.size());
        });
        out_ += "\"}}";
    }
    void number(std::string_view key, std::uint64_t value) {
        begin(key, "intValue");
        print("\"{}\"}}}}", value);
    }
    void milliseconds(std::string_view key, duration value) {
        begin(key, "doubleValue");
        print("{:.3f}}}}}", std::chrono::duration<double, std::milli>(value).count());
    }
    void close(bool failed) { out_ += failed ? R"(],"status":{"code":2}})" : R"(],"status":{}})"; }

    std::size_t count() const noexcept { return count_; }

private:
    template <class... Args>
    void print(fmt::format_string<Args...> format, Args&&... args) {
        fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
    }
    void begin(std::string_view key, std::string_view type) {
        print(R"({}{{"key":"{}","value":{{"{}":)", first_ ? "" : ",", key, type);
        first_ = false;
    }
    std::int64_t nanoseconds(time_point t) const {
        return std::chrono::duration_cast<std::chrono::nanoseconds>(t.time_since_epoch() + wall_).count();
    }

    std::string& out_;
    const trace_context& of_;
    const std::span<const std::string> redacted_;
    const std::chrono::nanoseconds wall_; // from the loop's clock to that of the wall
    std::size_t count_ = 0;
    bool first_ = true;
};

// The path that the route asks for; empty if it asks for none.
std::string route_text(const snapshot::route* r) {
    if (!r) return {};
    const route_match& m = r->config->match;
    if (m.path) return *m.path;
    if (!m.path_prefix) return {};
    std::string text = *m.path_prefix;
    while (text.ends_with('/')) text.pop_back();
    return text + "/*";
}

// A method that is not a registered one could be anything, and there must not be any number of names of spans.
std::string_view method_text(const request& rq) {
    const std::string_view known = http::method_name(rq.verb);
    return known.empty() ? "_OTHER" : known;
}

void add_method(span_writer& w, const request& rq) {
    w.text("http.request.method", method_text(rq));
    if (http::method_name(rq.verb).empty()) w.text("http.request.method_original", rq.method.view());
}

// "host:port", "[v6]:port" and "host" as two attributes.
void add_address(span_writer& w, std::string_view address_key, std::string_view port_key, std::string_view text) {
    if (text.starts_with("unix:")) return w.text(address_key, text.substr(5));
    const auto a = http::parse_authority(text);
    if (!a) return w.text_if_any(address_key, text);
    std::string_view host = a->host;
    if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
    w.text(address_key, host);
    if (a->port != 0) w.number(port_key, a->port);
}

void add_request(span_writer& w, const request& rq, time_point ended) {
    const trace_record& record = *rq.trace.record();
    const char* const side = side_of(rq.why.value_or(cause::internal));
    const bool failed = rq.status >= 500 || (side && side != std::string_view("client"));
    const std::string route = route_text(rq.route);
    const std::string_view method = method_text(rq);
    w.open({.id = rq.trace.context().span,
            .parent = rq.trace.parent(),
            .remote_parent = rq.trace.parent() != 0,
            .kind = span_kind::server,
            .name = method == "_OTHER" ? "HTTP" : method,
            .name_of = route,
            .begun = rq.begun,
            .ended = ended});
    add_method(w, rq);
    w.text("url.scheme", rq.scheme);
    const std::string_view target = rq.target.view();
    const std::size_t query = std::min(target.find('?'), target.size());
    w.text("url.path", target.substr(0, query));
    if (query + 1 < target.size()) w.redacted("url.query", {}, target.substr(query), 1); // its '?' is none of it
    w.text_if_any("http.route", route);
    add_address(w, "server.address", "server.port", record.host.view());
    w.text("client.address", rq.client_address.view());
    std::array<char, 48> peer;
    w.text("network.peer.address", {peer.data(), rq.peer.write_host(peer)});
    if (rq.peer.port != 0) w.number("network.peer.port", rq.peer.port);
    w.text("network.protocol.version", rq.client_minor == 0 ? "1.0" : "1.1");
    w.text_if_any("user_agent.original", record.agent.view());
    if (rq.status != 0) w.number("http.response.status_code", static_cast<std::uint64_t>(rq.status));
    w.number("http.request.body.size", rq.up);
    w.number("http.response.body.size", rq.down);
    w.text("headgate.request_id", rq.id.view());
    if (rq.route) w.text("headgate.route", rq.route->config->name);
    const std::string_view cause_text = to_string(rq.why.value_or(cause::internal));
    w.text("headgate.cause", cause_text);
    if (failed && rq.why && *rq.why != cause::complete)
        w.text("error.type", cause_text);
    else if (failed)
        w.text("error.type", fmt::to_string(rq.status));
    w.close(failed);
}

void add_attempt(span_writer& w, const request& rq, const traced_attempt& a, std::size_t number, time_point end) {
    const trace_record& record = *rq.trace.record();
    const time_point ended = a.ended == time_point() ? end : a.ended;
    // An answer that was broken off by somebody is the attempt's end, too.
    const cause why = a.why ? *a.why : a.ended == time_point() && rq.why ? *rq.why : cause::complete;
    const bool failed = why != cause::complete || a.status >= 400;
    w.open({.id = a.id,
            .parent = rq.trace.context().span,
            .kind = span_kind::client,
            .name = method_text(rq) == "_OTHER" ? "HTTP" : method_text(rq),
            .begun = a.begun,
            .ended = ended});
    add_method(w, rq);
    add_address(w, "server.address", "server.port", a.endpoint.view());
    if (a.endpoint.size != 0) w.redacted("url.full", "http://" + std::string(a.endpoint.view()), record.path.view());
    if (number != 0) w.number("http.request.resend_count", number);
    if (a.status != 0) w.number("http.response.status_code", static_cast<std::uint64_t>(a.status));
    if (a.admitted != time_point()) w.milliseconds("headgate.queue_ms", a.admitted - a.begun);
    if (a.answered != time_point()) w.milliseconds("headgate.first_byte_ms", a.answered - a.begun);
    if (why != cause::complete) w.text("headgate.cause", to_string(why));
    if (why != cause::complete)
        w.text("error.type", to_string(why));
    else if (failed)
        w.text("error.type", fmt::to_string(a.status));
    w.close(failed);
    if (a.connecting == time_point()) return;
    const bool connected = a.connected != time_point();
    w.open({.id = trace_ids(a.id).next(),
            .parent = a.id,
            .kind = span_kind::internal,
            .name = "connect",
            .begun = a.connecting,
            .ended = connected ? a.connected : ended});
    add_address(w, "server.address", "server.port", a.endpoint.view());
    if (!connected) w.text("error.type", to_string(why));
    w.close(!connected);
}

// The stages of an export: all of them begin when a connection to the database is asked for. The database's own begins
// when there is one, and ends when it is free, which is before its client has everything.
void add_stages(span_writer& w, const request& rq, time_point end) {
    const live_flow& f = rq.flow;
    const time_point begun = f.begun() + f.spent(flow_phase::head, end);
    const source_config& from = rq.now->shared->of().sources[rq.route->source];
    const char* const side = side_of(*rq.why);
    const duration queued = f.spent(flow_phase::queue, end);
    trace_ids ids(rq.trace.context().span + 1);
    for (const ended_stage& s : f.stages()) {
        const bool database = &s == f.stages().data();
        const bool failed = database && side && side == std::string_view("upstream");
        w.open({.id = ids.next(),
                .parent = rq.trace.context().span,
                .kind = database ? span_kind::client : span_kind::internal,
                .name = database ? "query" : s.name,
                .name_of = database ? std::string_view(from.name) : std::string_view(),
                .begun = database ? std::min(begun + queued, end) : begun,
                .ended = database ? std::min(begun + queued + f.hold_time(end).value_or(duration{}), end) : end});
        if (database) {
            w.text("db.system.name", from.postgres.empty() ? "sqlite" : "postgresql");
            w.milliseconds("headgate.queue_ms", queued);
        }
        w.number("headgate.stage.items", s.items);
        w.number("headgate.stage.bytes", s.bytes);
        w.number("headgate.stage.held_max_bytes", s.held_max);
        w.milliseconds("headgate.stage.waiting_for_source_ms", s.waiting_for_source);
        w.milliseconds("headgate.stage.working_ms", s.working);
        w.milliseconds("headgate.stage.waiting_for_consumer_ms", s.waiting_for_consumer);
        if (failed) w.text("error.type", to_string(*rq.why));
        w.close(failed);
    }
}

} // namespace

std::size_t append_spans(std::string& out, const request& rq) {
    const trace_record& record = *rq.trace.record();
    const time_point now = executor::current().now();
    span_writer w(out, rq.trace.context(), rq.now->shared->of().server.access_log.redact_query);
    add_request(w, rq, now);
    const std::size_t kept = std::min(record.attempted, trace_record::attempts_max);
    for (std::size_t i = 0; i < kept; ++i)
        add_attempt(w, rq, record.attempts[i], i + 1 == kept ? record.attempted - 1 : i, now);
    if (rq.flow.kind == flow_kind::export_rows && rq.route && rq.why) add_stages(w, rq, now);
    return w.count();
}

std::size_t append_tunnel_span(std::string& out, const live_flow& connection, const trace_context& c) {
    const time_point now = executor::current().now();
    const flow_facts is = connection.facts();
    const cause why = is.why.value_or(cause::internal);
    const char* const side = side_of(why);
    const bool failed = side && side != std::string_view("client");
    span_writer w(out, c);
    w.open({.id = c.span,
            .parent = 0,
            .kind = span_kind::server,
            .name = "tunnel",
            .name_of = connection.route,
            .begun = connection.begun(),
            .ended = now});
    w.text("network.transport", "tcp");
    std::array<char, 48> host;
    const std::string_view client(host.data(), is.client ? is.client->write_host(host) : 0);
    w.text_if_any("client.address", client);
    if (is.client && is.client->port != 0) w.number("client.port", is.client->port);
    w.text_if_any("tls.client.server_name", is.target);
    w.text("headgate.listener", is.listener);
    w.text_if_any("headgate.route", connection.route);
    w.text_if_any("headgate.upstream", is.upstream);
    w.milliseconds("headgate.queue_ms", connection.spent(flow_phase::queue, now));
    w.milliseconds("headgate.connect_ms", connection.spent(flow_phase::connect, now));
    w.number("headgate.up_bytes", is.up);
    w.number("headgate.down_bytes", is.down);
    w.text("headgate.phase", to_string(connection.phase()));
    w.text("headgate.cause", to_string(why));
    if (failed) w.text("error.type", to_string(why));
    w.close(failed);
    return w.count();
}

} // namespace headgate::gateway
