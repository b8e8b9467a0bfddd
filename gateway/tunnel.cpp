#include <headgate/core/abort_watch.hpp>
#include <headgate/io/client_hello.hpp>

#include <algorithm>
#include <array>

#include <gateway/duplex.hpp>
#include <gateway/policy/arrival.hpp>
#include <gateway/request.hpp>
#include <gateway/trace/tracer.hpp>
#include <gateway/tunnel.hpp>

namespace headgate::gateway {

namespace {

constexpr std::size_t hello_bytes_max = 16 * 1024;
constexpr std::size_t hello_buffer = 4 * 1024; // most are shorter
constexpr duration alert_time_max = 1s;

} // namespace

struct tunnel::connection {
    socket& client;
    client_peer& peer;
    std::shared_ptr<const served> now; // the configuration that was current when it began
    http::inbound in{};                // what the client said before there was an upstream
    std::string name{};                // that it asks for (SNI)
    bool told = false;                 // it knows why it is not served
    endpoint_name upstream{};
    memory_charge memory{flow_memory};
    upstream_lease up{};
    std::optional<duplex> joined{}; // from when there is an upstream
    std::optional<cause> why{};
    std::uint32_t attempts = 0;
    duration handshake{}; // of TLS with the upstream
    std::string_view listener{};
    trace_context trace{};
    live_flow flow{}; // looks at the others to its end

