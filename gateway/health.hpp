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

// What changes for an endpoint.
enum class health_event : std::uint8_t { ejected, readmitted, down, up };

// Which endpoints of an upstream may be used, as one worker sees it: not those that have failed several times in a row,
// for a while (passive ejection, or outlier detection), nor those that checks have found to be down. If none is left,
// all are used. Of those that may be used only those of the first priority are. Endpoints are known by their place.
// Allocates only when it is made, or arranged anew.
class upstream_health {
public:
    upstream_health(const ejection_options& o, std::size_t endpoints);

    // Failures count in a row, and a success ends the row. What is said of an ejected endpoint is of requests from
    // before, and does not count; unless all endpoints are used.
    void report(std::size_t endpoint, verdict v, time_point now) noexcept;

    // What an active check says.
    void checked(std::size_t endpoint, bool up, time_point now = {}) noexcept;

    // An operator wants it left alone (no new requests), or not any more. If none is left, it is used all the same.
    void drain(std::size_t endpoint, bool on, time_point now) noexcept;

    // The endpoints have other places, and other priorities, from now on: `before` has the earlier place of each, or a
    // number beyond all for one that is new. For want of memory nothing changes.
    void arrange(std::span<const std::size_t> before, std::span<const std::uint32_t> priorities, time_point now);

    // Is called with each change of an endpoint.
    void on_change(void (*told)(void*, std::size_t, health_event) noexcept, void* whom) noexcept {
        told_ = told;
        whom_ = whom;
    }

    // Since when it may be used without a break; time_point::min() if it could from the beginning.
    time_point well_since(std::size_t endpoint) const noexcept { return states_[endpoint].since; }
    // When the last one came, or came back; time_point::min() if none has.
    time_point last_return() const noexcept { return last_return_; }

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
    bool well(std::size_t endpoint) const noexcept { return states_[endpoint].well(); }
    bool is_ejected(std::size_t endpoint) const noexcept { return states_[endpoint].ejected; }
    bool is_draining(std::size_t endpoint) const noexcept { return states_[endpoint].draining; }
    std::size_t ejected() const noexcept { return ejected_; }

private:
    struct state {
        std::uint32_t failures = 0;      // in a row
        std::uint32_t server_errors = 0; // 5xx and failures in a row
        std::uint32_t ejections = 0;     // in a row
        time_point until{};              // of an ejection
        bool ejected = false;
        bool down = false;
        bool draining = false;
        bool usable = true;
        std::uint32_t priority = 0;
        time_point since = time_point::min();

        bool well() const noexcept { return !ejected && !down; }
        bool may_be_used() const noexcept { return well() && !draining; }
    };

    bool may_eject() const noexcept;
    void eject(state& s, time_point now) noexcept;
    void readmit(time_point now) noexcept;
    void choose() noexcept;
    void tell(const state& s, health_event what) noexcept;
    void came_back(state& s, time_point now) noexcept;

    ejection_options options_;
    std::vector<state> states_;
    std::vector<std::uint32_t> usable_;
    std::size_t ejected_ = 0;
    time_point next_return_ = time_point::max(); // the first end of an ejection
    bool panic_ = false;                         // none is left, and all are used
    time_point last_return_ = time_point::min();
    void (*told_)(void*, std::size_t, health_event) noexcept = nullptr;
    void* whom_ = nullptr;
};

} // namespace headgate::gateway
