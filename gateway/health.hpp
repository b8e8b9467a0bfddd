#pragma once

#include <headgate/core/timer.hpp>

#include <cstdint>
#include <span>
#include <vector>

#include <gateway/options.hpp>

namespace headgate::gateway {

// How a request to an endpoint went, as far as that tells about the endpoint.
enum class verdict : std::uint8_t {
    success,
    server_error, // it answered with 5xx
    failure,      // it could not be connected to, or gave no answer: a reset, an end, nonsense, or nothing in time
};

// Which endpoints of an upstream may be used, as one worker sees it: not those that have failed several times in a row,
// for a while (passive ejection, or outlier detection), nor those that checks have found to be down. If none is left,
// all are used. Endpoints are known by their place in the configuration. Allocates only when it is made.
class upstream_health {
public:
    upstream_health(const ejection_options& o, std::size_t endpoints);

    // Failures count in a row, and a success ends the row. What is said of an ejected endpoint is of requests from
    // before, and does not count; unless all endpoints are used.
    void report(std::size_t endpoint, verdict v, time_point now) noexcept;

    // What an active check says.
    void checked(std::size_t endpoint, bool up) noexcept;

    // The endpoints that may be used, in order: at least one. Valid until the next call of anything.
    std::span<const std::uint32_t> usable(time_point now) noexcept {
        if (now >= next_return_) readmit(now);
        return usable_;
    }
    bool is_usable(std::size_t endpoint, time_point now) noexcept;
    // Whether all are used because none is left.
    bool none_is_well(time_point now) noexcept {
        if (now >= next_return_) readmit(now);
        return panic_;
    }

    // Whether it would be used also if there were others.
    bool well(std::size_t endpoint) const noexcept { return !states_[endpoint].ejected && !states_[endpoint].down; }
    std::size_t ejected() const noexcept { return ejected_; }

private:
    struct state {
        std::uint32_t failures = 0;      // in a row
        std::uint32_t server_errors = 0; // 5xx and failures in a row
        std::uint32_t ejections = 0;     // in a row
        time_point until{};              // of an ejection
        bool ejected = false;
        bool down = false;
        bool usable = true;
    };

    bool may_eject() const noexcept;
    void eject(state& s, time_point now) noexcept;
    void readmit(time_point now) noexcept;
    void choose() noexcept;

    ejection_options options_;
    std::vector<state> states_;
    std::vector<std::uint32_t> usable_;
    std::size_t ejected_ = 0;
    time_point next_return_ = time_point::max(); // the first end of an ejection
    bool panic_ = false;                         // none is left, and all are used
};

} // namespace headgate::gateway
