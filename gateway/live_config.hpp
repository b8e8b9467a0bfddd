#pragma once

#include <headgate/core/abort.hpp>
#include <headgate/db/database.hpp>

#include <memory>
#include <vector>

#include <gateway/observe/route_meters.hpp>
#include <gateway/snapshot.hpp>
#include <gateway/upstream.hpp>

namespace headgate::gateway {

// What ends the exchanges and tunnels of one route at one listener: the worker, when it aborts what is left; or, some
// time after a reload has removed the route, this.
class route_life : timer {
public:
    explicit route_life(const abort_signal& worker) : end_(worker) {
        fire = [](timer& t) { static_cast<route_life&>(t).end_.abort(); };
    }
    route_life(const route_life&) = delete;
    route_life& operator=(const route_life&) = delete;

    abort_signal ended() const noexcept { return end_.signal(); }
    void end_after(duration d) { executor::current().arm(*this, d); }

private:
    abort_source end_;
};

// A snapshot with one worker's connections to its upstreams. A request keeps the one with which it began, and with it
// all that it names, until it ends.
struct served {
    std::shared_ptr<const snapshot> shared;
    std::vector<std::shared_ptr<upstream>> upstreams;   // in the order of the configuration
    std::vector<std::shared_ptr<db::database>> sources; // in the order of the configuration
    std::vector<std::shared_ptr<route_life>> lives;     // by the place of the route
    std::vector<std::shared_ptr<route_meters>> meters;  // of routes, in the order of the configuration

    route_meters* meters_of(const snapshot::route& r) const noexcept {
        return meters[static_cast<std::size_t>(r.config - shared->of().routes.data())].get();
    }
};

// What one worker serves from now on.
class live_config {
public:
    // `aborted` ends what is left of all routes; those that are removed have `drain_timeout` to end by themselves.
    live_config(upstream_surroundings around, abort_signal aborted, duration drain_timeout) noexcept
        : around_(std::move(around)), aborted_(std::move(aborted)), drain_timeout_(drain_timeout) {}

    // Upstreams that have not changed keep their connections; those that are gone let theirs end. So do routes (see
    // snapshot::identities) with what they have begun.
    void apply(std::shared_ptr<const snapshot> next);

    // Null before the first apply().
    const std::shared_ptr<const served>& now() const noexcept { return now_; }

    // Nothing new will come: connections that nobody uses are closed, and none is kept.
    void drain() noexcept;

    // Waits until the databases have ended the queries that were given up.
    task<> recovered();

    // Connections to upstreams, those of earlier snapshots included.
    std::size_t idle() const noexcept;
    std::size_t busy() const noexcept;

private:
    void take_over_lives(served& next);
    void take_over_meters(served& next);
    void take_over_sources(served& next);

    upstream_surroundings around_;
    abort_signal aborted_;
    duration drain_timeout_;
    std::shared_ptr<const served> now_;
    std::vector<std::weak_ptr<upstream>> retired_; // still in use by requests of earlier snapshots
    // The same. They are kept until the next change at least, so that they can still end what is given up last.
    std::vector<std::shared_ptr<db::database>> leaving_;
};

} // namespace headgate::gateway
