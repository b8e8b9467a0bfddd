#include <headgate/core/memory_budget.hpp>

#include <algorithm>

#include <fmt/format.h>

#include <gateway/duplex.hpp>
#include <gateway/forward.hpp>
#include <gateway/path.hpp>
#include <gateway/policy/arrival.hpp>
#include <gateway/problem.hpp>
#include <gateway/proxy.hpp>

namespace headgate::gateway {

using http::parse_state;

namespace {

// Most heads fit into the first; a longer one moves to a buffer that takes the longest allowed.
constexpr std::size_t first_buffer = 4 * 1024;

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
    case cause::upstream_busy:
    case cause::upstream_circuit_open:
    case cause::aborted_by_operator:
    case cause::overloaded: return 503;
    case cause::file_error:
    case cause::internal: return 500;
    default: return 502;
    }
}

std::string describe(cause c, const request& rq, const flow_error& e) {
    const std::string upstream = "the upstream " + std::string(rq.upstream.view());
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
    case cause::upstream_busy: return "all connections to the upstream are in use" + detail;
    case cause::upstream_circuit_open:
        return "too many requests to the upstream have failed: nothing is sent to it for a while";
    case cause::upstream_timeout: return upstream + " did not respond in time";
    case cause::upstream_idle: return upstream + " did not take the request in time";
    case cause::upstream_protocol: return upstream + " sent a malformed response" + detail;
    case cause::file_error: return "the file cannot be read";
    case cause::drained: return "the gateway is shutting down";
    case cause::aborted_by_operator: return "an operator has ended the request";
    case cause::overloaded: return "the gateway has no descriptors or memory left for this request";
    default: return e.message();
    }
}

std::string refusal_text(int status, std::string_view detail) {
    return std::string(make_response({.status = status, .detail = detail, .request_id = {}, .retry_after = 1}).text());
}

// Null if there is none.
const snapshot::route* find_route(const request& rq) {
    const http::request_head& head = rq.parsers->request.head();
    std::string normal;
    std::string_view path = head.path;
    if (!is_normal_path(path)) path = normal = normal_path(path);
    route_request asked{head.authority.host, path, head.query, head.method_text, &head.headers};
    auto found = rq.entrance.table.find(asked);
    // A preflight is for the route of the request that is to follow.
    if (rq.verb == http::method::options && is_preflight(head)) {
        asked.method = requested_method(head);
        const auto following = rq.entrance.table.find(asked);
        if (following && rq.entrance.routes[*following].answers_preflights()) found = following;
    }
    return found ? &rq.entrance.routes[*found] : nullptr;
}

void describe_request(const void* whose, flow_facts& f) {
    const request& rq = *static_cast<const request*>(whose);
    f = {.request_id = rq.id.view(),
         .listener = rq.listener,
         .method = rq.method.view(),
         .target = rq.target.view(),
         .upstream = rq.upstream.view(),
         .client = &rq.from,
         .status = rq.status,
         .up = rq.up,
         .down = rq.down,
         .why = rq.why};
}

flow_kind kind_of(const snapshot::route& r) noexcept {
    const auto& a = r.config->action;
    if (std::holds_alternative<proxy_action>(a)) return flow_kind::request;
    if (std::holds_alternative<static_action>(a)) return flow_kind::files;
    if (std::holds_alternative<export_action>(a)) return flow_kind::export_rows;
    return flow_kind::other;
}

struct count_guard {
    explicit count_guard(std::size_t& n) noexcept : n_(n) { ++n_; }
    count_guard(const count_guard&) = delete;
    count_guard& operator=(const count_guard&) = delete;
    ~count_guard() { --n_; }

private:
    std::size_t& n_;
};

// How long a connection that was accepted when its listener was about to be closed may wait before its request.
constexpr duration last_call = 1s;

} // namespace

std::unique_ptr<head_parsers> parser_pool::take() {
    if (kept_.empty()) return std::make_unique<head_parsers>();
    auto p = std::move(kept_.back());
    kept_.pop_back();
    p->request.reset();
    return p;
}

void parser_pool::put(std::unique_ptr<head_parsers> p) noexcept {
    if (p && kept_.size() < kept_max) kept_.push_back(std::move(p));
}

