#include <headgate/core/sleep.hpp>

#include <algorithm>

#include <fmt/format.h>

#include <gateway/duplex.hpp>
#include <gateway/forward.hpp>
#include <gateway/problem.hpp>
#include <gateway/proxy.hpp>

namespace headgate::gateway {

using http::parse_state;

namespace {

// Most heads fit into the first; a longer one moves to a buffer that takes the longest allowed.
constexpr std::size_t first_buffer = 4 * 1024;

// How much, and for how long, is read from a client after its answer, so that what it still sends does not reset the
// connection and take the answer with it.
constexpr std::size_t linger_bytes_max = 64 * 1024;
constexpr duration linger_time_max = 500ms;
constexpr duration linger_pause = 50ms; // how often it is looked at

int status_of(cause c) {
    switch (c) {
    case cause::client_protocol: return 400;
    case cause::client_too_large: return 413;
    case cause::client_idle:
    case cause::client_slow_header: return 408;
    case cause::upstream_connect_timeout:
    case cause::upstream_timeout:
    case cause::upstream_idle: return 504;
    case cause::drained:
    case cause::overloaded: return 503;
    case cause::internal: return 500;
    default: return 502;
    }
}

std::string describe(cause c, const request& rq, const flow_error& e) {
    const std::string upstream = "the upstream " + std::string(rq.upstream);
    const std::string detail = e.detail.empty() ? std::string() : ": " + e.detail;
    switch (c) {
    case cause::client_protocol: return "the request is malformed" + detail;
    case cause::client_too_large: return "the request's body" + detail;
    case cause::client_idle: return "the request's body did not go on in time" + detail;
    case cause::upstream_refused: return upstream + " refused the connection";
    case cause::upstream_unreachable: return upstream + " cannot be reached" + detail;
    case cause::upstream_connect_timeout: return upstream + " did not accept the connection in time";
    case cause::upstream_closed: return upstream + " closed the connection before its response was complete";
    case cause::upstream_reset: return upstream + " reset the connection before its response was complete";
    case cause::upstream_timeout: return upstream + " did not respond in time";
    case cause::upstream_idle: return upstream + " did not take the request in time";
    case cause::upstream_protocol: return upstream + " sent a malformed response" + detail;
    case cause::drained: return "the gateway is shutting down";
    case cause::overloaded: return "the gateway has no descriptors or memory left for this request";
    default: return e.message();
    }
}

std::string refusal_text(int status, std::string_view detail) {
    return std::string(make_response({.status = status, .detail = detail, .request_id = {}, .retry_after = 1}).text());
}

struct count_guard {
    explicit count_guard(std::size_t& n) noexcept : n_(n) { ++n_; }
    count_guard(const count_guard&) = delete;
    count_guard& operator=(const count_guard&) = delete;
    ~count_guard() { --n_; }

private:
    std::size_t& n_;
};

} // namespace

std::unique_ptr<head_parsers> parser_pool::take() {
    if (kept_.empty()) return std::make_unique<head_parsers>(requests_, responses_);
    auto p = std::move(kept_.back());
    kept_.pop_back();
    p->request.reset();
    return p;
}

void parser_pool::put(std::unique_ptr<head_parsers> p) noexcept {
    if (p && kept_.size() < kept_max) kept_.push_back(std::move(p));
}

proxy::proxy(worker& w, const proxy_options& o)
    : worker_(w), options_(o), upstream_(o.to, o.upstream, w.options().alive),
      parsers_(o.http.heads, o.route.response_heads),
      overloaded_(refusal_text(503, "all connections that this gateway accepts are in use")),
      too_many_(refusal_text(429, "this client has as many connections as one client may have")) {}

task<> proxy::serve(socket client, client_peer peer) {
    http::inbound in;
    for (std::size_t requests = 0;;) {
        if (in.empty()) {
            const idle_connection idle(worker_, client);
            const duration limit = requests == 0 ? options_.http.header_timeout : options_.http.keep_alive_timeout;
            if (const auto ready = co_await client.readable(limit); !ready) co_return;
        }
        const bool last = ++requests >= options_.http.requests_per_connection_max;
        if (!co_await serve_request(client, in, peer, last) || worker_.draining()) co_return;
    }
}

// Gives whether the connection may carry another request.
task<bool> proxy::serve_request(socket& client, http::inbound& in, const peer_address& peer, bool last) {
    request rq{.client = client, .in = in, .parsers = parser_pool::lease(parsers_)};
    rq.begun = executor::current().turn_time();
    const request_ids::id own_id = ids_.next();
    rq.id.set({own_id.data(), own_id.size()});
    if (!co_await read_head(rq)) {
        if (rq.why) log(rq, peer);
        if (rq.status != 0) co_await linger(rq);
        co_return false;
    }
    const count_guard counted(worker_.requests);
    take_head(rq, peer);
    if (last) rq.keep_alive = false;
    if (auto no = not_served(rq)) {
        rq.why = no->why;
        co_await answer(rq, no->status, std::move(no->detail), false);
        log(rq, peer);
        co_await linger(rq);
        co_return false;
    }
    auto end = co_await attempt(exchange(rq, {worker_, options_.route, upstream_}));
    rq.parsers.release();
    if (end && *end) {
        co_await relay_switched(rq, std::move(*end));
        log(rq, peer);
        co_return false;
    }
    if (end) {
        rq.why = cause::complete;
        if (!rq.uploaded) rq.persistent = false;
    } else {
        const flow_error& e = end.error();
        if (!rq.why) rq.why = cause_of(e.code, e.where == side::source ? party::upstream : party::client);
        if (rq.answered || *rq.why == cause::client_closed || *rq.why == cause::client_reset) {
            client.reset(); // what it has of the answer must not look whole
            rq.persistent = false;
        } else {
            // When descriptors are short, the client's own is one that can be given back.
            const bool may_persist = *rq.why != cause::overloaded;
            co_await answer(rq, status_of(*rq.why), describe(*rq.why, rq, e), may_persist);
        }
    }
    log(rq, peer);
    if (!rq.persistent && client) co_await linger(rq);
    co_return rq.persistent;
}

// The client and the upstream speak another protocol from now on.
task<> proxy::relay_switched(request& rq, upstream_lease up) {
    duplex joined{.on = worker_,
                  .client = rq.client,
                  .upstream = up.connection(),
                  .idle_timeout = options_.route.upgrade_idle_timeout,
                  .half_close_timeout = options_.route.upgrade_half_close_timeout,
                  .from_client = &rq.in,
                  .from_upstream = &up.in()};
    const auto end = co_await attempt(relay_both_ways(joined));
    rq.up = joined.up;
    rq.down = joined.down;
    if (end) {
        rq.why = cause::complete;
        up.close();
    } else {
        rq.why = joined.why ? *joined.why : cause_of(end.error().code, party::client);
        up.drop();
        rq.client.reset();
    }
}

// Why a request goes no further than its head, if so.
std::optional<proxy::refusal_of> proxy::not_served(const request& rq) const {
    const http::request_head& head = rq.parsers->request.head();
    if (rq.verb == http::method::connect) {
        if (!options_.route.connect) return refusal_of{cause::client_method, 405, "CONNECT is not served here"};
        if (head.find(http::field::content_length) || head.find(http::field::transfer_encoding))
            return refusal_of{cause::client_protocol, 400, "CONNECT has no body (RFC 9110, section 9.3.6)"};
    }
    if (forwards_left(head) == 0)
        return refusal_of{cause::client_method, 501,
                          "Max-Forwards ends here, and this gateway has no answer of its own"};
    if (rq.framing.how == http::body_framing::kind::length && rq.framing.length > options_.route.request_body_max)
        return refusal_of{cause::client_too_large, 413,
                          fmt::format("the request's body has {} bytes, and {} are allowed", rq.framing.length,
                                      options_.route.request_body_max)};
    return std::nullopt;
}

// Reads until the head is complete. Gives false when the connection ends here: at the client's end, or after an answer.
task<bool> proxy::read_head(request& rq) {
    http::request_parser& parser = rq.parsers->request;
    const time_point deadline = rq.begun + options_.http.header_timeout;
    if (!rq.in.empty()) rq.in.make_contiguous(first_buffer);
    for (;;) {
        if (!rq.in.empty()) {
            const http::parse_result p = parser.parse(rq.in.bytes());
            if (p.state == parse_state::complete) co_return true;
            rq.verb = parser.head().method; // also an answer to a head that is not complete has no body after HEAD
            if (p.state == parse_state::error) {
                rq.why = cause::client_protocol;
                co_await answer(rq, p.error.status, p.error.reason, true);
                co_return false;
            }
            if (rq.in.bytes().size() >= first_buffer) {
                rq.in.make_contiguous(options_.http.heads.head_bytes_max + 1);
                parser.reset();
            }
        }
        const duration left = std::max(deadline - executor::current().turn_time(), duration::zero());
        const auto n = co_await rq.client.read_some(rq.in.room(first_buffer), left);
        if (n && *n != 0) {
            rq.in.received(*n);
            continue;
        }
        if (rq.in.empty()) {
            rq.in.release();
            co_return false; // between requests anyone may leave
        }
        if (n)
            rq.why = cause::client_closed;
        else if (n.error() == errc::timed_out)
            rq.why = cause::client_slow_header;
        else
            rq.why = cause::client_reset;
        if (rq.why == cause::client_slow_header)
            co_await answer(rq, 408, "the request's head was not complete in time", true);
        co_return false;
    }
}

// Keeps what is needed of the head when it is gone.
void proxy::take_head(request& rq, const peer_address& peer) {
    const http::request_head& head = rq.parsers->request.head();
    rq.head_read = true;
    rq.verb = head.method;
    rq.method.set(head.method_text);
    rq.target.set(head.target);
    rq.framing = head.framing;
    rq.client_minor = head.minor_version;
    rq.keep_alive = head.keep_alive;
    rq.switch_to = allowed_upgrade(head, options_.route.upgrades);
    rq.client_address.size = peer.write_host(rq.client_address.bytes);
    if (const std::string_view given = usable_request_id(head); !given.empty()) rq.id.set(given);
}

// Gives an answer of our own. The connection goes on if nothing of the request is left unread.
task<> proxy::answer(request& rq, int status, std::string detail, bool may_persist) {
    rq.status = status;
    const bool read = rq.head_read && (rq.uploaded || !rq.framing.has_body());
    rq.persistent = may_persist && read && rq.keep_alive && !worker_.draining();
    const chunk out = make_response({.status = status,
                                     .detail = detail,
                                     .request_id = rq.id.view(),
                                     .keep_alive = rq.persistent,
                                     .head_only = rq.verb == http::method::head,
                                     .retry_after = status == 503 ? 1 : 0});
    rq.down = out.size() - (out.text().find("\r\n\r\n") + 4);
    if (!co_await rq.client.write_all(out.text(), options_.http.client_idle_timeout)) rq.persistent = false;
}

// Ends our direction and, if the client has sent more than was used, reads on for a while: closing with unread bytes
// resets the connection, and the client might lose what it has not read yet (RFC 9112, section 9.6). Until the client's
// system has confirmed all of the answer, that goes on as long as it keeps confirming; then for linger_time_max, or
// linger_bytes_max.
task<> proxy::linger(request& rq) {
    socket& client = rq.client;
    const bool more = !rq.in.empty() || !rq.uploaded || client.state().readable;
    rq.in.release();
    if (!more || client.end()) co_return;
    std::size_t waiting_for = client.unacknowledged();
    std::size_t read = 0;
    time_point since = executor::current().turn_time();
    for (;;) {
        const std::size_t unconfirmed = client.unacknowledged();
        const duration passed = executor::current().turn_time() - since;
        if (unconfirmed < waiting_for) {
            waiting_for = unconfirmed;
            since = executor::current().turn_time();
            read = 0;
        } else if (passed >= (unconfirmed != 0 ? options_.http.client_idle_timeout : linger_time_max)) {
            co_return;
        }
        if (read >= linger_bytes_max) {
            if (unconfirmed == 0) co_return;
            co_await sleep_for(linger_pause);
            read = 0;
        }
        if (!co_await client.readable(linger_pause)) continue;
        chunk buffer(chunk_medium);
        const auto n = co_await client.read_some(buffer.bytes(), linger_pause);
        if (!n || *n == 0) co_return;
        read += *n;
    }
}

void proxy::log(const request& rq, const peer_address& peer) {
    if (!worker_.options().access_log) return;
    const auto took = executor::current().now() - rq.begun;
    const std::string client = peer.text();
    worker_.log({.method = rq.method.view(),
                 .target = rq.target.view(),
                 .client = client,
                 .upstream = rq.upstream,
                 .id = rq.id.view(),
                 .status = rq.status,
                 .up = rq.up,
                 .down = rq.down,
                 .microseconds = std::chrono::duration_cast<std::chrono::microseconds>(took).count(),
                 .end = to_string(*rq.why)});
}

} // namespace headgate::gateway
