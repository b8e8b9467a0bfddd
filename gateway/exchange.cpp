#include <headgate/core/abort_watch.hpp>
#include <headgate/core/memory_budget.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/http/body.hpp>
#include <headgate/http/token.hpp>
#include <headgate/io/peer_watch.hpp>

#include <algorithm>
#include <array>

#include <gateway/exchange.hpp>
#include <gateway/forward.hpp>
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

relay_limits limits_of(const route& r, pace_limits source, pace_limits sink, byte_rate& rate, std::uint64_t& total) {
    return {.buffer_bytes = r.on.options().stream_buffer,
            .source = source,
            .sink = sink,
            .pipes = &r.on.pipes(),
            .rate = &rate,
            .total = &total};
}

// A small body travels in one piece with its head, which is cheaper than a write of two.
constexpr std::size_t joined_body_max = 2048;
bool join(chunk& head, std::string_view body) { return body.size() <= joined_body_max && head.append(body); }

const header_edits* edits_of(const header_edits& e) { return e.empty() ? nullptr : &e; }

// There are as many connections as there may be.
task<> not_admitted(request& rq, std::error_code why) {
    rq.why = cause::upstream_busy;
    co_await fail(why, upstream_side,
                  why == errc::timed_out ? "none became free in time" : "as many requests as may wait for one");
}

task<upstream_lease> connect(request& rq, route r, endpoint_pool* to, pick_key key) {
    auto c = co_await r.upstream.connect(*to, rq.upstream, key);
    if (!c) {
        rq.why = cause_of_connect(c.error());
        co_await fail(c.error(), upstream_side, c.error().message());
    }
    co_return std::move(*c);
}

// Sends the body to the upstream as it comes, beside the response. If the upstream does not take it, it may have
// answered already: then the response tells.
task<> upload(request& rq, route r, upstream_lease& up, chunk head) {
    http::chunked_decoder decoder(r.options.chunks);
    const pace_limits upstream = r.options.upstream_pace();
    byte_rate rate(r.options.request_rate_max);
    const auto sent =
        co_await pipeline(http::body_source{.from = &rq.client,
                                            .in = &rq.in,
                                            .framing = rq.framing,
                                            .decoder = &decoder,
                                            .limits = limits_of(r, r.options.client_pace(), upstream, rate, rq.up),
                                            .payload_max = r.options.request_body_max},
                          http::body_sink(up.connection(), rq.framing, std::move(head), upstream));
    if (sent) {
        rq.uploaded = true;
        rq.sent = executor::current().turn_time();
        co_return;
    }
    const flow_error& e = sent.error();
    if (e.where == side::sink) {
        if (e.code != errc::idle) {
            rq.upload_refused = true;
            rq.sent = executor::current().turn_time();
            co_return;
        }
        rq.why = cause::upstream_idle;
        co_await fail(e.code, upstream_side, e.detail);
    }
    rq.why = cause_of(e.code, party::client);
    co_await fail(e.code, client_side, e.detail);
}

// The time that is left for the response's head: none of it passes while the request is still being sent.
duration head_time_left(const request& rq, const route& r) {
    if (!rq.uploaded && !rq.upload_refused) return r.options.first_byte_timeout;
    const duration passed = executor::current().turn_time() - rq.sent;
    return std::max<duration>(r.options.first_byte_timeout - passed, duration::zero());
}

// Reads more of the response's head. Gives whether there was more: false at the end of the connection, or when it was
// reset.
task<bool> read_more(request& rq, route r, upstream_lease& up, std::error_code& why) {
    for (;;) {
        const duration left = head_time_left(rq, r);
        const auto ready = co_await up.connection().readable(left);
        if (ready) break;
        if (head_time_left(rq, r) > duration::zero()) continue;
        rq.why = cause::upstream_timeout;
        co_await fail(errc::timed_out, upstream_side);
    }
    const auto n = co_await up.connection().read_some(
        up.in().room(up.in().empty() ? memory_share(response_buffer) : response_buffer));
    if (!n || *n == 0) {
        if (up.in().empty()) up.in().release();
        why = n ? make_error_code(errc::premature_close) : n.error();
        co_return false;
    }
    up.in().received(*n);
    co_return true;
}

task<> relay_interim(request& rq, route r, upstream_lease& up) {
    const http::response_head& head = rq.parsers->response.head();
    if (rq.client_minor != 0) {
        const chunk out = make_interim_head(head);
        const auto written = co_await rq.client.write_all(out.text(), r.options.client_idle_timeout);
        if (!written) co_await fail(written.error(), client_side);
    }
    up.in().consume(head.head_bytes);
    rq.parsers->response.reset(rq.verb);
    up.in().make_contiguous(response_buffer);
}

