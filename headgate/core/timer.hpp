#pragma once

#include <headgate/core/list.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace headgate {

using clock = std::chrono::steady_clock;
using time_point = clock::time_point;
using duration = clock::duration;

// A duration that never ends; the default of every time limit that may be left out.
inline constexpr duration forever = duration::max();

// A moment in the future at which `fire` is called once. Lives in whatever waits for it and is disarmed when destroyed.
struct timer : list_node {
    void (*fire)(timer&) = nullptr;
    std::uint64_t tick = 0; // the wheel's: when it is due

    bool armed() const noexcept { return linked(); }
    // Takes the timer back; it will not fire. No effect when it is not armed.
    void disarm() noexcept { unlink(); }
};

// All timers of one executor: a hierarchical wheel of seven levels with 64 slots each and a tick of one millisecond, so
// that arming and disarming are a few instructions and no allocation, whatever the number of timers (G. Varghese, A.
// Lauck, "Hashed and Hierarchical Timing Wheels", 1987). A timer fires at the first tick at or after its time, never
// before it; timers of the same tick fire in the order in which they were armed.
class timer_wheel {
public:
    explicit timer_wheel(time_point start) : start_(start) {}
    timer_wheel(const timer_wheel&) = delete;
    timer_wheel& operator=(const timer_wheel&) = delete;

    // Arms `t`, or moves it if it is armed, to fire at `when`. A time that has passed fires at the next tick.
    void arm(timer& t, time_point when) noexcept;

    // When `advance` must be called next: not later than the first timer's time. time_point::max() if none is armed.
    time_point next() noexcept;

    // Fires all timers due at `now`. `after_each` is called after each one, and tells whether to go on with the next,
    // or to leave the rest for the next call; the timer may have been destroyed by then.
    template <class AfterEach>
    void advance(time_point now, AfterEach&& after_each) {
        while (timer* t = next_due(now)) {
            t->fire(*t);
            if (!after_each()) return;
        }
    }

    // How many timers are armed. Counts them: meant for snapshots and leak checks.
    std::size_t armed() const noexcept;

private:
    static constexpr int level_bits = 6;
    static constexpr std::uint64_t slots = 1u << level_bits;
    static constexpr int levels = 7;

    struct level {
        std::uint64_t occupied = 0; // a bit per slot; set when a timer enters, cleared when the slot is found empty
        std::array<list_node, slots> slot;
    };
    struct position {
        int level;
        std::uint64_t slot;
        std::uint64_t tick; // when the slot begins
    };

    std::uint64_t tick_of(time_point t) const noexcept; // rounded down
    void place(timer& t) noexcept;
    bool first_occupied(position& out) noexcept;
    timer* next_due(time_point now) noexcept;

    time_point start_;
    std::uint64_t current_ = 0; // the last tick whose timers have fired
    list_node due_;             // timers of the tick that is firing
    std::array<level, levels> levels_;
};

} // namespace headgate
