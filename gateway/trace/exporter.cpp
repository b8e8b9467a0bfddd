#include <headgate/core/race.hpp>
#include <headgate/core/waits.hpp>
#include <headgate/http/client.hpp>

#include <algorithm>
#include <charconv>
#include <exception>
#include <stdexcept>

#include <fmt/format.h>
#include <unistd.h>

#include <gateway/json_text.hpp>
#include <gateway/tell.hpp>
#include <gateway/trace/exporter.hpp>

namespace headgate::gateway {

namespace {

constexpr std::string_view after = "]}]}]}";

std::string attribute(std::string_view key, std::string_view value) {
    std::string out = fmt::format(R"({{"key":"{}","value":{{"stringValue":")", key);
    append_json_text(out, value);
    return out + "\"}}";
}

std::string make_before(const tracing_options& o) {
    return fmt::format(
        R"({{"resourceSpans":[{{"resource":{{"attributes":[{},{},{},{{"key":"process.pid","value":{{"intValue":"{}"}}}}]}},)"
        R"("scopeSpans":[{{"scope":{{"name":"headgate","version":"{}"}},"spans":[)",
        attribute("service.name", o.service_name), attribute("service.version", HEADGATE_VERSION),
        attribute("telemetry.sdk.name", "headgate"), ::getpid(), HEADGATE_VERSION);
}

std::string make_url(std::string_view collector) {
    while (collector.ends_with('/')) collector.remove_suffix(1);
    return std::string(collector) + "/v1/traces";
}

// OTLP: "Retryable Response Codes".
bool may_be_sent_again(int status) { return status == 429 || status == 502 || status == 503 || status == 504; }

// "partialSuccess": {"rejectedSpans": "3"}; a number with or without quotes.
std::uint64_t rejected_spans(std::string_view body) {
    constexpr std::string_view key = "\"rejectedSpans\"";
    const std::size_t at = body.find(key);
    if (at == std::string_view::npos) return 0;
    body.remove_prefix(at + key.size());
    body.remove_prefix(std::min(body.find_first_not_of(" \t\r\n:\""), body.size()));
    std::uint64_t n = 0;
    std::from_chars(body.data(), body.data() + body.size(), n);
    return n;
}

duration seconds_of(std::string_view text) {
    std::uint32_t n = 0;
    std::from_chars(text.data(), text.data() + text.size(), n);
    return std::chrono::seconds(n);
}

task<http::post_answer> post_within(http::post_request rq, http::get_options o) {
    const duration limit = o.connect_timeout;
    auto end = co_await race(http::post(std::move(rq), std::move(o)), wait_for(limit));
    if (end.index() == 1) co_await fail(errc::timed_out, "it did not answer in time");
    co_return std::get<0>(std::move(end));
}

} // namespace

trace_exporter::trace_exporter(const tracing_options& o)
    : tracer_(o, [this] { wake(); }), url_(make_url(o.collector)), before_(make_before(o)) {
    if (o.collector.starts_with("https://")) {
        auto made = tls_client_context::load(o.tls.options);
        if (!made) throw std::runtime_error("tracing.tls: " + made.error().message());
        tls_ = std::move(*made);
    }
    waking_.self = this;
    waking_.run = [](remote_job& j) {
        auto& w = static_cast<waking&>(j);
        w.posted = false;
        if (w.self->awake_) w.self->awake_->abort();
    };
}

void trace_exporter::wake() noexcept {
    if (!waking_.posted.exchange(true)) main_->post_remote(waking_);
}

void trace_exporter::start(loop& main) {
    main_ = &main;
    awake_.emplace();
    finishing_.emplace();
    if (tracer_.options().collector.empty()) return;
    sender_.spawn(keep_sending(), [](void*, const flow_error& e) {
        tell_line(log_level::error, "tracing: no more spans are sent: {}", e.message());
    });
}

task<> trace_exporter::finish() {
    if (finishing_) finishing_->abort();
    co_await sender_.drained();
}

task<> trace_exporter::keep_sending() {
    const abort_signal finishing = finishing_->signal();
    while (!finishing.aborted()) {
        co_await race(wait_for(awake_->signal()), wait_for(tracer_.options().interval), wait_for(finishing));
        awake_.emplace();
        co_await send_all();
    }
}

task<> trace_exporter::send_all() {
    const abort_signal finishing = finishing_->signal();
    for (;;) {
        sending_ = tracer_.take();
        if (sending_.count == 0) co_return;
        for (int tried = 1;; ++tried) {
            const attempt_end end = co_await send();
            tell_dropped();
            if (end.done) break;
            if (tried == tries_max || finishing.aborted()) {
                counts_.given_up += sending_.count;
                break;
            }
            const duration before_next = std::max(end.pause, pause_min * (1 << (tried - 1)));
            co_await race(wait_for(std::clamp(before_next, pause_min, pause_max)), wait_for(finishing));
        }
        sending_ = {};
    }
}

// Certificates are renewed. Those that cannot be read now may be half of what somebody writes: the next try sees.
void trace_exporter::load_tls_again() {
    if (!tls_ || !tls_->changed()) return;
    if (auto made = tls_client_context::load(tracer_.options().tls.options)) tls_ = std::move(*made);
}

task<trace_exporter::attempt_end> trace_exporter::send() {
    const tracing_options& o = tracer_.options();
    http::post_request rq{.url = url_, .content_type = "application/json", .headers = o.headers};
    rq.body.reserve(before_.size() + sending_.spans.size() + after.size());
    rq.body.append(before_).append(sending_.spans).append(after);
    load_tls_again();
    const auto end = co_await attempt(post_within(std::move(rq), {.connect_timeout = o.timeout,
                                                                  .first_byte_timeout = o.timeout,
                                                                  .idle_timeout = o.timeout,
                                                                  .tls = tls_,
                                                                  .server_name = o.tls.server_name}));
    if (!end) {
        tell("spans cannot be sent to " + url_ + ": " + end.error().message());
        co_return attempt_end{};
    }
    if (end->status >= 200 && end->status <= 299) {
        const std::uint64_t rejected = std::min<std::uint64_t>(rejected_spans(end->body), sending_.count);
        counts_.rejected += rejected;
        counts_.exported += sending_.count - rejected;
        tell(rejected == 0 ? std::string() : url_ + " does not take all spans");
        co_return attempt_end{.done = true};
    }
    tell(fmt::format("spans are not taken by {}: it answers {}", url_, end->status));
    if (may_be_sent_again(end->status)) co_return attempt_end{.pause = seconds_of(end->retry_after)};
    counts_.rejected += sending_.count;
    co_return attempt_end{.done = true};
}

// Once for each thing that is not as it should be, and once when all is well again.
void trace_exporter::tell(std::string what) {
    if (what == told_) return;
    if (what.empty())
        tell_line(log_level::info, "tracing: spans are sent again");
    else
        tell_line(log_level::warning, "tracing: {}", what);
    told_ = std::move(what);
}

void trace_exporter::tell_dropped() {
    const std::uint64_t dropped = tracer_.counted().dropped;
    if (dropped == dropped_told_) return;
    tell_line(log_level::warning, "tracing: {} spans dropped: more than the collector has taken",
              dropped - dropped_told_);
    dropped_told_ = dropped;
}

} // namespace headgate::gateway
