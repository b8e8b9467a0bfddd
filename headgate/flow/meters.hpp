#pragma once

#include <headgate/core/abort.hpp>
#include <headgate/core/joint.hpp>

#include <span>
#include <vector>

namespace headgate {

// What one part of a live chain has done so far.
struct stage_report {
    const char* name;
    side where;
    std::uint64_t items;
    std::uint64_t bytes;
    std::size_t held;     // bytes it keeps now
    std::size_t held_max; // the most it ever kept
    std::size_t limit;    // of held; 0 if it states none
    duration waiting_for_source;
    duration working;
    duration waiting_for_consumer;
};

// The meters of one live pipeline, source first and sink last. `pipeline` links it where `pipe_options::watcher` says,
// for as long as the chain lives.
struct live_pipeline : list_node {
    std::span<joint> joints;
    time_point started{};

    // What each part has done up to now. Clocks of a part that waits at this moment include that wait.
    std::vector<stage_report> report(time_point now) const;
    // The part that limits the chain: the one that has been at work, or waiting for its outside, the longest.
    std::size_t bottleneck(time_point now) const;
};

} // namespace headgate
