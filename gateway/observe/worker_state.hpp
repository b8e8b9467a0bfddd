#pragma once

#include <headgate/db/pool.hpp>

#include <map>
#include <string>
#include <vector>

#include <gateway/circuit_breaker.hpp>
#include <gateway/observe/flow_registry.hpp>
#include <gateway/worker.hpp>

namespace headgate::gateway {

// An upstream as one worker, or all together, see it.
struct upstream_state {
    std::size_t busy = 0;
    std::size_t idle = 0;
    std::size_t queued = 0;
    std::size_t limit = 0;
    circuit_breaker::state circuit = circuit_breaker::state::closed; // the worst
    upstream_counts counts{};
    std::vector<endpoint_state> endpoints{};

    void add(const upstream_state& o);
};

struct source_state {
    const char* driver = "";
    std::size_t size = 0;
    db::pool_stats pool{};
    std::uint64_t returned_early = 0; // leases back before their client was done

    void add(const source_state& o);
};

// What one worker has to say of itself, or all of them together: values, by name.
struct worker_state {
    live_counts live{};
    std::size_t flows = 0;
    std::map<std::string, route_totals, std::less<>> routes{}; // of live flows; "" for those without a route yet
    std::map<std::string, route_meters, std::less<>> meters{};
    std::map<std::string, upstream_state, std::less<>> upstreams{};
    std::map<std::string, source_state, std::less<>> sources{};
    std::array<std::uint64_t, causes> ends{};
    teardown_histogram teardowns{};

    void add(const worker_state& o);
};

// On the worker's thread, and not in one piece: see survey().
task<worker_state> state_of(worker* w);

} // namespace headgate::gateway
