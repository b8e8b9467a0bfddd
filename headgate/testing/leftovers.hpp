#pragma once

#include <headgate/core/chunk.hpp>
#include <headgate/core/frame.hpp>

#include <compare>
#include <cstddef>
#include <filesystem>
#include <ostream>

namespace headgate::testing {

// What this process and thread hold at one moment. Taken before and after a test, the two must be equal.
struct leftovers {
    std::size_t descriptors; // of the process, whoever opened them
    std::size_t frames;      // of this thread
    std::size_t chunk_bytes; // of this thread

    static leftovers now() {
        std::size_t open = 0;
        for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++open;
        return {open, live_frames(), live_chunk_bytes()};
    }
    bool operator==(const leftovers&) const = default;
    friend std::ostream& operator<<(std::ostream& to, const leftovers& l) {
        return to << l.descriptors << " descriptors, " << l.frames << " frames, " << l.chunk_bytes << " chunk bytes";
    }
};

} // namespace headgate::testing
