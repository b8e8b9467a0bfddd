#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace headgate::testing {

// How much of the stack is in use at certain points of a piece of work: to see that it does not grow with the number of
// items.
class stack_meter {
public:
    // Notes the depth of the stack at this point.
    [[gnu::noinline]] void look() noexcept {
        const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
        lowest_ = std::min(lowest_, here);
        highest_ = std::max(highest_, here);
    }
    // The bytes between the deepest point and the least deep one.
    std::size_t spread() const noexcept { return highest_ < lowest_ ? 0 : highest_ - lowest_; }

private:
    std::uintptr_t lowest_ = UINTPTR_MAX;
    std::uintptr_t highest_ = 0;
};

} // namespace headgate::testing
