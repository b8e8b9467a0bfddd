#pragma once

#include <headgate/core/nursery.hpp>

#include <cstdint>
#include <string>

#include <gateway/health.hpp>

namespace headgate::gateway {

class endpoint_pool;

// What one check of an endpoint has found. `unknown` is for our own want of descriptors or memory, which tells nothing
// about the endpoint.
enum class finding : std::uint8_t { up, down, unknown };

// Checks one endpoint once, on a connection of its own, within o.timeout: that it can be connected to, or that it
// answers `request` with an expected status. `o` and the pool must outlive it.
task<finding> check_endpoint(endpoint_pool& to, const health_check_options& o, std::string request);

// What checks have found in a row, and what follows: up or down only changes after several that agree.
class check_row {
public:
    explicit check_row(const health_check_options& o) noexcept
        : healthy_threshold_(o.healthy_threshold), unhealthy_threshold_(o.unhealthy_threshold) {}

    // Gives whether the endpoint is up now.
    bool count(finding f) noexcept;

private:
    std::uint32_t healthy_threshold_;
    std::uint32_t unhealthy_threshold_;
    std::uint32_t against_ = 0; // findings in a row that say the other
    bool up_ = true;            // until proven otherwise
};

// Checks an endpoint for as long as it is held, every o.interval after the end of the check before, and tells `health`.
// The first check is `first` from now. Everything given must outlive it.
task<> keep_checking(endpoint_pool& to, const health_check_options& o, upstream_health& health, duration first);

} // namespace headgate::gateway
