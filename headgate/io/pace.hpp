#pragma once

#include <headgate/core/error.hpp>
#include <headgate/core/executor.hpp>
#include <headgate/core/timer.hpp>
#include <headgate/io/kernel_share.hpp>
#include <headgate/io/socket.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>

namespace headgate {

// How slow the peer of a socket may be. Only the time in which it is the peer that is waited for counts.
struct pace_limits {
    duration idle = forever;                        // the longest wait in which nothing moves
    std::uint64_t rate_min = 0;                     // bytes per second; 0 for no minimum
    duration rate_grace = std::chrono::seconds(10); // how much waiting it takes to tell a rate
    std::size_t kernel_max = 0; // what the kernel may hold for one that takes less than comes; 0 for no bound
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
    explicit sink_pace(pace_limits l) noexcept : limits_(l), share_(l.kernel_max) {}

    // Where what it takes comes from.
    void set_source(const socket& from) noexcept { share_.set_source(from.state()); }
    // The most to be moved at once.
    std::size_t slice() const noexcept { return share_.slice(); }

    duration look_after() const noexcept {
        if (share_.impatient()) return kernel_share::patience;
        const duration rate = limits_.rate_min == 0 ? forever : limits_.rate_grace;
        return limits_.idle == forever ? rate : std::min(rate, (limits_.idle + duration(looks - 1)) / looks);
    }

    // It is the peer that is waited for, from now on.
    void wait() noexcept { since_ = executor::current().turn_time(); }

    // There was no room in `s` for look_after(). Gives errc::idle if the peer has confirmed nothing for the limit, or
    // too little.
    std::error_code look(const socket& s) noexcept {
        if (share_.impatient()) share_.too_slow();
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
        share_.moved(s.state(), bytes, executor::current().turn_time() - since_);
        if (limits_.rate_min != 0) return judge(s);
        since_ = executor::current().turn_time();
        return {};
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
    kernel_share share_;
};

// How fast we move bytes ourselves: at most so many per second in the long run, in slices of a sixteenth of what goes
// in a second; after a pause two slices may follow each other. What moves is counted when it has moved, and then
// nothing is to move until pause() has passed: a single timer per slice, and none while the rate is not reached. No
// wait for a peer is ours while we pause, so that source_pace and sink_pace know nothing of it.
class byte_rate {
public:
    // 0 for no limit.
    explicit byte_rate(std::uint64_t bytes_per_second) noexcept : rate_(bytes_per_second) {}

    // The most that may be moved at once.
    std::size_t slice() const noexcept {
        return rate_ == 0 ? std::numeric_limits<std::size_t>::max() : std::max<std::size_t>(rate_ / slices, 1);
    }
    void moved(std::uint64_t bytes) noexcept {
        if (rate_ == 0) return;
        const double seconds = static_cast<double>(bytes) / static_cast<double>(rate_);
        due_ = std::max(due_, executor::current().turn_time()) +
               std::chrono::duration_cast<duration>(std::chrono::duration<double>(seconds));
    }
    // How long nothing may be moved now; zero: it may.
    duration pause() const noexcept {
        if (rate_ == 0) return duration::zero();
        return std::max(due_ - executor::current().turn_time() - slice_time, duration::zero());
    }

private:
    static constexpr unsigned slices = 16; // per second
    static constexpr duration slice_time = std::chrono::duration_cast<duration>(std::chrono::seconds(1)) / slices;

    std::uint64_t rate_;
    time_point due_{}; // when what was moved would have been moved, at this rate
};

} // namespace headgate
