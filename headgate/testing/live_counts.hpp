#pragma once

#include <headgate/core/chunk.hpp>
#include <headgate/core/frame.hpp>
#include <headgate/io/loop.hpp>

#include <cstddef>
#include <ostream>
#include <string>

namespace headgate::testing {

// What this thread, and one loop of it, hold at one moment. Taken before and after a piece of work, the two must be
// equal.
struct live_counts {
    std::size_t frames = 0;      // coroutine frames
    std::size_t chunk_bytes = 0; // in buffers of chunks
    std::size_t descriptors = 0; // watched by the loop
    std::size_t waits = 0;       // for descriptors of the loop
    std::size_t timers = 0;      // armed at the loop

    // Without a loop its three counts are zero.
    static live_counts now(const loop* l = nullptr) {
        live_counts c{.frames = live_frames(), .chunk_bytes = live_chunk_bytes()};
        if (!l) return c;
        c.descriptors = l->descriptors();
        c.waits = l->waits();
        c.timers = l->timers_armed();
        return c;
    }
    bool operator==(const live_counts&) const = default;

    // What `this` has more or less than `before`: "2 frames more, 1 timer fewer"; empty if they are equal.
    std::string difference(const live_counts& before) const { return compare(before, true); }
    // The same, but only what it has more.
    std::string excess(const live_counts& before) const { return compare(before, false); }

    friend std::ostream& operator<<(std::ostream& to, const live_counts& c) {
        const std::string all = c.difference({});
        return to << (all.empty() ? "nothing" : all);
    }

private:
    std::string compare(const live_counts& before, bool also_less) const {
        std::string out;
        const auto add = [&](const char* what, std::size_t then, std::size_t now) {
            if (now == then || (now < then && !also_less)) return;
            if (!out.empty()) out += ", ";
            const bool more = now > then;
            out += std::to_string(more ? now - then : then - now) + " " + what + (more ? " more" : " fewer");
        };
        add("coroutine frame(s)", before.frames, frames);
        add("chunk byte(s)", before.chunk_bytes, chunk_bytes);
        add("watched descriptor(s)", before.descriptors, descriptors);
        add("wait(s)", before.waits, waits);
        add("timer(s)", before.timers, timers);
        return out;
    }
};

} // namespace headgate::testing
