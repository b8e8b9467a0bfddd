#pragma once

#include <headgate/core/sleep.hpp>
#include <headgate/core/stream.hpp>

#include <algorithm>
#include <stdexcept>

namespace headgate {

struct throttle_options {
    std::uint64_t bytes_per_second;  // not 0
    std::uint64_t burst = 64 * 1024; // bytes that may pass at once after a pause; at least what passes in 2 ms
};

// The stage that lets items pass at no more than a rate, by a token bucket: in any t seconds at most burst + t *
// bytes_per_second bytes. An item larger than the burst passes when the bucket is full and is paid for by the next. One
// item at a time is held back; nothing is read ahead.
class throttle {
public:
    // Throws std::invalid_argument if the rate is 0.
    explicit throttle(throttle_options o) : options_(o) {
        if (o.bytes_per_second == 0) throw std::invalid_argument("throttle: the rate must not be 0");
    }

    template <class T>
    stream<T> operator()(stream<T> in) const {
        return pass(std::move(in), options_);
    }
    const char* name() const noexcept { return "throttle"; }

private:
    static constexpr duration shortest = std::chrono::milliseconds(2); // timers have ticks of one

    static duration time_for(std::size_t bytes, const throttle_options& o) noexcept {
        const double seconds = static_cast<double>(bytes) / static_cast<double>(o.bytes_per_second);
        return std::chrono::duration_cast<duration>(std::chrono::duration<double>(seconds));
    }

    // `full` is when the bucket will be full again (the generic cell rate algorithm, ITU-T I.371 Annex A).
    template <class T>
    static stream<T> pass(stream<T> in, throttle_options o) {
        place& at = co_await here();
        executor& e = executor::current();
        const duration bucket = std::max(time_for(o.burst, o), shortest);
        time_point full = e.now();
        while (std::optional<T> item = co_await in.next()) {
            const std::size_t bytes = item_bytes(*item);
            const duration cost = time_for(bytes, o);
            const time_point due = full + std::min(cost, bucket) - bucket;
            hold(at, bytes);
            while (e.now() < due) co_await sleep_for(due - e.turn_time());
            hold(at, 0);
            full = std::max(full, e.now()) + cost;
            co_yield std::move(*item);
        }
    }

    throttle_options options_;
};

} // namespace headgate