proxy::proxy(worker& w, std::string listener)
    : worker_(w), listener_(std::move(listener)),
      overloaded_(refusal_text(503, "all connections that this gateway accepts are in use")),
      too_many_(refusal_text(429, "this client has as many connections as one client may have")) {}

proxy::proxy(worker& w, const proxy_options& o) : proxy(w, w.options().listen.text()) {
    w.config().apply(snapshot_of(o, w.options()));
}

// There is no time for a handshake: to a client that expects one, plain text would be nonsense.
std::string_view proxy::refusal(int status) const noexcept {
    const auto& now = worker_.config().now();
    const snapshot::entrance* here = now ? now->shared->find(listener_) : nullptr;
    if (here && here->tls) return {};
    return status == 429 ? too_many_ : overloaded_;
}

bool proxy::counts(const peer_address& from) const noexcept {
    const auto& now = worker_.config().now();
    return counts_as_client(now ? now->shared->find(listener_) : nullptr, from);
}

// Is told for whom the connection is, and speaks TLS, if the listener does. Gives whether the connection may be served.
[[gnu::noinline]] task<bool> proxy::open(socket& client, client_peer& peer, identity& who) {
    const std::shared_ptr<const served> now = current();
    const snapshot::entrance* here = now->shared->find(listener_);
    if (!here) co_return false;
    if (here->config->proxy_protocol) {
        const idle_connection idle(worker_, client, this);
        const arrival a = co_await arrive(client, peer, *here);
        who.tls = a.tls;
        if (a.refused) {
            client.reset();
            const std::string from = peer.text();
            worker_.log(
                {.method = {}, .target = {}, .client = from, .upstream = {}, .id = {}, .end = to_string(*a.refused)});
            co_return false;
        }
    }
    if (!here->tls) co_return true;
    who.tls = true;
    if (!co_await accept_tls(client, *here->tls, here->config->http.header_timeout)) co_return false;
    if (auto facts = tls_facts_of(client); facts && facts->peer)
        who.subject = std::make_unique<const std::string>(std::move(facts->peer->subject));
    co_return true;
}

// While it waits for a request it keeps nothing of the configuration, which may change meanwhile. What it does before
// and after has frames of its own, which the compiler must not make part of this one: it is what an idle connection
// costs.
task<> proxy::serve(socket client, client_peer peer) {
    const presence counted(*this);
    identity who{.address = peer};
    if (!co_await open(client, peer, who)) co_return;
    for (std::size_t requests = 0;;) {
        const duration limit = wait_limit(requests);
        if (limit == duration::zero()) break;
        {
            const idle_connection idle(worker_, client, this);
            if (!co_await client.readable(limit)) break;
        }
        if (!co_await serve_requests(client, who, requests)) break;
    }
    if (client && !client.plain()) co_await say_end(client);
}

// How long a connection that has carried so many may wait for its next request; zero if the listener is gone.
duration proxy::wait_limit(std::size_t requests) const noexcept {
    const snapshot::entrance* here = current()->shared->find(listener_);
    if (!here || (last && requests != 0)) return duration::zero();
    const http_options& o = here->config->http;
    const duration limit = requests == 0 ? o.header_timeout : o.keep_alive_timeout;
    return last || worker_.draining() ? std::min(limit, last_call) : limit;
}

// Serves what the client sends without a pause. Gives whether the connection may wait for more.
[[gnu::noinline]] task<bool> proxy::serve_requests(socket& client, const identity& who, std::size_t& requests) {
    http::inbound in;
    do {
        if (!co_await serve_request(client, in, who, ++requests) || worker_.draining()) co_return false;
    } while (!in.empty());
    co_return true;
}

// With TLS, an answer that ends with the connection is whole only if that is said.
[[gnu::noinline]] task<> proxy::say_end(socket& client) const {
    const snapshot::entrance* here = current()->shared->find(listener_);
    static_cast<void>(co_await finish(client, here ? here->config->http.client_idle_timeout : last_call));
}

