#include <array>
#include <chrono>
#include <ctime>

#include <fmt/format.h>

#include <gateway/json_text.hpp>
#include <gateway/log_line.hpp>
#include <gateway/redact.hpp>
#include <gateway/trace/context.hpp>

namespace headgate::gateway {

namespace {

// The wall clock as text, to the second; made anew once a second and thread.
std::string_view clock_text(std::int64_t seconds) {
    thread_local std::int64_t made_for = -1;
    thread_local char text[24];
    if (made_for != seconds) {
        const time_t t = seconds;
        tm parts{};
        ::gmtime_r(&t, &parts);
        ::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
        made_for = seconds;
    }
    return {text, 19};
}

std::int64_t milliseconds_now() {
    return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now())
        .time_since_epoch()
        .count();
}

// "192.0.2.1:80", "[2001:db8::1]:80", "unix".
struct client_text {
    std::array<char, 64> bytes;
    std::size_t size = 0;

    explicit client_text(const peer_address* p) {
        if (!p) return;
        std::array<char, 48> host;
        const std::string_view name(host.data(), p->write_host(host));
        const bool v6 = name.contains(':');
        const bool port = p->port != 0 && !IN6_IS_ADDR_UNSPECIFIED(&p->ip);
        const auto end = !port ? fmt::format_to(bytes.data(), "{}", name)
                         : v6  ? fmt::format_to(bytes.data(), "[{}]:{}", name, p->port)
                               : fmt::format_to(bytes.data(), "{}:{}", name, p->port);
        size = static_cast<std::size_t>(end - bytes.data());
    }
    std::string_view view() const { return {bytes.data(), size}; }
};

std::int64_t microseconds(duration d) {
    return std::max<std::int64_t>(std::chrono::duration_cast<std::chrono::microseconds>(d).count(), 0);
}

cause cause_of_end(const log_record& r) {
    if (r.flow && r.flow->aborted()) return cause::aborted_by_operator;
    return r.facts.why.value_or(cause::internal);
}

// Writes the members of an object.
class json_writer {
public:
    explicit json_writer(std::string& out) : out_(out) {}

    void open(char bracket) {
        out_ += bracket;
        first_ = true;
    }
    void close(char bracket) {
        out_ += bracket;
        first_ = false;
    }
    void key(std::string_view name) {
        next();
        print("\"{}\":", name);
    }
    void next() {
        if (!first_) out_ += ',';
        first_ = false;
    }
    template <class Integer>
    void number(std::string_view name, Integer n) {
        key(name);
        print("{}", n);
    }
    void null(std::string_view name) {
        key(name);
        out_ += "null";
    }
    void text(std::string_view name, std::string_view value) {
        if (value.empty()) return null(name);
        key(name);
        out_ += '"';
        append_json_text(out_, value);
        out_ += '"';
    }
    void target(std::string_view name, std::string_view value, std::span<const std::string> redacted) {
        if (value.empty()) return null(name);
        key(name);
        out_ += '"';
        redact(value, redacted, [this](std::string_view piece) { append_json_text(out_, piece); });
        out_ += '"';
    }
    void time(std::string_view name, duration d) {
        const std::int64_t us = microseconds(d);
        key(name);
        print("{}.{:03}", us / 1000, us % 1000);
    }
    void time(std::string_view name, const std::optional<duration>& d) {
        if (d)
            time(name, *d);
        else
            null(name);
    }
    template <class... Args>
    void print(fmt::format_string<Args...> format, Args&&... args) {
        fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
    }

private:
    std::string& out_;
    bool first_ = true;
};

void add_stage(json_writer& w, const char* name, bool up, std::uint64_t items, std::uint64_t bytes,
               std::size_t held_max, duration source, duration working, duration consumer) {
    w.next();
    w.open('{');
    w.text("name", name);
    w.text("direction", up ? "up" : "down");
    w.number("items", items);
    w.number("bytes", bytes);
    w.number("held_max_bytes", held_max);
    w.time("waiting_for_source_ms", source);
    w.time("working_ms", working);
    w.time("waiting_for_consumer_ms", consumer);
    w.close('}');
}

void add_stages(json_writer& w, const live_flow& f, time_point now) {
    w.key("stages");
    w.open('[');
    for (const ended_stage& s : f.stages())
        add_stage(w, s.name, s.up, s.items, s.bytes, s.held_max, s.waiting_for_source, s.working,
                  s.waiting_for_consumer);
    std::array<stage_report, lane_stages_max> room;
    for (const flow_lane& lane : f.lanes) {
        if (!lane.live()) continue;
        for (const stage_report& s : f.report(lane, now, room))
            add_stage(w, s.name, lane.up, s.items, s.bytes, s.held_max, s.waiting_for_source, s.working,
                      s.waiting_for_consumer);
    }
    w.close(']');
}

void add_client(json_writer& w, const peer_address* p) {
    std::array<char, 48> host;
    w.text("client", p ? std::string_view(host.data(), p->write_host(host)) : std::string_view());
    if (p && p->port != 0)
        w.number("client_port", p->port);
    else
        w.null("client_port");
}

constexpr std::string_view keys_of_flow[] = {"phase",   "attempts",   "head_ms",        "queue_ms",      "connect_ms",
                                             "tls_ms",  "send_ms",    "wait_ms",        "first_byte_ms", "client_ms",
                                             "hold_ms", "held_bytes", "held_max_bytes", "waits_ms",      "stages"};

void add_flow(json_writer& w, const log_record& r, time_point now) {
    const live_flow& f = *r.flow;
    const auto spent = [&](flow_phase p) { return f.spent(p, now); };
    w.text("phase", to_string(f.phase()));
    w.number("attempts", r.facts.attempts);
    w.time("head_ms", spent(flow_phase::head));
    w.time("queue_ms", spent(flow_phase::queue));
    w.time("connect_ms", spent(flow_phase::connect));
    w.time("tls_ms", r.facts.handshake);
    w.time("send_ms", spent(flow_phase::send));
    w.time("wait_ms", spent(flow_phase::wait));
    w.time("first_byte_ms", f.first_byte_time());
    w.time("client_ms", spent(flow_phase::body) + spent(flow_phase::tunnel));
    w.time("hold_ms", f.hold_time(now));
    const live_flow::holdings held = f.held();
    w.number("held_bytes", held.held);
    w.number("held_max_bytes", held.max);
    w.key("waits_ms");
    w.open('{');
    const auto waits = f.waits(now);
    for (std::size_t i = 0; i < waits.size(); ++i) w.time(to_string(static_cast<waited_party>(i)), waits[i]);
    w.close('}');
    add_stages(w, f, now);
}

std::string_view or_dash(std::string_view text) { return text.empty() ? std::string_view("-") : text; }

} // namespace

