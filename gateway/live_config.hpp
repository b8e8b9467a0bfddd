#pragma once

#include <memory>
#include <vector>

#include <gateway/snapshot.hpp>
#include <gateway/upstream.hpp>

namespace headgate::gateway {

// A snapshot with one worker's connections to its upstreams. A request keeps the one with which it began, and with it
// all that it names, until it ends.
struct served {
    std::shared_ptr<const snapshot> shared;
    std::vector<std::shared_ptr<upstream>> upstreams; // in the order of the configuration
};

// What one worker serves from now on.
class live_config {
public:
    explicit live_config(tcp_liveness alive) noexcept : alive_(alive) {}

    // Upstreams that have not changed keep their connections; those that are gone let theirs end.
    void apply(std::shared_ptr<const snapshot> next);

    // Null before the first apply().
    const std::shared_ptr<const served>& now() const noexcept { return now_; }

    // Nothing new will come: connections that nobody uses are closed, and none is kept.
    void drain() noexcept;

    // Connections to upstreams, those of earlier snapshots included.
    std::size_t idle() const noexcept;
    std::size_t busy() const noexcept;

private:
    tcp_liveness alive_;
    std::shared_ptr<const served> now_;
    std::vector<std::weak_ptr<upstream>> retired_; // still in use by requests of earlier snapshots
};

} // namespace headgate::gateway
