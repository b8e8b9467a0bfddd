#include <headgate/core/abort_watch.hpp>
#include <headgate/core/sleep.hpp>
#include <headgate/io/peer_watch.hpp>

#include <algorithm>
#include <array>

#include <gateway/compression.hpp>
#include <gateway/forward.hpp>
#include <gateway/outgoing.hpp>
#include <gateway/path.hpp>
#include <gateway/response.hpp>

namespace headgate::gateway {

namespace {

constexpr side client_side = side::sink;
constexpr side upstream_side = side::source;

// A request may be sent twice if it is known not to do harm (RFC 9110, section 9.2.2).
bool idempotent(http::method m) {
    using enum http::method;
    return m == get || m == head || m == put || m == delete_ || m == options || m == trace;
}

bool is_connect_failure(cause c) {
    return c == cause::upstream_refused || c == cause::upstream_unreachable || c == cause::upstream_connect_timeout ||
           c == cause::overloaded;
}

// There are as many connections as there may be.
failed_try not_admitted(std::error_code why) {
    return {.why = cause::upstream_busy,
            .code = why,
            .detail = why == errc::timed_out ? "none became free in time" : "as many requests as may wait for one"};
}

constexpr failed_try circuit_is_open() { return {.why = cause::upstream_circuit_open, .code = errc::refused}; }

task<> give_up(request& rq, const route& r, failed_try f) {
    rq.why = f.why;
    if (f.why == cause::upstream_circuit_open) {
        const duration left = r.upstream->circuit().open_for(executor::current().turn_time());
        rq.retry_after = std::max(1, static_cast<int>(std::chrono::ceil<std::chrono::seconds>(left).count()));
    }
    co_await fail(f.code, upstream_side,
                  is_connect_failure(f.why) && f.detail.empty() ? f.code.message() : std::string(f.detail));
}

// What has become of a request so far, and what it holds of its upstream.
struct course {
    course(const route& r, pick_key k, pick_key other)
        : at(r), key(k), fallback_key(other), share(r.upstream->budget()) {}

    // The fallback is the upstream from now on.
    void fall_back(request& rq) {
        ++at.upstream->counts().fallbacks;
        at.upstream = std::exchange(at.fallback, nullptr);
        key = fallback_key;
        permit.release();
        share.move_to(at.upstream->budget());
        failed = nullptr;
        stale = false;
        rq.answer_by = time_point::max();
    }

    route at;
    pick_key key;
    pick_key fallback_key;
    retry_budget::share share;
    headgate::permit permit{}; // not held while a retry waits
    circuit_pass pass{};       // from the beginning of a try until it is known how it went
    std::uint32_t retries = 0;
    const endpoint_pool* failed = nullptr; // where the last try ended
    bool stale = false;                    // a kept connection was dead already: from then on it gets new ones
};

// A connection of the request's own: the upstream may want to be told whose it is.
task<result<upstream_lease>> connect(request& rq, upstream& to, endpoint_pool& first, pick_key key) {
    const proxy_header from = to.proxy_header_for(rq.from, rq.client);
    co_return co_await to.connect(first, rq.upstream, key, &from, &rq.handshake);
}

// One time that a request is sent.
struct one_try {
    upstream_lease up{};
    strand uploading{};
    failed_try failure{};
    bool answered = false;
    bool unsent = true; // the upstream's system has not taken a byte of the request