// Gives whether the connection may carry another request.
task<bool> proxy::serve_request(socket& client, http::inbound& in, const identity& who, std::size_t number) {
    std::shared_ptr<const served> now = current();
    const snapshot::entrance* here = now->shared->find(listener_);
    if (!here) co_return false;
    request rq{.client = client,
               .in = in,
               .parsers = parser_pool::lease(parsers_),
               .now = std::move(now),
               .entrance = *here,
               .peer = who.address,
               .listener = listener_};
    if (who.tls) rq.peer_scheme = "https";
    if (who.subject) rq.client_subject = *who.subject;
    rq.begun = executor::current().turn_time();
    const request_ids::id own_id = ids_.next();
    rq.id.set({own_id.data(), own_id.size()});
    rq.flow.client = &client;
    rq.flow.begin(worker_.flows, flow_kind::request, &rq, &describe_request);
    if (!co_await read_head(rq)) {
        if (rq.why)
            log(rq);
        else
            rq.flow.forget();
        if (rq.status != 0) co_await linger(rq);
        co_return false;
    }
    const count_guard counted(worker_.requests);
    take_head(rq);
    if (last || number >= here->config->http.requests_per_connection_max) rq.keep_alive = false;
    auto no = identify(rq);
    if (const tracer* t = worker_.traces(); t && !no) t->begin(rq, trace_ids_);
    const snapshot::route* r = no ? nullptr : find_route(rq);
    rq.route = r;
    if (r) {
        rq.flow.kind = kind_of(*r);
        rq.flow.route = r->config->name;
        rq.flow.meters = rq.now->meters_of(*r);
        no = admit(rq, *r);
    } else if (!no) {
        no = {cause::no_route, 404, "no route takes this request"};
    }
    if (no)
        co_await refuse(rq, std::move(*no));
    else if (const auto* p = std::get_if<proxy_action>(&r->config->action))
        co_await pass_on(rq, *r, *p);
    else if (const auto* d = std::get_if<redirect_action>(&r->config->action))
        co_await redirect(rq, r->config->match, *d);
    else if (const auto* s = std::get_if<static_action>(&r->config->action))
        co_await serve_static(rq, *r, *s);
    else if (const auto* e = std::get_if<export_action>(&r->config->action))
        co_await export_rows(rq, *r, *e);
    else
        co_await respond(rq, std::get<respond_action>(r->config->action));
    log(rq);
    if (!rq.persistent && client) {
        rq.flow.enter(flow_phase::linger);
        co_await linger(rq);
    }
    co_return rq.persistent;
}

task<> proxy::pass_on(request& rq, const snapshot::route& r, const proxy_action& a) {
    if (auto no = not_served(rq, a.options)) co_return co_await refuse(rq, std::move(*no));
    rq.switch_to = allowed_upgrade(rq.parsers->request.head(), a.options.upgrades);
    upstream* const to = rq.now->upstreams[r.choose(requests_++)].get();
    upstream* const fallback = r.fallback ? rq.now->upstreams[*r.fallback].get() : nullptr;
    rq.life = rq.now->lives[r.place].get();
    auto end = co_await attempt(
        exchange(rq, {worker_, a, a.options, to, fallback, r.config->match.matched_prefix(), r.spool}));
    rq.parsers.release();
    if (end && *end) co_return co_await relay_switched(rq, a.options, std::move(*end));
    if (end) {
        rq.why = cause::complete;
        if (!rq.uploaded) rq.persistent = false;
        co_return;
    }
    worker_.flows.torn_down(executor::current().turn_time());
    flow_error& e = end.error();
    if (rq.flow.aborted())
        rq.why = cause::aborted_by_operator;
    else if (!rq.why)
        rq.why = cause_of(e.code, e.where == side::source ? party::upstream : party::client);
    report_failure(rq);
    co_await failed(rq, std::move(e));
}

// The request has failed, for rq.why.
task<> proxy::failed(request& rq, flow_error e) {
    if (rq.answered || *rq.why == cause::client_closed || *rq.why == cause::client_reset) {
        rq.client.reset(); // what it has of the answer must not look whole
        rq.persistent = false;
    } else {
        // When descriptors are short, the client's own is one that can be given back.
        const bool may_go_on = *rq.why != cause::overloaded;
        co_await answer(rq, status_of(*rq.why), describe(*rq.why, rq, e), may_go_on);
    }
}

