#include <headgate/core/abort_watch.hpp>
#include <headgate/core/memory_budget.hpp>
#include <headgate/core/sleep.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/http/body.hpp>
#include <headgate/http/token.hpp>
#include <headgate/io/peer_watch.hpp>
#include <headgate/stages/tally.hpp>

#include <algorithm>
#include <array>

#include <gateway/compression.hpp>
#include <gateway/exchange.hpp>
#include <gateway/forward.hpp>
#include <gateway/outgoing.hpp>
#include <gateway/path.hpp>

namespace headgate::gateway {

using http::body_framing;
using http::parse_state;

namespace {

constexpr side client_side = side::sink;
constexpr side upstream_side = side::source;

// Most response heads, with the beginning of the body, fit into this.
constexpr std::size_t response_buffer = 16 * 1024;

// A request may be sent twice if it is known not to do harm (RFC 9110, section 9.2.2).
bool idempotent(http::method m) {
    using enum http::method;
    return m == get || m == head || m == put || m == delete_ || m == options || m == trace;
}

const header_edits* edits_of(const header_edits& e) { return e.empty() ? nullptr : &e; }

// There are as many connections as there may be.
task<> not_admitted(request& rq, std::error_code why) {
    rq.why = cause::upstream_busy;
    co_await fail(why, upstream_side,
                  why == errc::timed_out ? "none became free in time" : "as many requests as may wait for one");
}

// How a try ended that brought no answer.
struct failed_try {
    cause why{};
    std::error_code code{};
    std::string_view detail{}; // static; empty: the code's own text, or none
    bool silent = false;       // the connection turned out to be dead before it gave a byte
};

// Gives false: whether there is an answer.
bool no_answer(failed_try& f, cause why, std::error_code code, std::string_view detail = {}) {
    f = {.why = why, .code = code, .detail = detail};
    return false;
}

// What has become of a request so far.
struct tries {
    std::uint32_t retries = 0;
    const endpoint_pool* failed = nullptr; // where the last try ended
    bool stale = false;                    // a kept connection was dead already: from then on it gets new ones
};

// Whether the request can be sent from its beginning again, and does no harm if it arrives twice.
bool may_repeat(const request& rq, const route& r, const outgoing& out, bool unsent) {
    return !rq.hinted && out.repeatable() && (unsent || idempotent(rq.verb) || r.options.retries.non_idempotent);
}

// Tells the endpoint how its try went. A kept connection may have been closed for its idleness: that tells nothing.
void tell(request& rq, bool answered, bool was_stale) {
    endpoint_pool& asked = *std::exchange(rq.asked, nullptr);
    if (answered)
        asked.report(rq.parsers->response.head().status >= 500 ? verdict::server_error : verdict::success);
    else if (!was_stale)
        asked.report(verdict::failure);
}

// How long to wait until the request is sent once more; nothing if the answer, or the failure, is the last word.
std::optional<duration> pause_before_retry(const request& rq, const route& r, tries& so_far, retry_budget::share& share,
                                           bool answered, cause why) {
    const retry_options& o = r.options.retries;
    if (so_far.retries >= o.num_retries) return std::nullopt;
    duration least{};
    if (answered) {
        const http::response_head& head = rq.parsers->response.head();
        if (head.status == 101 || !asks_for_retry(o.retry_on, head.status)) return std::nullopt;
        least = retry_after(head).value_or(duration::zero());
        if (least > o.retry_after_max) return std::nullopt;
    } else if (!asks_for_retry(o.retry_on, why)) {
        return std::nullopt;
    }
    const duration pause = std::max(least, back_off(o, so_far.retries + 1, r.upstream.chance()));
    if (pause >= rq.answer_by - executor::current().turn_time() || !share.begin_retry()) return std::nullopt;
    ++so_far.retries;
    return pause;
}

// An answer is not passed on. Its connection can be used again if all of it is there.
void discard_answer(request& rq, upstream_lease& up) {
    const http::response_head& head = rq.parsers->response.head();
    const std::uint64_t length = head.framing.how == body_framing::kind::length ? head.framing.length : 0;
    const bool whole =
        (head.framing.how == body_framing::kind::none || head.framing.how == body_framing::kind::length) &&
        up.in().bytes().size() - head.head_bytes >= length;
    if (!rq.uploaded || !whole || !head.keep_alive || head.minor_version != 1) return up.drop();
    up.in().consume(head.head_bytes + length);
    up.give_back();
}

// The response is complete.
void part(upstream_lease& up, bool uploaded, bool reusable) {
    if (!uploaded)
        up.drop();
    else if (reusable)
        up.give_back();
    else
        up.close();
}

bool is_connect_failure(cause c) {
    return c == cause::upstream_refused || c == cause::upstream_unreachable || c == cause::upstream_connect_timeout ||
           c == cause::overloaded;
}

task<> give_up(request& rq, failed_try f) {
    rq.why = f.why;
    co_await fail(f.code, upstream_side,
                  is_connect_failure(f.why) && f.detail.empty() ? f.code.message() : std::string(f.detail));
}

// The time that is left for the response's head: none of it passes while the request is still being sent.
duration head_time_left(const request& rq, const route& r) {
    const duration limit = std::min(r.options.first_byte_timeout, r.options.retries.per_try_timeout);
    if (!rq.uploaded && !rq.upload_refused) return limit;
    const time_point now = executor::current().turn_time();
    const duration left = std::min(limit - (now - rq.sent), rq.answer_by - now);
    return std::max<duration>(left, duration::zero());
}

// Reads more of the response's head. Gives whether there was more.
task<bool> read_more(request& rq, route r, upstream_lease& up, failed_try& f) {
    for (;;) {
        const duration left = head_time_left(rq, r);
        const auto ready = co_await up.connection().readable(left);
        if (ready) break;
        if (head_time_left(rq, r) > duration::zero()) continue;
        co_return no_answer(f, cause::upstream_timeout, errc::timed_out);
    }
    const auto n = co_await up.connection().read_some(
        up.in().room(up.in().empty() ? memory_share(response_buffer) : response_buffer));
    if (!n || *n == 0) {
        if (up.in().empty()) up.in().release();
        const std::error_code why = n ? make_error_code(errc::premature_close) : n.error();
        co_return no_answer(f, cause_of(why, party::upstream), why);
    }
    up.in().received(*n);
    co_return true;
}

task<> relay_interim(request& rq, route r, upstream_lease& up) {
    const http::response_head& head = rq.parsers->response.head();
    if (rq.client_minor != 0) {
        rq.hinted = true;
        const chunk out = make_interim_head(head);
        const auto written = co_await rq.client.write_all(out.text(), r.options.client_idle_timeout);
        if (!written) co_await fail(written.error(), client_side);
    }
    up.in().consume(head.head_bytes);
    rq.parsers->response.reset(rq.verb);
    up.in().make_contiguous(response_buffer);
}

// Reads the head of the final response, and passes on the interim ones before it. Gives whether there is one.
task<bool> read_response_head(request& rq, route r, upstream_lease& up, failed_try& f) {
    rq.parsers->response.set_limits(r.options.response_heads);
    rq.parsers->response.reset(rq.verb);
    std::size_t interim = 0;
    bool any = false;
    for (;;) {
        if (!up.in().empty()) {
            const http::parse_result p = rq.parsers->response.parse(up.in().bytes());
            if (p.state == parse_state::error)
                co_return no_answer(f, cause::upstream_protocol, errc::protocol, p.error.reason);
            if (p.state == parse_state::complete) {
                const http::response_head& head = rq.parsers->response.head();
                if (!head.informational() || head.status == 101) co_return true;
                if (++interim > r.options.interim_responses_max)
                    co_return no_answer(f, cause::upstream_protocol, errc::protocol, "it sent too many 1xx responses");
                co_await relay_interim(rq, r, up);
                continue;
            }
            if (up.in().full()) {
                // The whole head must lie in one piece: it moves to a buffer that takes more, in the end the longest
                // allowed.
                const bool long_one = up.in().bytes().size() >= response_buffer;
                up.in().make_contiguous(long_one ? r.options.response_heads.head_bytes_max + 1 : response_buffer);
                rq.parsers->response.reset(rq.verb);
            }
        }
        if (!co_await read_more(rq, r, up, f)) {
            f.silent = !any && f.why != cause::upstream_timeout;
            co_return false;
        }
        any = true;
    }
}

// Sends the body as it comes, compressed. Trailers, which may speak of the bytes that came, stay behind.
task<> send_compressed(request& rq, route r, upstream_lease& up, body_framing from, http::body_sink to,
                       std::string_view coding) {
    if (up.in().empty()) co_await to.send_head(); // the body may be long in coming
    http::chunked_decoder decoder(r.options.chunks);
    byte_rate rate(r.options.response_rate_max);
    std::uint64_t plain = 0;
    tally_counts sent;
    const auto end = co_await pipeline(
        http::body_source{.from = &up.connection(),
                          .in = &up.in(),
                          .framing = from,
                          .decoder = &decoder,
                          .limits = r.limits(r.options.upstream_pace(), r.options.client_pace(), rate, plain)},
        encoder(coding, r.options.compression.level), tally(&sent), std::move(to));
    rq.down = sent.bytes;
    if (end) co_return;
    const flow_error& e = end.error();
    rq.why = cause_of(e.code, e.where == side::source ? party::upstream : party::client);
    co_await fail(e.code, e.where, e.detail);
}

// The response's head is there. Sends it, and the body as it comes. Gives whether the upstream keeps the connection.
task<bool> send_response(request& rq, route r, upstream_lease& up) {
    const http::response_head& head = rq.parsers->response.head();
    const body_framing from = head.framing;
    body_framing to = from;
    if (rq.client_minor == 0 && from.how == body_framing::kind::chunked) to.how = body_framing::kind::until_close;
    const bool reusable = head.keep_alive && head.minor_version == 1;
    const bool varies = may_compress(r.options.compression, head);
    const std::string_view coding = varies ? rq.coding : std::string_view();
    if (!coding.empty()) to.how = rq.client_minor == 0 ? body_framing::kind::until_close : body_framing::kind::chunked;
    const std::uint64_t length = from.how == body_framing::kind::length ? from.length : 0;
    const bool at_hand = from.how == body_framing::kind::none ||
                         (from.how == body_framing::kind::length && up.in().bytes().size() - head.head_bytes >= length);
    // A final answer in the midst of an upload ends the upload if it is an error or is complete; otherwise the two go
    // on side by side.
    const bool cuts_upload = !rq.uploaded && (head.status >= 300 || at_hand);
    rq.persistent = rq.keep_alive && to.how != body_framing::kind::until_close && !r.on.draining() && !cuts_upload;
    chunk out = make_client_head(head, {.body = to,
                                        .persistent = rq.persistent,
                                        .client_minor = rq.client_minor,
                                        .request_id = rq.id.view(),
                                        .edits = edits_of(r.action.response_headers),
                                        .policy_edits = rq.answer_edits.get(),
                                        .coding = coding,
                                        .varies = varies && !varies_by_encoding(head.headers)});
    if (out.empty()) {
        rq.why = cause::upstream_protocol;
        co_await fail(errc::protocol, upstream_side, "its head cannot be passed on");
    }
    up.in().consume(head.head_bytes);
    rq.status = head.status;
    rq.answered = true;
    rq.parsers.release();

    if (!coding.empty()) {
        co_await send_compressed(rq, r, up, from,
                                 http::body_sink(rq.client, to, std::move(out), r.options.client_pace()), coding);
    } else if (at_hand) {
        const std::string_view body = up.in().bytes().substr(0, length);
        const bool joined = join(out, body);
        std::array<iovec, 2> parts{{{out.data(), out.size()}, {const_cast<char*>(body.data()), body.size()}}};
        const auto written =
            co_await rq.client.write_all(std::span(parts.data(), joined ? 1 : 2), r.options.client_idle_timeout);
        if (!written) co_await fail(written.error(), client_side);
        up.in().consume(length);
        rq.down = length;
    } else {
        http::chunked_decoder decoder(r.options.chunks);
        const pace_limits client = r.options.client_pace();
        byte_rate rate(r.options.response_rate_max);
        const auto sent =
            co_await pipeline(http::body_source{.from = &up.connection(),
                                                .in = &up.in(),
                                                .framing = from,
                                                .decoder = &decoder,
                                                .limits = r.limits(r.options.upstream_pace(), client, rate, rq.down)},
                              http::body_sink(rq.client, to, std::move(out), client));
        if (!sent) {
            const flow_error& e = sent.error();
            rq.why = cause_of(e.code, e.where == side::source ? party::upstream : party::client);
            co_await fail(e.code, e.where, e.detail);
        }
    }
    co_return reusable;
}

// The upstream has sent 101: tells the client, unless nobody asked for it.
task<> switch_protocols(request& rq, route r, upstream_lease& up) {
    const http::response_head& head = rq.parsers->response.head();
    if (rq.switch_to.empty() || !http::same_token(head.value(http::field::upgrade), rq.switch_to)) {
        rq.why = cause::upstream_protocol;
        co_await fail(errc::protocol, upstream_side, "it switched to a protocol that was not asked for");
    }
    const chunk out = make_switch_head(head, {.protocol = rq.switch_to, .request_id = rq.id.view()});
    if (out.empty()) {
        rq.why = cause::upstream_protocol;
        co_await fail(errc::protocol, upstream_side, "its head cannot be passed on");
    }
    up.in().consume(head.head_bytes);
    rq.status = head.status;
    rq.answered = true;
    rq.parsers.release();
    const auto written = co_await rq.client.write_all(out.text(), r.options.client_idle_timeout);
    if (!written) co_await fail(written.error(), client_side);
}

// CONNECT is answered here, as soon as there is a connection (RFC 9110, section 9.3.6).
task<upstream_lease> open_tunnel(request& rq, route r) {
    const pick_key key = r.upstream.key_of(&rq.parsers->request.head(), rq.client_address.view());
    rq.in.consume(rq.parsers->request.head().head_bytes);
    rq.parsers.release();
    rq.uploaded = true;
    auto permit = co_await r.upstream.admit();
    if (!permit) co_await not_admitted(rq, permit.error());
    auto connected = co_await r.upstream.connect(r.upstream.pick(key), rq.upstream, key);
    if (!connected) co_await give_up(rq, {cause_of_connect(connected.error()), connected.error()});
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

// The request's head as it goes to the upstream.
chunk upstream_head_of(const request& rq, const route& r) {
    const http::request_head& head = rq.parsers->request.head();
    const proxy_action& a = r.action;
    request::text<48> peer_text;
    peer_text.size = rq.peer.write_host(peer_text.bytes);
    std::string path;
    if ((a.replace_prefix || a.replace_path) && head.path.starts_with('/'))
        path = replaced_path(normal_path(head.path), r.matched_prefix, a.replace_prefix, a.replace_path);
    return make_upstream_head(head, {.peer = peer_text.view(),
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
                                     .edits = edits_of(a.request_headers)});
}

} // namespace

task<upstream_lease> exchange(request& rq, route r) {
    place& at = co_await here();
    const peer_watch client_watch(rq.client, at, client_side);
    const abort_watch drain_watch(rq.life->ended(), at);
    co_await checkpoint(); // for a client that has gone already nothing is begun

    if (rq.verb == http::method::connect) co_return co_await open_tunnel(rq, r);
    const http::request_head& head = rq.parsers->request.head();
    chunk upstream_head = upstream_head_of(rq, r);
    const compression_options& compression = r.options.compression;
    if (!compression.algorithms.empty()) rq.coding = wanted_coding(compression, head.headers);
    const pick_key key = r.upstream.key_of(&head, rq.client_address.view());
    rq.in.consume(head.head_bytes); // before anything fails: a connection that is kept must not see it again
    if (upstream_head.empty()) {
        rq.why = cause::client_protocol;
        co_await fail(errc::protocol, client_side, "the request's head cannot be passed on");
    }

    outgoing out(rq, r.options, std::move(upstream_head));
    retry_budget::share share(r.upstream.budget());
    connection_permit permit; // not held while a retry waits
    tries so_far;
    for (;;) {
        if (!permit) {
            auto admitted = co_await r.upstream.admit();
            if (!admitted) co_await not_admitted(rq, admitted.error());
            permit = std::move(*admitted);
        }
        upstream_lease up;
        failed_try f;
        endpoint_pool& to = r.upstream.pick(key, so_far.failed);
        rq.upstream = to.name();
        if (!so_far.stale) up = to.reuse();
        if (!up) {
            auto made = co_await r.upstream.connect(to, rq.upstream, key);
            if (made)
                up = std::move(*made);
            else
                no_answer(f, cause_of_connect(made.error()), made.error());
        }
        strand uploading;
        bool answered = false;
        bool unsent = true; // the upstream's system has not taken a byte of the request
        if (up && out.at_hand()) {
            rq.asked = &up.home();
            std::array<iovec, 2> parts{
                {{out.head().data(), out.head().size()}, {out.body().data(), out.body().size()}}};
            const auto written = co_await up.connection().write_all(std::span(parts.data(), out.body().empty() ? 1 : 2),
                                                                    r.options.upstream_idle_timeout);
            unsent = !written && parts[0].iov_len == out.head().size();
            rq.sent = executor::current().turn_time();
            // What was not taken is not lost yet: the upstream may have answered, or it is a connection to replace.
            if (!written && written.error() == errc::timed_out)
                no_answer(f, cause::upstream_idle, errc::idle);
            else
                answered = co_await read_response_head(rq, r, up, f);
        } else if (up) {
            rq.asked = &up.home();
            unsent = false;
            uploading.start(out.upload(rq, r, up), at);
            answered = co_await read_response_head(rq, r, up, f);
        }

        const bool was_stale = !answered && up && up.reused() && f.silent;
        if (up && !was_stale) so_far.failed = &up.home();
        if (rq.asked) tell(rq, answered, was_stale);
        if (up && rq.uploaded) rq.answer_by = std::min(rq.answer_by, rq.sent + r.options.first_byte_timeout);
        std::optional<duration> pause;
        if (may_repeat(rq, r, out, unsent)) {
            if (was_stale && !std::exchange(so_far.stale, true))
                pause = duration::zero();
            else
                pause = pause_before_retry(rq, r, so_far, share, answered, f.why);
        }
        if (!pause && !answered) co_await give_up(rq, f);
        if (!pause) {
            share.end_retry();
            out.forget();
            if (rq.parsers->response.head().status == 101) {
                co_await switch_protocols(rq, r, up);
                up.keep(std::move(permit));
                co_return up;
            }
            const bool reusable = co_await send_response(rq, r, up);
            uploading.stop();
            part(up, rq.uploaded, reusable);
            co_return upstream_lease();
        }
        uploading.stop();
        if (answered) discard_answer(rq, up);
        up.drop();
        if (!was_stale) permit.release();
        co_await sleep_for(*pause);
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
