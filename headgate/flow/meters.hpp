#pragma once

#include <headgate/core/abort.hpp>
#include <headgate/core/joint.hpp>

#include <span>
#include <vector>

namespace headgate {

// What a part of a chain does at a moment.
enum class stage_state : std::uint8_t { waiting_for_source, working, waiting_for_consumer, done };

// What one part of a live chain has done so far. Its clocks add up to the chain's age. A source that waits for its
// outside, and a sink that waits to be rid of an item, are at work.
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
    stage_state state{};
    duration in_state{}; // how long it has been doing that
    duration still{};    // how long no item has passed it
};

// The meters of one live pipeline, source first and sink last. `pipeline` links it where `pipe_options::watchers` says,
// for as long as the chain lives.
class live_pipeline : public list_node {
public:
    live_pipeline() = default;
    ~live_pipeline() {
        if (ended_) ended_(*in_, *this);
    }

    std::span<joint> joints;
    time_point started{};

    // Enters the list `in`. `ended`, if it is not null, is called when the chain has ended.
    void watch(list_node& in, void (*ended)(list_node&, const live_pipeline&) noexcept) noexcept {
        in.push_back(*this);
        in_ = &in;
        ended_ = ended;
    }

    // What each part has done up to now. Clocks of a part that waits at this moment include that wait.
    std::vector<stage_report> report(time_point now) const;
    // The same, of as many parts as there is room for; gives those.
    std::span<stage_report> report(time_point now, std::span<stage_report> room) const noexcept;
    // The part that limits the chain: the one that has been at work, or waiting for its outside, the longest.
    std::size_t bottleneck(time_point now) const;

private:
    list_node* in_ = nullptr;
    void (*ended_)(list_node&, const live_pipeline&) noexcept = nullptr;
};

} // namespace headgate