void append_text_line(std::string& out, const log_record& r, std::span<const std::string> redacted) {
    const flow_facts& is = r.facts;
    const std::int64_t ms = milliseconds_now();
    auto to = std::back_inserter(out);
    fmt::format_to(to, "{}.{:03}Z ", clock_text(ms / 1000), ms % 1000);
    if (is.status != 0)
        fmt::format_to(to, "{}", is.status);
    else
        out += '-';
    const bool tunnel = r.flow && r.flow->kind == flow_kind::tunnel;
    fmt::format_to(to, " {} ", tunnel ? "tunnel" : or_dash(is.method));
    redact(or_dash(is.target), redacted, [&out](std::string_view piece) { out += piece; });
    const client_text client(is.client);
    const std::int64_t took = r.flow ? microseconds(executor::current().now() - r.flow->begun()) : 0;
    fmt::format_to(to, " client={} upstream={} up={} down={} ms={}.{:03} end={} id={}\n", or_dash(client.view()),
                   or_dash(is.upstream), is.up, is.down, took / 1000, took % 1000,
                   r.interim ? "-" : to_string(cause_of_end(r)), or_dash(is.request_id));
}

void append_json_line(std::string& out, const log_record& r, std::span<const std::string> redacted) {
    const flow_facts& is = r.facts;
    const std::int64_t ms = milliseconds_now();
    const time_point now = executor::current().now();
    const bool rows = r.flow && r.flow->kind == flow_kind::export_rows;
    json_writer w(out);
    w.open('{');
    w.key("time");
    w.print("\"{}.{:03}Z\"", clock_text(ms / 1000), ms % 1000);
    w.text("event", r.interim ? "interim" : "end");
    w.text("kind", r.flow ? to_string(r.flow->kind) : to_string(flow_kind::other));
    w.key("id");
    if (r.flow)
        w.print("\"w{}-{}\"", r.worker, r.flow->number());
    else
        w.print("null");
    w.text("request_id", is.request_id);
    w.key("trace_id");
    if (is.trace)
        w.print("\"{:016x}{:016x}\"", is.trace->trace_high, is.trace->trace_low);
    else
        w.print("null");
    w.text("route", r.flow ? r.flow->route : std::string_view());
    w.text("listener", is.listener);
    add_client(w, is.client);
    w.text("upstream", rows ? std::string_view() : is.upstream);
    w.text("source", rows ? is.upstream : std::string_view());
    w.text("method", is.method);
    w.target("target", is.target, redacted);
    if (is.status != 0)
        w.number("status", is.status);
    else
        w.null("status");
    w.number("up_bytes", is.up);
    w.number("down_bytes", is.down);
    w.time("age_ms", r.flow ? now - r.flow->begun() : duration{});
    const char* const side = r.interim ? nullptr : side_of(cause_of_end(r));
    w.text("cause", r.interim ? "" : to_string(cause_of_end(r)));
    w.text("side", side ? side : "");
    if (r.flow)
        add_flow(w, r, now);
    else
        for (const std::string_view name : keys_of_flow) w.null(name);
    w.close('}');
    out += '\n';
}

std::size_t write_dropped(std::span<char, 200> to, log_format format, std::uint64_t lines) noexcept {
    const std::int64_t ms = milliseconds_now();
    const char* const end =
        format == log_format::json
            ? fmt::format_to_n(to.data(), to.size(), "{{\"time\":\"{}.{:03}Z\",\"event\":\"dropped\",\"lines\":{}}}\n",
                               clock_text(ms / 1000), ms % 1000, lines)
                  .out
            : fmt::format_to_n(to.data(), to.size(),
                               "headgate: {} log lines dropped: the log was not written fast enough\n", lines)
                  .out;
    return static_cast<std::size_t>(end - to.data());
}

log_level level_of(const flow_facts& f) noexcept {
    if (f.status >= 500) return log_level::error;
    if (!f.why || *f.why == cause::complete) return log_level::info;
    return side_of(*f.why) == std::string_view("client") ? log_level::warning : log_level::error;
}

} // namespace headgate::gateway
