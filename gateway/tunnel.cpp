#include <headgate/core/abort_watch.hpp>

#include <array>

#include <gateway/duplex.hpp>
#include <gateway/policy/arrival.hpp>
#include <gateway/request.hpp>
#include <gateway/tunnel.hpp>

namespace headgate::gateway {

struct tunnel::connection {
    socket& client;
    client_peer& peer;
    std::shared_ptr<const served> now; // the configuration that was current when it began
    std::string_view upstream{};
    memory_charge memory{flow_memory};
    upstream_lease up{};
    std::optional<duplex> joined{}; // from when there is an upstream
    std::optional<cause> why{};
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
    const time_point begun = executor::current().turn_time();
    ++worker_.requests;
    const auto end = co_await attempt(run(c));
    --worker_.requests;
    if (end) {
        c.up.close();
    } else {
        if (c.joined) c.why = c.joined->why;
        if (!c.why) c.why = cause_of(end.error().code, party::client);
        c.up.drop();
        client.reset();
    }
    const std::string from = peer.text();
    const auto took = executor::current().now() - begun;
    worker_.log({.method = "tunnel",
                 .target = {},
                 .client = from,
                 .upstream = c.upstream,
                 .id = {},
                 .up = c.joined ? c.joined->up : 0,
                 .down = c.joined ? c.joined->down : 0,
                 .microseconds = std::chrono::duration_cast<std::chrono::microseconds>(took).count(),
                 .end = to_string(c.why.value_or(cause::complete))});
}

namespace {

// While there is no upstream yet, a client that is gone ends the connect. (One that has only said all it has to say
// does not.)
task<> client_gone(socket& client, place& at) {
    if (co_await client.broken()) at.of->fail({client.pending_error(), side::sink, at.stage, {}});
}

} // namespace

task<> tunnel::run(connection& c) {
    place& at = co_await here();
    if (memory_full()) {
        c.why = cause::overloaded;
        co_await fail(errc::overloaded);
    }
    const snapshot::entrance* here = c.now->shared->find(listener_);
    if (!here || here->routes.empty()) {
        c.why = cause::no_route;
        co_await fail(errc::refused);
    }
    const snapshot::route& r = here->routes.front();
    const route_life& life = *c.now->lives[r.place];
    const abort_watch drain_watch(life.ended(), at);
    if (const arrival a = co_await arrive(c.client, c.peer, *here); a.refused) {
        c.why = a.refused;
        co_await fail(errc::refused, side::sink);
    }
    if (!here->addresses.admit(c.peer.ip) || (r.policies && !r.policies->addresses.admit(c.peer.ip))) {
        c.why = cause::client_denied;
        co_await fail(errc::refused);
    }
    if (here->tls)
        if (const auto shaken = co_await accept_tls(c.client, *here->tls, here->config->http.header_timeout); !shaken)
            co_await fail(shaken.error(), side::sink, shaken.error().message());
    const auto& action = std::get<tcp_action>(r.config->action);
    upstream& to = *c.now->upstreams[r.choose(connections_++)];
    {
        strand watching;
        watching.start(client_gone(c.client, at), at);
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
        auto up = co_await to.connect(to.pick(key), c.upstream, key, &from);
        pass.report(up.has_value(), executor::current().turn_time());
        if (!up) {
            c.why = cause_of_connect(up.error());
            co_await fail(up.error());
        }
        c.up = std::move(*up);
        c.up.keep(std::move(*permit));
        c.up.home().report(verdict::success);
    }
    c.joined.emplace(duplex{.on = worker_,
                            .life = life,
                            .client = c.client,
                            .upstream = c.up.connection(),
                            .idle_timeout = action.idle_timeout,
                            .half_close_timeout = action.half_close_timeout});
    co_await relay_both_ways(*c.joined);
}

} // namespace headgate::gateway
