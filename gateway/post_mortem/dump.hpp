#pragma once

#include <headgate/core/stacks.hpp>

#include <optional>
#include <string>
#include <vector>

namespace headgate::gateway {

class symbols;

// The coroutines of one worker at one moment.
struct worker_stacks {
    std::string name;
    std::optional<std::vector<stack_frame>> frames; // none: it did not answer
};

// As text: a tree for each coroutine that nobody waits for, with those that it waits for and those that run beside
// below it. Trees that look the same are written once, with their number, so that ten thousand idle connections are one
// line.
std::string text_of(const worker_stacks& stacks, const symbols& names);

} // namespace headgate::gateway
