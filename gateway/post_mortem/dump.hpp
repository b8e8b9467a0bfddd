#pragma once

#include <headgate/core/stacks.hpp>

#include <optional>
#include <string>
#include <vector>

namespace headgate::gateway {

class flow_registry;
class symbols;

// A live flow, in a line, and where its entry in the registry lies: in the frame of the coroutine that serves it.
struct flow_note {
    const void* entry = nullptr;
    std::string text;
};

// The coroutines of one worker at one moment, and its flows.
struct worker_stacks {
    std::string name;
    std::optional<std::vector<stack_frame>> frames; // none: it did not answer
    std::vector<flow_note> flows{};
    static constexpr std::size_t flows_max = 1000; // that are told of by name
};

// Of the worker's own thread.
worker_stacks stacks_of(const flow_registry& flows);

// As text: a tree for each coroutine that nobody waits for, with those that it waits for and those that run beside
// below it, after the flow that it serves. Trees that look the same are written once, with their number, so that ten
// thousand idle connections are one line.
std::string text_of(const worker_stacks& stacks, const symbols& names);

} // namespace headgate::gateway
