#pragma once

#include <headgate/core/timer.hpp>

#include <array>
#include <cstdint>
#include <type_traits>

namespace headgate {

// How long the turns of a loop took, from the end of its wait to the next one. Whatever becomes ready during a turn
// waits for its end, so this is how late a loop is. Counted by the loop's thread with plain stores; any thread may
// read.
class turn_times {
public:
    // Upper bounds of the counts, in microseconds; the last count has none.
    static constexpr std::array<std::int64_t, 12> bounds{100,    250,    500,    1'000,   2'500,   5'000,
                                                         10'000, 25'000, 50'000, 100'000, 250'000, 1'000'000};

    struct counts {
        std::array<std::uint64_t, bounds.size() + 1> turns{}; // not cumulative
        duration sum{};
    };

    // By the loop's thread only.
    void add(duration d) noexcept {
        const std::int64_t ns = d.count();
        const std::size_t place = ns <= 1000 * bounds.front() ? 0 : place_of(ns); // most turns are short
        put(turns_[place], turns_[place] + 1);
        put(nanoseconds_, nanoseconds_ + static_cast<std::uint64_t>(ns));
    }

    // What has been counted so far; the sum may be one turn ahead of the counts, or behind.
    counts now() const noexcept {
        counts c{.sum = std::chrono::nanoseconds(__atomic_load_n(&nanoseconds_, __ATOMIC_RELAXED))};
        for (std::size_t i = 0; i < c.turns.size(); ++i) c.turns[i] = __atomic_load_n(&turns_[i], __ATOMIC_RELAXED);
        return c;
    }

private:
    static_assert(std::is_same_v<duration::period, std::nano>);

    static std::size_t place_of(std::int64_t ns) noexcept {
        std::size_t i = 0;
        while (i < bounds.size() && ns > 1000 * bounds[i]) ++i;
        return i;
    }
    // There is one thread that writes, so it needs no more than a store that others may see.
    static void put(std::uint64_t& n, std::uint64_t value) noexcept { __atomic_store_n(&n, value, __ATOMIC_RELAXED); }

    std::uint64_t turns_[bounds.size() + 1]{};
    std::uint64_t nanoseconds_ = 0;
};

} // namespace headgate
