#pragma once

#include <headgate/core/error.hpp>
#include <headgate/core/executor.hpp>
#include <headgate/core/timer.hpp>
#include <headgate/io/socket.hpp>

#include <algorithm>
#include <cstdint>

namespace headgate {

// How slow the peer of a socket may be. Only the time in which it is the peer that is waited for counts.
struct pace_limits {
    duration idle = forever;                        // the longest wait in which nothing moves
    std::uint64_t rate_min = 0;                     // bytes per second; 0 for no minimum
    duration rate_grace = std::chrono::seconds(10); // how much waiting it takes to tell a rate
};

namespace detail {

inline bool below_rate(std::uint64_t bytes, duration waited, const pace_limits& l) noexcept {
    const double seconds = std::chrono::duration<double>(waited).count();
    return static_cast<double>(bytes) < static_cast<double>(l.rate_min) * seconds;
}

} // namespace detail

// The pace of a peer that gives bytes. The rate is judged over windows of `rate_grace` of waiting, each on its own:
// whoever was fast once may not crawl for ever after. A wait that brings nothing is ended by `idle` alone.
class source_pace {
public:
    explicit source_pace(pace_limits l) noexcept : limits_(l) {}

    duration idle() const noexcept { return limits_.idle; }

    // It is the peer that is waited for, from now on.
    void wait() noexcept { since_ = executor::current().turn_time(); }

    // `bytes` came. Gives errc::idle if that is slower than it may be.
    std::error_code moved(std::size_t bytes) noexcept {
        if (limits_.rate_min == 0) return {};
        bytes_ += bytes;
        waited_ += executor::current().turn_time() - since_;
        if (waited_ < limits_.rate_grace) return {};
        const bool slow = detail::below_rate(bytes_, waited_, limits_);
        bytes_ = 0;
        waited_ = {};
        return slow ? make_error_code(errc::idle) : std::error_code();
    }

private:
    pace_limits limits_;
    time_point since_{};
    std::uint64_t bytes_ = 0;
    duration waited_{};
};

// The pace of a peer that takes bytes: of what it has confirmed, for the system takes megabytes for it at once. There
// is room for more only when the peer has taken about a third of what waits in the socket, and a slow one may need
// minutes for that: so wait for room for at most `look_after()` at a time, and look() when that has passed.
class sink_pace {
public:
    explicit sink_pace(pace_limits l) noexcept : limits_(l) {}

    duration look_after() const noexcept {
        const duration rate = limits_.rate_min == 0 ? forever : limits_.rate_grace;
        return limits_.idle == forever ? rate : std::min(rate, (limits_.idle + duration(looks - 1)) / looks);
    }

    // It is the peer that is waited for, from now on.
    void wait() noexcept { since_ = executor::current().turn_time(); }

    // There was no room in `s` for look_after(). Gives errc::idle if the peer has confirmed nothing for the limit, or
    // too little.
    std::error_code look(const socket& s) noexcept {
        const std::size_t unconfirmed = s.unacknowledged();
        const time_point now = executor::current().turn_time();
        if (!looked_)
            alive_at_ = since_;
        else if (unconfirmed < unconfirmed_)
            alive_at_ = now;
        looked_ = true;
        unconfirmed_ = unconfirmed;
        if (limits_.idle != forever && now - alive_at_ >= limits_.idle) return errc::idle;
        return judge(s);
    }

    // `bytes` were taken. Gives errc::idle if the peer takes less than it must.
    std::error_code moved(const socket& s, std::size_t bytes) noexcept {
        looked_ = false;
        written_ += bytes;
        return judge(s);
    }

private:
    std::error_code judge(const socket& s) noexcept {
        if (limits_.rate_min == 0) return {};
        const time_point now = executor::current().turn_time();
        waited_ += now - since_;
        since_ = now;
        if (waited_ < limits_.rate_grace) return {};
        const std::uint64_t confirmed = written_ - std::min<std::uint64_t>(s.unacknowledged(), written_);
        // A pause is not a rate: `idle` ends it, or the window goes on. (Of a TLS connection, what is unconfirmed is
        // counted with its framing, so that there may seem to be less than before.)
        if (confirmed <= confirmed_) return {};
        const bool slow = detail::below_rate(confirmed - confirmed_, waited_, limits_);
        confirmed_ = confirmed;
        waited_ = {};
        return slow ? make_error_code(errc::idle) : std::error_code();
    }

    static constexpr int looks = 4; // per `idle`

    pace_limits limits_;
    time_point since_{};
    std::uint64_t written_ = 0;
    std::uint64_t confirmed_ = 0; // when the rate was judged last
    duration waited_{};
    bool looked_ = false;
    std::size_t unconfirmed_ = 0; // at the last look
    time_point alive_at_{};       // when the peer was last known to take something, in this wait
};

} // namespace headgate