    static void describe(const void* whose, flow_facts& f) {
        const connection& c = *static_cast<const connection*>(whose);
        f = {.listener = c.listener,
             .target = c.name,
             .upstream = c.upstream.view(),
             .client = &c.peer,
             .up = c.joined ? c.joined->up : 0,
             .down = c.joined ? c.joined->down : 0,
             .why = c.why,
             .attempts = c.attempts,
             .handshake = c.handshake,
             .trace = c.trace.span == 0 ? nullptr : &c.trace};
    }
};

tunnel::tunnel(worker& w, const tunnel_options& o) : tunnel(w, w.options().listen.text()) {
    w.config().apply(snapshot_of(o, w.options()));
}

bool tunnel::counts(const peer_address& from) const noexcept {
    const auto& now = worker_.config().now();
    return counts_as_client(now ? now->shared->find(listener_) : nullptr, from);
}

task<> tunnel::serve(socket client, client_peer peer) {
    const presence counted(*this);
    connection c{.client = client, .peer = peer, .now = last ? last : worker_.config().now()};
    c.listener = listener_;
    c.flow.begin(worker_.flows, flow_kind::tunnel, &c, &connection::describe);
    if (const tracer* t = worker_.traces()) c.trace = t->begin(trace_ids_);
    ++worker_.requests;
    const auto end = co_await attempt(run(c));
    --worker_.requests;
    if (end) {
        c.up.close();
        c.why = cause::complete;
    } else {
        if (c.joined) c.why = c.joined->why;
        if (!c.why) c.why = cause_of(end.error().code, party::client);
        if (c.flow.aborted()) c.why = cause::aborted_by_operator;
        c.up.drop();
        worker_.flows.torn_down(executor::current().turn_time());
        if (c.told)
            client.close();
        else
            client.reset();
    }
    c.flow.end(executor::current().turn_time());
    if (c.trace.sampled) worker_.traces()->end(c.flow, c.trace);
    worker_.log(c.flow);
}

namespace {

// While there is no upstream yet, a client that is gone ends the connect. (One that has only said all it has to say
// does not.)
task<> client_gone(socket& client, place& at) {
    if (co_await client.broken()) at.of->fail({client.pending_error(), side::sink, at.stage, {}});
}

} // namespace

// Reads what the client says first, and finds the route by it. A client that is not one of TLS, or asks for nobody, has
// the route for any.
task<const snapshot::route*> tunnel::choose(connection& c, const snapshot::entrance& at) {
    place& inside = co_await here();
    const abort_watch drain_watch(worker_.aborted(), inside);
    const time_point deadline = executor::current().turn_time() + at.config->http.header_timeout;
    client_hello hello{.what = client_hello::state::need_more, .needed = 1};
    while (hello.what == client_hello::state::need_more) {
        c.in.make_contiguous(hello.needed);
        const duration left = std::max(deadline - executor::current().turn_time(), duration::zero());
        const auto n = co_await c.client.read_some(c.in.room(std::max(hello.needed, hello_buffer)), left);
        if (!n || *n == 0) {
            const std::error_code e = n ? make_error_code(errc::premature_close) : n.error();
            c.why = e == errc::timed_out ? cause::client_slow_header : cause_of(e, party::client);
            co_await fail(e);
        }
        c.in.received(*n);
        if (c.in.bytes().size() >= hello.needed) hello = read_client_hello(c.in.bytes(), hello_bytes_max);
    }
    if (hello.what == client_hello::state::malformed) {
        c.why = cause::client_protocol;
        co_await fail(errc::protocol, hello.reason);
    }
    c.name = std::move(hello.server_name);
    if (const auto found = at.table.find({.host = c.name, .path = "/", .query = {}, .method = {}}))
        co_return &at.routes[*found];
    c.why = cause::no_route;
    if (hello.what == client_hello::state::complete)
        c.told = (co_await c.client.write_all(unrecognized_name_alert, alert_time_max)).has_value();
    co_await fail(errc::refused);
    co_return nullptr; // not reached
}

task<> tunnel::run(connection& c) {
    place& at = co_await here();
    const abort_point by_operator(c.flow, at);
    if (memory_full()) {
        c.why = cause::overloaded;
        co_await fail(errc::overloaded);
    }
    const snapshot::entrance* here = c.now->shared->find(listener_);
    if (!here || here->routes.empty()) {
        c.why = cause::no_route;
        co_await fail(errc::refused);
    }
    {
        const abort_watch stop_watch(worker_.aborted(), at);
        if (const arrival a = co_await arrive(c.client, c.peer, *here); a.refused) {
            c.why = a.refused;
            co_await fail(errc::refused, side::sink);
        }
        if (!here->addresses.admit(c.peer.ip)) {
            c.why = cause::client_denied;
            co_await fail(errc::refused);
        }
    }
    const snapshot::route& r = here->by_name ? *co_await choose(c, *here) : here->routes.front();
    const route_life& life = *c.now->lives[r.place];
    c.flow.route = r.config->name;
    c.flow.meters = c.now->meters_of(r);
    const abort_watch drain_watch(life.ended(), at);
    if (r.policies && !r.policies->addresses.admit(c.peer.ip)) {
        c.why = cause::client_denied;
        co_await fail(errc::refused);
    }
    if (here->tls)
        if (const auto shaken = co_await accept_tls(c.client, *here->tls, here->config->http.header_timeout); !shaken)
            co_await fail(shaken.error(), side::sink, shaken.error().message());
    const auto& action = std::get<tcp_action>(r.config->action);
    upstream& to = *c.now->upstreams[r.choose(connections_++)];
    ++c.attempts;
    {
        strand watching;
        watching.start(client_gone(c.client, at), at);
        c.flow.enter(flow_phase::queue);
        auto permit = co_await to.admit();
        if (!permit) {
            c.why = cause::upstream_busy;
            co_await fail(permit.error());
        }
        circuit_pass pass = to.circuit().enter(executor::current().turn_time());
        if (!pass) {
            c.why = cause::upstream_circuit_open;
            co_await fail(errc::refused);
        }
        std::array<char, 48> address;
        const pick_key key = to.key_of(nullptr, {address.data(), c.peer.write_host(address)});
        const proxy_header from = to.proxy_header_for(c.peer, c.client);
        c.flow.enter(flow_phase::connect);
        auto up = co_await to.connect(to.pick(key), c.upstream, key, &from, &c.handshake);
        pass.report(up.has_value(), executor::current().turn_time());
        if (!up) {
            c.why = cause_of_connect(up.error());
            co_await fail(up.error());
        }
        c.up = std::move(*up);
        c.up.keep(std::move(*permit));
        c.up.home().report(verdict::success);
    }
    c.up.tell(c.flow);
    c.flow.enter(flow_phase::tunnel);
    c.joined.emplace(duplex{.on = worker_,
                            .flow = c.flow,
                            .life = life,
                            .client = c.client,
                            .upstream = c.up.connection(),
                            .idle_timeout = action.idle_timeout,
                            .half_close_timeout = action.half_close_timeout,
                            .from_client = &c.in});
    co_await relay_both_ways(*c.joined);
}

} // namespace headgate::gateway
