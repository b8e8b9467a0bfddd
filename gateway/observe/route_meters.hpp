#pragma once

#include <headgate/core/timer.hpp>

#include <algorithm>
#include <array>
#include <cstdint>

namespace headgate::gateway {

// Whom a flow waits for.
enum class waited_party : std::uint8_t { client, upstream, database, stage };
inline constexpr std::size_t waited_parties = 4;
const char* to_string(waited_party p) noexcept;

// Counts of times up to each of `Bounds`, in microseconds, and beyond the last.
template <auto Bounds>
class histogram {
public:
    static constexpr auto bounds = Bounds;

    void add(duration d) noexcept {
        const std::int64_t us = std::chrono::duration_cast<std::chrono::microseconds>(d).count();
        std::size_t i = 0;
        while (i < bounds.size() && us > bounds[i]) ++i;
        ++counts_[i];
        sum_ += d;
    }
    histogram& operator+=(const histogram& o) noexcept {
        for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += o.counts_[i];
        sum_ += o.sum_;
        return *this;
    }
    // Not cumulative.
    const auto& counts() const noexcept { return counts_; }
    duration sum() const noexcept { return sum_; }

private:
    std::array<std::uint64_t, bounds.size() + 1> counts_{};
    duration sum_{};
};

using time_histogram =
    histogram<std::array<std::int64_t, 14>{500, 1'000, 2'500, 5'000, 10'000, 25'000, 50'000, 100'000, 250'000,
                                           1'000'000, 2'500'000, 10'000'000, 60'000'000, 300'000'000}>;
using teardown_histogram = histogram<std::array<std::int64_t, 8>{10, 25, 50, 100, 250, 1'000, 10'000, 100'000}>;

// What has happened on one route, as one worker counts it: plain numbers of its thread. A route keeps them over
// reloads, by its name; those of a route that is gone live until its last flow has ended.
struct route_meters {
    std::array<std::uint64_t, 6> answers{}; // ended, by the first digit of their status; 0: without one
    std::uint64_t errors = 0;               // ended for another cause than "complete", or answered with 5xx
    std::uint64_t up_bytes = 0;             // of flows that have ended
    std::uint64_t down_bytes = 0;
    time_histogram durations{};       // from a request's first byte to the last of its answer
    time_histogram first_bytes{};     // to the head of an upstream's answer, or the first rows
    std::uint64_t returned_early = 0; // exports whose database was free before their client had all
    // How long flows that have ended waited for whom.
    std::array<duration, waited_parties> waits{};

    route_meters& operator+=(const route_meters& o) noexcept {
        for (std::size_t i = 0; i < answers.size(); ++i) answers[i] += o.answers[i];
        errors += o.errors;
        up_bytes += o.up_bytes;
        down_bytes += o.down_bytes;
        returned_early += o.returned_early;
        durations += o.durations;
        first_bytes += o.first_bytes;
        for (std::size_t i = 0; i < waits.size(); ++i) waits[i] += o.waits[i];
        return *this;
    }
};

} // namespace headgate::gateway
