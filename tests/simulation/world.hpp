#pragma once

#include <headgate/io/listener.hpp>

#include <gateway/worker.hpp>
#include <simulation/peer.hpp>

namespace headgate::simulation_test {

// What the scenarios have in common: a worker of the gateway that serves at `gate`, and servers at `origin`.
class world {
public:
    world(exploration& x, std::uint16_t origin_port) : x_(x), worker_(x.sim.home, options(x), nullptr) {
        origin_ = *address::parse("127.0.0.1:" + std::to_string(origin_port));
    }
    world(const world&) = delete;
    virtual ~world() = default;

    // After each turn: what the worker holds is bounded, whatever the peers do.
    std::string check() const {
        const gateway::live_counts c = worker_.live();
        if (c.buffer_bytes > c.connections * (connection_bytes_max + replay_bytes_max_))
            return std::to_string(c.connections) + " connections hold " + std::to_string(c.buffer_bytes) + " bytes";
        if (c.connections > worker_.options().connections_max) return "too many connections";
        if (c.requests > c.connections) return "more requests than connections";
        if (c.upstream_busy > c.connections) return "more busy upstream connections than connections";
        if (c.pipes > worker_.options().splice_pipes_max) return "too many pipes";
        return {};
    }
    // When everybody has gone and all time limits have passed.
    std::string at_rest() const {
        const gateway::live_counts c = worker_.live();
        if (c.connections == 0 && c.requests == 0 && c.upstream_busy == 0 && c.upstream_idle == 0 &&
            c.buffer_bytes == 0 && c.pipes == 0)
            return {};
        return std::to_string(c.connections) + " connections, " + std::to_string(c.requests) + " requests, " +
               std::to_string(c.upstream_busy) + " busy and " + std::to_string(c.upstream_idle) +
               " idle upstream connections, " + std::to_string(c.buffer_bytes) + " bytes and " +
               std::to_string(c.pipes) + " pipes are left";
    }

protected:
    // A head in each direction at its longest, and a buffer in each direction.
    static constexpr std::size_t connection_bytes_max = 4 * chunk_large + 2 * chunk_medium;

    static gateway::server_options options(exploration& x) {
        gateway::server_options o;
        o.access_log.enabled = false;
        o.connections_max = x.one_in(4) ? 1 + x.below(4) : 1000;
        o.stream_buffer = x.one_in(2) ? chunk_large : 1024 + x.below(chunk_large - 1024);
        o.splice_pipes_max = x.one_in(2) ? 256 : x.below(3);
        return o;
    }

    // Opens the gate and lets servers come.
    void start(gateway::service& s) {
        auto gate = listener::open(*address::parse("127.0.0.1:0"));
        if (!gate) return x_.problem("no gate");
        gate_ = gate->where();
        worker_.start(std::move(*gate), s);
        servers_.spawn(serve(origin_, x_.one_in(10) ? x_.up_to(5s) : duration::zero()));
        if (x_.one_in(4)) servers_.spawn(shut_down(x_.up_to(20s), x_.up_to(10s)));
        if (x_.one_in(3)) servers_.spawn(sabotage());
    }

    virtual task<> serve_one(socket s) = 0;

    // Another server.
    void also_serve(std::uint16_t port) {
        servers_.spawn(serve(*address::parse("127.0.0.1:" + std::to_string(port)), duration::zero()));
    }

    task<> serve(address at, duration late) {
        co_await sleep_for(late);
        auto l = listener::open(at);
        while (!l) { // sabotaged
            co_await sleep_for(10ms);
            l = listener::open(at);
        }
        for (;;) {
            auto a = co_await l->accept();
            if (a) servers_.spawn(serve_one(std::move(a->connection)));
            if (!a) co_await sleep_for(10ms);
        }
    }
    task<> shut_down(duration after, duration grace) {
        co_await sleep_for(after);
        worker_.drain();
        co_await sleep_for(grace);
        worker_.abort();
    }
    // What a system may do to anyone at any time.
    task<> sabotage() {
        struct {
            call what;
            int error;
        } constexpr faults[] = {{call::read, EAGAIN},   {call::write, EAGAIN},        {call::splice, EAGAIN},
                                {call::accept, EMFILE}, {call::pipe, EMFILE},         {call::socket, EMFILE},
                                {call::watch, ENOSPC},  {call::connect, ENETUNREACH}, {call::accept, ECONNABORTED}};
        for (int i = 0; i < 20; ++i) {
            co_await sleep_for(x_.up_to(2s));
            const auto& f = faults[x_.below(std::size(faults))];
            x_.sim.os.fail(f.what, f.error, 1, static_cast<unsigned>(x_.below(20)));
        }
    }

    std::size_t replay_bytes_max_ = 0; // what a connection may hold besides, to send again or ahead of its client

    exploration& x_;
    address origin_;
    std::optional<address> gate_;
    gateway::worker worker_;
    nursery servers_;
};

} // namespace headgate::simulation_test