// The client and the upstream speak another protocol from now on.
task<> proxy::relay_switched(request& rq, const route_options& o, upstream_lease up) {
    rq.flow.kind = flow_kind::upgrade;
    rq.flow.enter(flow_phase::tunnel);
    up.tell(rq.flow);
    duplex joined{.on = worker_,
                  .flow = rq.flow,
                  .life = *rq.life,
                  .client = rq.client,
                  .upstream = up.connection(),
                  .idle_timeout = o.upgrade_idle_timeout,
                  .half_close_timeout = o.upgrade_half_close_timeout,
                  .from_client = &rq.in,
                  .from_upstream = &up.in()};
    const auto end = co_await attempt(relay_both_ways(joined));
    rq.up = joined.up;
    rq.down = joined.down;
    rq.persistent = false;
    if (end) {
        rq.why = cause::complete;
        up.close();
        rq.client.close();
    } else {
        rq.why = joined.why ? *joined.why : cause_of(end.error().code, party::client);
        if (rq.flow.aborted()) rq.why = cause::aborted_by_operator;
        up.drop();
        worker_.flows.torn_down(executor::current().turn_time());
        rq.client.reset();
    }
}

// Why a request goes no further than its head, if so.
std::optional<gateway::refusal> proxy::not_served(const request& rq, const route_options& o) const {
    const http::request_head& head = rq.parsers->request.head();
    if (rq.verb == http::method::connect) {
        if (!o.connect) return gateway::refusal{cause::client_method, 405, "CONNECT is not served here"};
        if (head.find(http::field::content_length) || head.find(http::field::transfer_encoding))
            return gateway::refusal{cause::client_protocol, 400, "CONNECT has no body (RFC 9110, section 9.3.6)"};
    }
    if (forwards_left(head) == 0)
        return gateway::refusal{cause::client_method, 501,
                                "Max-Forwards ends here, and this gateway has no answer of its own"};
    if (rq.framing.how == http::body_framing::kind::length && rq.framing.length > o.request_body_max)
        return gateway::refusal{
            cause::client_too_large, 413,
            fmt::format("the request's body has {} bytes, and {} are allowed", rq.framing.length, o.request_body_max)};
    return std::nullopt;
}

// Reads until the head is complete. Gives false when the connection ends here: at the client's end, or after an answer.
task<bool> proxy::read_head(request& rq) {
    http::request_parser& parser = rq.parsers->request;
    const http_options& o = rq.entrance.config->http;
    const time_point deadline = rq.begun + o.header_timeout;
    parser.set_limits(o.heads);
    if (!rq.in.empty()) {
        rq.in.make_contiguous(first_buffer);
    } else if (memory_full()) {
        rq.why = cause::overloaded;
        co_await answer(rq, 503, "the gateway's memory limit is met", false);
        co_return false;
    }
    rq.memory = memory_charge(flow_memory);
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
                rq.in.make_contiguous(o.heads.head_bytes_max + 1);
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
void proxy::take_head(request& rq) {
    const http::request_head& head = rq.parsers->request.head();
    rq.head_read = true;
    rq.verb = head.method;
    rq.method.set(head.method_text);
    rq.target.set(head.target);
    rq.framing = head.framing;
    rq.client_minor = head.minor_version;
    rq.keep_alive = head.keep_alive;
    if (const std::string_view given = usable_request_id(head); !given.empty()) rq.id.set(given);
}

void proxy::log(request& rq) {
    rq.flow.end(executor::current().turn_time());
    if (rq.trace.record()) worker_.traces()->end(rq);
    if (!worker_.options().access_log.enabled) return;
    const auto took = executor::current().now() - rq.begun;
    const std::string client = rq.from.text();
    worker_.log({.method = rq.method.view(),
                 .target = rq.target.view(),
                 .client = client,
                 .upstream = rq.upstream.view(),
                 .id = rq.id.view(),
                 .status = rq.status,
                 .up = rq.up,
                 .down = rq.down,
                 .microseconds = std::chrono::duration_cast<std::chrono::microseconds>(took).count(),
                 .end = to_string(rq.flow.aborted() ? cause::aborted_by_operator : *rq.why)});
}

} // namespace headgate::gateway