    // A kept connection may have been closed for its idleness: that tells nothing.
    bool stale() const { return !answered && up && up.reused() && failure.silent; }
};

// Sends the request and reads the head of its response. `at` is the place of the exchange.
task<> try_once(request& rq, course& c, outgoing& out, one_try& t, const place& at) {
    const route& r = c.at;
    upstream& to = *r.upstream;
    if (!to.circuit().lets_pass(executor::current().turn_time())) {
        t.failure = circuit_is_open();
        co_return;
    }
    if (!c.permit) {
        if (!to.limit().free()) rq.flow.enter(flow_phase::queue);
        auto admitted = co_await to.admit();
        if (!admitted) {
            t.failure = not_admitted(admitted.error());
            co_return;
        }
        c.permit = std::move(*admitted);
    }
    rq.trace.mark(&traced_attempt::admitted);
    c.pass = to.circuit().enter(executor::current().turn_time()); // it may have opened meanwhile
    if (!c.pass) {
        t.failure = circuit_is_open();
        co_return;
    }
    endpoint_pool& first = to.pick(c.key, c.failed);
    rq.upstream.set(first.name());
    if (!c.stale) t.up = first.reuse();
    if (!t.up) {
        rq.trace.mark(&traced_attempt::connecting);
        rq.flow.enter(flow_phase::connect);
        auto made = co_await connect(rq, to, first, c.key);
        if (made) rq.trace.mark(&traced_attempt::connected);
        if (!made) {
            t.failure = {.why = cause_of_connect(made.error()), .code = made.error()};
            co_return;
        }
        t.up = std::move(*made);
    }
    rq.asked = &t.up.home();
    t.up.tell(rq.flow);
    rq.flow.enter(flow_phase::send);
    if (!out.at_hand()) {
        t.unsent = false;
        rq.flow.uploads();
        t.uploading.start(out.upload(rq, r, t.up), at);
    } else {
        std::array<iovec, 2> parts{{{out.head().data(), out.head().size()}, {out.body().data(), out.body().size()}}};
        const auto written = co_await t.up.connection().write_all(std::span(parts.data(), out.body().empty() ? 1 : 2),
                                                                  r.options.upstream_idle_timeout);
        t.unsent = !written && parts[0].iov_len == out.head().size();
        rq.sent = executor::current().turn_time();
        rq.flow.enter(flow_phase::wait);
        // What was not taken is not lost yet: the upstream may have answered, or it is a connection to replace.
        if (!written && written.error() == errc::timed_out) {
            t.failure = {.why = cause::upstream_idle, .code = errc::idle};
            co_return;
        }
    }
    t.answered = co_await read_response_head(rq, r, t.up, t.failure);
}

// Notes of a try what its span is to tell.
void trace(request& rq, const one_try& t) noexcept {
    traced_attempt* const a = rq.trace.attempt();
    if (!a) return;
    a->endpoint.set(rq.upstream.view());
    if (t.answered) {
        a->status = rq.parsers->response.head().status;
        a->answered = executor::current().now();
    } else {
        a->why = t.failure.why;
        a->ended = executor::current().now();
    }
}

// Tells endpoint and circuit how a try went.
void judge(request& rq, course& c, const one_try& t) {
    const time_point now = executor::current().turn_time();
    trace(rq, t);
    const bool well = t.answered && rq.parsers->response.head().status < 500;
    if (t.answered)
        c.pass.report(well, now);
    else if (t.stale() || t.failure.why == cause::overloaded)
        c.pass.forget();
    else
        c.pass.report(false, now);
    if (endpoint_pool* const asked = std::exchange(rq.asked, nullptr); asked && !t.stale())
        asked->report(well ? verdict::success : t.answered ? verdict::server_error : verdict::failure);
    if (t.up && !t.stale()) c.failed = &t.up.home();
    if (t.up && rq.uploaded) rq.answer_by = std::min(rq.answer_by, rq.sent + c.at.options.first_byte_timeout);
}

// How long to wait until the request is sent to the same upstream once more; nothing if it is not.
std::optional<duration> pause_before_retry(request& rq, course& c, const one_try& t) {
    const retry_options& o = c.at.options.retries;
    if (c.retries >= o.num_retries) return std::nullopt;
    duration least{};
    if (t.answered) {
        const http::response_head& head = rq.parsers->response.head();
        if (!asks_for_retry(o.retry_on, head.status)) return std::nullopt;
        least = retry_after(head).value_or(duration::zero());
        if (least > o.retry_after_max) return std::nullopt;
    } else if (!asks_for_retry(o.retry_on, t.failure.why)) {
        return std::nullopt;
    }
    const duration pause = std::max(least, back_off(o, c.retries + 1, c.at.upstream->chance()));
    if (pause >= rq.answer_by - executor::current().turn_time() || !c.share.begin_retry()) return std::nullopt;
    ++c.retries;
    rq.flow.mark(flow_mark::retry);
    ++c.at.upstream->counts().retries;
    c.permit.release();
    return pause;
}

// Whether an end of a try is one that the fallback is for.
bool is_for_fallback(const request& rq, const course& c, const one_try& t) {
    static constexpr auto any_failure = [](cause why) {
        return why == cause::upstream_circuit_open || asks_for_retry({.server_error = true}, why);
    };
    if (!c.at.fallback) return false;
    if (!t.answered) return any_failure(t.failure.why);
    return asks_for_retry(c.at.options.retries.retry_on, rq.parsers->response.head().status);
}

// How long to wait until the request is sent again, to the same upstream or the fallback; nothing if this try's end is
// the last word.
std::optional<duration> pause_before_next(request& rq, course& c, const outgoing& out, const one_try& t) {
    const bool harmless = t.unsent || idempotent(rq.verb) || c.at.options.retries.non_idempotent;
    if (rq.hinted || !out.repeatable() || !harmless) return std::nullopt;
    if (t.stale() && !std::exchange(c.stale, true)) return duration::zero();
    if (const auto pause = pause_before_retry(rq, c, t)) return pause;
    if (!is_for_fallback(rq, c, t)) return std::nullopt;
    c.fall_back(rq);
    return duration::zero();
}

// CONNECT is answered here, as soon as there is a connection (RFC 9110, section 9.3.6).
task<upstream_lease> open_tunnel(request& rq, route r) {
    ++rq.attempts;
    const pick_key key = r.upstream->key_of(&rq.parsers->request.head(), rq.client_address.view());
    rq.in.consume(rq.parsers->request.head().head_bytes);
    rq.parsers.release();
    rq.uploaded = true;
    rq.flow.enter(flow_phase::queue);
    auto permit = co_await r.upstream->admit();
    if (!permit) co_await give_up(rq, r, not_admitted(permit.error()));
    circuit_pass pass = r.upstream->circuit().enter(executor::current().turn_time());
    if (!pass) co_await give_up(rq, r, circuit_is_open());
    rq.flow.enter(flow_phase::connect);
    auto connected = co_await connect(rq, *r.upstream, r.upstream->pick(key), key);
    pass.report(connected.has_value(), executor::current().turn_time());
    if (!connected) co_await give_up(rq, r, {.why = cause_of_connect(connected.error()), .code = connected.error()});
    upstream_lease up = std::move(*connected);
    up.keep(std::move(*permit));
    up.home().report(verdict::success);
    const chunk out = make_connected_head(rq.id.view());
    rq.status = 200;
    rq.answered = true;
    const auto written = co_await rq.client.write_all(out.text(), r.options.client_idle_timeout);
    if (!written) co_await fail(written.error(), client_side);
    co_return up;
}

// The head to send to the upstream. Takes the client's head off its connection.
chunk take_upstream_head(request& rq, const route& r) {
    const http::request_head& head = rq.parsers->request.head();
    const proxy_action& a = r.action;
    request::text<48> peer_text;
    peer_text.size = rq.peer.write_host(peer_text.bytes);
    std::string path;
    if ((a.replace_prefix || a.replace_path) && head.path.starts_with('/'))
        path = replaced_path(normal_path(head.path), r.matched_prefix, a.replace_prefix, a.replace_path);
    std::optional<traceparent_text> traceparent;
    if (rq.trace.on()) traceparent = rq.trace.for_upstream();
    chunk out = make_upstream_head(
        head,
        {.peer = peer_text.view(),
         .peer_trusted = rq.peer_trusted,
         .fields = rq.entrance.config->forwarded,
         .request_id = rq.id.view(),
         .scheme = rq.scheme,
         .peer_scheme = rq.peer_scheme,
         .asked_host = rq.host,
         .client_subject = rq.client_subject,
         .switch_to = rq.switch_to,
         .path = path,
         .host = a.host ? std::string_view(*a.host) : std::string_view(),
         .edits = a.request_headers.if_any(),
         .traceparent = traceparent ? std::string_view(traceparent->data(), traceparent->size()) : std::string_view(),
         .keeps_tracestate = rq.trace.keeps_state()});
    if (trace_record* const record = rq.trace.record(); record && !out.empty()) {
        const std::string_view line = out.text().substr(0, out.text().find("\r\n"));
        const std::size_t begin = std::min(line.find(' '), line.size() - 1) + 1;
        record->path.set(line.substr(begin, line.rfind(' ') - begin));
    }
    rq.in.consume(head.head_bytes);
    return out;
}

// The client is to come back to the endpoint that has answered.
void set_cookie(request& rq, const course& c, const endpoint_pool& answered) {
    std::string cookie = c.at.upstream->cookie_for(c.key, answered, rq.scheme == "https");
    if (cookie.empty()) return;
    rq.edit_answer().add.emplace_back("Set-Cookie", std::move(cookie));
}

} // namespace

task<upstream_lease> exchange(request& rq, route r) {
    place& at = co_await here();
    const peer_watch client_watch(rq.client, at, client_side);
    const abort_watch drain_watch(rq.life->ended(), at);
    const abort_point by_operator(rq.flow, at);
    co_await checkpoint(); // for a client that has gone already nothing is begun

    if (rq.verb == http::method::connect) co_return co_await open_tunnel(rq, r);
    const auto key_at = [&](upstream* u) {
        return u ? u->key_of(&rq.parsers->request.head(), rq.client_address.view()) : pick_key();
    };
    const compression_options& compression = r.options.compression;
    if (!compression.algorithms.empty()) rq.coding = wanted_coding(compression, rq.parsers->request.head().headers);
    course c(r, key_at(r.upstream), key_at(r.fallback));
    rq.trace.begin_attempt();
    chunk upstream_head = take_upstream_head(rq, r); // before anything fails: it must not be seen again
    if (upstream_head.empty()) {
        rq.why = cause::client_protocol;
        co_await fail(errc::protocol, client_side, "the request's head cannot be passed on");
    }
    outgoing out(rq, r.options, std::move(upstream_head));
    for (;;) {
        if (c.at.fallback && c.at.upstream->none_is_well()) c.fall_back(rq);
        one_try t;
        ++rq.attempts;
        co_await try_once(rq, c, out, t, at);
        judge(rq, c, t);
        const std::optional<duration> pause = pause_before_next(rq, c, out, t);
        if (!pause && !t.answered) co_await give_up(rq, c.at, t.failure);
        if (!pause) {
            c.share.end_retry();
            out.forget();
            if (rq.parsers->response.head().status == 101) {
                co_await switch_protocols(rq, c.at, t.up);
                t.up.keep(std::move(c.permit));
                co_return std::move(t.up);
            }
            set_cookie(rq, c, t.up.home());
            if (c.at.spool) t.up.keep(std::move(c.permit)); // which is to go with the connection
            const bool reusable = co_await send_response(rq, c.at, t.up, c.share);
            rq.trace.mark(&traced_attempt::ended);
            t.uploading.stop();
            if (t.up) part(t.up, rq.uploaded, reusable);
            co_return upstream_lease();
        }
        t.uploading.stop();
        if (t.answered) {
            discard_response(rq, t.up);
            rq.trace.mark(&traced_attempt::ended);
        }
        t.up.drop();
        co_await sleep_for(*pause);
        rq.trace.begin_attempt();
        out.rewind(rq);
    }
}

void report_failure(request& rq) noexcept {
    if (!rq.asked) return;
    switch (*rq.why) {
    case cause::upstream_closed:
    case cause::upstream_reset:
    case cause::upstream_timeout:
    case cause::upstream_idle:
    case cause::upstream_protocol: rq.asked->report(verdict::failure); break;
    default: break;
    }
    rq.asked = nullptr;
}

} // namespace headgate::gateway
