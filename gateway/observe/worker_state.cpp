#include <algorithm>

#include <gateway/observe/flow_survey.hpp>
#include <gateway/observe/worker_state.hpp>

namespace headgate::gateway {

namespace {

upstream_state state_of(upstream& u) {
    upstream_state s{.busy = u.busy(),
                     .idle = u.idle(),
                     .queued = u.limit().waiting(),
                     .limit = u.limit().most(),
                     .circuit = u.circuit().now_is(executor::current().turn_time())};
    s.counts = u.counts();
    s.endpoints = u.states();
    return s;
}

template <class Map>
void add_all(Map& to, const Map& from) {
    for (const auto& [name, value] : from) {
        const auto [at, fresh] = to.try_emplace(name, value);
        if (!fresh) at->second.add(value);
    }
}

} // namespace

void upstream_state::add(const upstream_state& o) {
    busy += o.busy;
    idle += o.idle;
    queued += o.queued;
    limit += o.limit;
    if (o.circuit == circuit_breaker::state::open || circuit == circuit_breaker::state::closed) circuit = o.circuit;
    counts.retries += o.counts.retries;
    counts.fallbacks += o.counts.fallbacks;
    counts.ejections += o.counts.ejections;
    counts.downs += o.counts.downs;
    counts.tls.full += o.counts.tls.full;
    counts.tls.resumed += o.counts.tls.resumed;
    for (const endpoint_state& e : o.endpoints) {
        const auto same = std::ranges::find(endpoints, e.address, &endpoint_state::address);
        if (same == endpoints.end()) {
            endpoints.push_back(e);
            continue;
        }
        same->busy += e.busy;
        same->idle += e.idle;
        same->healthy = same->healthy && e.healthy;
        same->ejected = same->ejected || e.ejected;
        same->draining = same->draining || e.draining;
    }
}

void source_state::add(const source_state& o) {
    size += o.size;
    returned_early += o.returned_early;
    pool.held += o.pool.held;
    pool.connecting += o.pool.connecting;
    pool.recovering += o.pool.recovering;
    pool.idle += o.pool.idle;
    pool.waiting += o.pool.waiting;
    pool.created += o.pool.created;
    pool.discarded += o.pool.discarded;
    pool.connect_failures += o.pool.connect_failures;
    pool.cancels += o.pool.cancels;
    pool.recovered += o.pool.recovered;
    pool.refused += o.pool.refused;
    pool.acquire_timeouts += o.pool.acquire_timeouts;
    pool.leases += o.pool.leases;
    pool.held_in_all += o.pool.held_in_all;
    for (std::size_t i = 0; i < pool.held_for.size(); ++i) pool.held_for[i] += o.pool.held_for[i];
}

void worker_state::add(const worker_state& o) {
    live += o.live;
    flows += o.flows;
    add_all(routes, o.routes);
    for (const auto& [name, m] : o.meters) meters[name] += m;
    add_all(upstreams, o.upstreams);
    add_all(sources, o.sources);
    for (std::size_t i = 0; i < ends.size(); ++i) ends[i] += o.ends[i];
    teardowns += o.teardowns;
}

task<worker_state> state_of(worker* w) {
    flow_page flows = co_await survey(&w->flows, {.limit = 0}, true);
    worker_state s{.live = w->live(), .flows = flows.total, .ends = w->flows.ends(), .teardowns = w->flows.teardowns()};
    for (route_totals& r : flows.routes) {
        std::string name = r.route;
        s.routes.emplace(std::move(name), std::move(r));
    }
    const auto& now = w->config().now();
    if (!now) co_return s;
    const config& c = now->shared->of();
    for (std::size_t i = 0; i < c.routes.size(); ++i) s.meters.emplace(c.routes[i].name, *now->meters[i]);
    for (std::size_t i = 0; i < c.upstreams.size(); ++i)
        s.upstreams.emplace(c.upstreams[i].name, state_of(*now->upstreams[i]));
    for (std::size_t i = 0; i < c.sources.size(); ++i) {
        const source_config& source = c.sources[i];
        std::uint64_t early = 0;
        for (std::size_t r = 0; r < c.routes.size(); ++r)
            if (const auto* e = std::get_if<export_action>(&c.routes[r].action); e && e->source == source.name)
                early += now->meters[r]->returned_early;
        s.sources.emplace(source.name,
                          source_state{.driver = source.dialect() == db::dialect::postgres ? "postgres" : "sqlite",
                                       .size = source.pool_size,
                                       .pool = now->sources[i]->connections().stats(),
                                       .returned_early = early});
    }
    co_return s;
}

} // namespace headgate::gateway
