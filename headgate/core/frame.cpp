#include <headgate/core/frame.hpp>

#include <algorithm>
#include <array>
#include <new>

namespace headgate {

namespace {

// Under a sanitizer every frame comes from the allocator, so that a use after the end is seen.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool recycle = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool recycle = false;
#else
constexpr bool recycle = true;
#endif
#else
constexpr bool recycle = true;
#endif

// Sizes that the system's allocator gives without waste: it puts 8 bytes before each block and aligns to 16.
constexpr std::size_t step = 16;
constexpr std::size_t least = 8;
constexpr std::size_t classes = 512; // up to 8 KiB

struct free_frame_link {
    free_frame_link* next;
};

struct frame_cache {
    std::array<free_frame_link*, classes> free{};
    std::size_t bytes = 0;
    std::size_t live = 0;
    bool counting = false; // for tests; then no free frame is kept, and each one comes from the allocator
    std::size_t asked_for = 0;
    std::size_t refused = 0;

    ~frame_cache() { clear(); }

    void clear() noexcept {
        for (std::size_t c = 0; c < classes; ++c)
            while (free_frame_link* f = free[c]) {
                free[c] = f->next;
                ::operator delete(f);
            }
    }
};

thread_local frame_cache cache;

constexpr std::size_t class_of(std::size_t bytes) { return (std::max(bytes, least) - least + step - 1) / step; }
constexpr std::size_t size_of_class(std::size_t c) { return c * step + least; }

} // namespace

void* allocate_frame(std::size_t bytes) {
    const std::size_t c = class_of(bytes);
    if (recycle && c < classes) {
        if (free_frame_link* f = cache.free[c]) {
            cache.free[c] = f->next;
            cache.bytes -= size_of_class(c);
            ++cache.live;
            return f;
        }
        bytes = size_of_class(c);
    }
    if (cache.counting && cache.asked_for++ == cache.refused) throw std::bad_alloc();
    void* memory = ::operator new(bytes);
    ++cache.live;
    return memory;
}

void free_frame(void* frame, std::size_t bytes) noexcept {
    --cache.live;
    const std::size_t c = class_of(bytes);
    const std::size_t rounded = size_of_class(c);
    if (recycle && c < classes && cache.bytes + rounded <= frame_cache_bytes_max) {
        cache.free[c] = new (frame) free_frame_link{cache.free[c]};
        cache.bytes += rounded;
        return;
    }
    ::operator delete(frame);
}

std::size_t live_frames() noexcept { return cache.live; }

// While it counts, the lists are empty and said to be full: the usual ways need no look at whether it does.
void fail_frame_allocation_after(std::size_t n) noexcept {
    cache.clear();
    cache.bytes = frame_cache_bytes_max;
    cache.counting = true;
    cache.asked_for = 0;
    cache.refused = n;
}

std::size_t allow_frame_allocations() noexcept {
    cache.bytes = 0;
    cache.counting = false;
    return cache.asked_for;
}

} // namespace headgate
