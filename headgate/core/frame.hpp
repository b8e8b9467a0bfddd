#pragma once

#include <cstddef>

namespace headgate {

// Memory for coroutine frames: free lists per thread and size class, so that a frame of the usual kind costs a few
// instructions. A thread keeps at most `frame_cache_bytes_max` of free frames; what goes beyond is given back to the
// system's allocator.
inline constexpr std::size_t frame_cache_bytes_max = 4 * 1024 * 1024;

void* allocate_frame(std::size_t bytes);
void free_frame(void* frame, std::size_t bytes) noexcept;

// How many frames this thread has allocated and not yet freed. After a flow has ended its share is back to zero.
std::size_t live_frames() noexcept;

// One coroutine of this thread among all: what a look at all of them goes through (stacks.hpp). It is linked for as
// long as its frame lives, and must end on the thread on which it began.
struct frame_link {
    frame_link() noexcept : next(first), in(&first) {
        if (next) next->in = &next;
        first = this;
    }
    frame_link(const frame_link&) = delete;
    frame_link& operator=(const frame_link&) = delete;
    ~frame_link() {
        *in = next;
        if (next) next->in = in;
    }

    frame_link* next;
    frame_link** in; // where the pointer to this one is

    static inline constinit thread_local frame_link* first = nullptr;
};

// For tests: of the frames that this thread allocates from now on, the one after the next `n` is refused with
// std::bad_alloc, and those after it are not. Until `allow_frame_allocations` free frames are not kept, so that nothing
// is paid for this otherwise.
void fail_frame_allocation_after(std::size_t n) noexcept;
// Takes that back. Gives how many frames have been asked for since, the refused one included.
std::size_t allow_frame_allocations() noexcept;

} // namespace headgate
