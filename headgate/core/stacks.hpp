#pragma once

#include <cstddef>
#include <vector>

namespace headgate {

// A coroutine that has begun and not ended, as `coroutine_stacks` finds it.
struct stack_frame {
    const void* frame = nullptr; // where it lies
    std::size_t bytes = 0;       // that it takes
    const void* code = nullptr;  // the function that is its body, for a symbolizer
    std::size_t depth = 0;       // 0: nobody waits for it, but a nursery or a loop
};

// All coroutines of this thread, each one followed by those that it waits for and those that it holds beside (strands,
// the branches of `race` and `all`). Looks only; to be called while none of them runs, for instance by a job of
// another thread (`loop::post_remote`). Takes time and memory by their number: for people, not for programs that look
// often.
std::vector<stack_frame> coroutine_stacks();

} // namespace headgate