// Reads the head of the final response, and passes on the interim ones before it. Gives false if the connection turned
// out to be dead before it gave a byte; it may be that the upstream had closed it while it was idle.
task<bool> read_response_head(request& rq, route r, upstream_lease& up, std::error_code& dead) {
    rq.parsers->response.set_limits(r.options.response_heads);
    rq.parsers->response.reset(rq.verb);
    std::size_t interim = 0;
    bool any = false;
    for (;;) {
        if (!up.in().empty()) {
            const http::parse_result p = rq.parsers->response.parse(up.in().bytes());
            if (p.state == parse_state::error) {
                rq.why = cause::upstream_protocol;
                co_await fail(errc::protocol, upstream_side, p.error.reason);
            }
            if (p.state == parse_state::complete) {
                const http::response_head& head = rq.parsers->response.head();
                if (!head.informational() || head.status == 101) co_return true;
                if (++interim > r.options.interim_responses_max) {
                    rq.why = cause::upstream_protocol;
                    co_await fail(errc::protocol, upstream_side, "it sent too many 1xx responses");
                }
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
        std::error_code why;
        if (!co_await read_more(rq, r, up, why)) {
            if (!any) {
                dead = why;
                co_return false;
            }
            rq.why = cause_of(why, party::upstream);
            co_await fail(why, upstream_side);
        }
        any = true;
    }
}

// The response's head is there. Sends it, and the body as it comes. Gives whether the upstream keeps the connection.
task<bool> send_response(request& rq, route r, upstream_lease& up) {
    const http::response_head& head = rq.parsers->response.head();
    const body_framing from = head.framing;
    body_framing to = from;
    if (rq.client_minor == 0 && from.how == body_framing::kind::chunked) to.how = body_framing::kind::until_close;
    const bool reusable = head.keep_alive && head.minor_version == 1;
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
                                        .policy_edits = rq.answer_edits.get()});
    if (out.empty()) {
        rq.why = cause::upstream_protocol;
        co_await fail(errc::protocol, upstream_side, "its head cannot be passed on");
    }
    up.in().consume(head.head_bytes);
    rq.status = head.status;
    rq.answered = true;
    rq.parsers.release();

    if (at_hand) {
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
        const auto sent = co_await pipeline(
            http::body_source{.from = &up.connection(),
                              .in = &up.in(),
                              .framing = from,
                              .decoder = &decoder,
                              .limits = limits_of(r, r.options.upstream_pace(), client, rate, rq.down)},
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
    upstream_lease up = co_await connect(rq, r, &r.upstream.pick(key), key);
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
    const pick_key key = r.upstream.key_of(&head, rq.client_address.view());
    rq.in.consume(head.head_bytes); // before anything fails: a connection that is kept must not see it again
    if (upstream_head.empty()) {
        rq.why = cause::client_protocol;
        co_await fail(errc::protocol, client_side, "the request's head cannot be passed on");
    }

    // A body that is there already goes out with the head, and can be sent again.
    const std::uint64_t length = rq.framing.how == body_framing::kind::length ? rq.framing.length : 0;
    const bool at_hand = rq.framing.how == body_framing::kind::none ||
                         (rq.framing.how == body_framing::kind::length && rq.in.bytes().size() >= length);
    chunk body;
    if (at_hand && length != 0) {
        const std::string_view bytes = rq.in.bytes().substr(0, length);
        if (!join(upstream_head, bytes)) body = rq.in.share(bytes);
        rq.in.consume(length);
        rq.up = length;
    }
    rq.uploaded = at_hand;

    auto permit = co_await r.upstream.admit();
    if (!permit) co_await not_admitted(rq, permit.error());
    for (bool again = false;; again = true) {
        upstream_lease up;
        endpoint_pool& to = r.upstream.pick(key);
        rq.upstream = to.name();
        if (!again) up = to.reuse();
        if (!up) up = co_await connect(rq, r, &to, key);
        rq.asked = &up.home();
        strand uploading;
        bool unsent = false; // the upstream's system has not taken a byte of the request
        if (at_hand) {
            std::array<iovec, 2> parts{{{upstream_head.data(), upstream_head.size()}, {body.data(), body.size()}}};
            const auto written = co_await up.connection().write_all(std::span(parts.data(), body.empty() ? 1 : 2),
                                                                    r.options.upstream_idle_timeout);
            // What was not taken is not lost yet: the upstream may have answered, or it is a connection to replace.
            if (!written && written.error() == errc::timed_out) {
                rq.why = cause::upstream_idle;
                co_await fail(errc::idle, upstream_side);
            }
            unsent = !written && parts[0].iov_len == upstream_head.size();
            rq.sent = executor::current().turn_time();
        } else {
            uploading.start(upload(rq, r, up, upstream_head), at);
        }
        std::error_code dead;
        if (co_await read_response_head(rq, r, up, dead)) {
            const int status = rq.parsers->response.head().status;
            std::exchange(rq.asked, nullptr)->report(status >= 500 ? verdict::server_error : verdict::success);
            if (status == 101) {
                co_await switch_protocols(rq, r, up);
                up.keep(std::move(*permit));
                co_return up;
            }
            const bool kept = co_await send_response(rq, r, up);
            uploading.stop();
            if (!rq.uploaded)
                up.drop();
            else if (kept)
                up.give_back();
            else
                up.close();
            co_return upstream_lease();
        }
        const bool retry = !again && up.reused() && at_hand && (unsent || idempotent(rq.verb));
        if (up.reused()) rq.asked = nullptr; // it may have been closed for its idleness
        if (!retry) {
            rq.why = cause_of(dead, party::upstream);
            co_await fail(dead, upstream_side);
        }
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
