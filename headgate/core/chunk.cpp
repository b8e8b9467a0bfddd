#include <headgate/core/memory_budget.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <new>

namespace headgate {

namespace {

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HEADGATE_NO_RECYCLING 1
#endif
#endif

#ifdef HEADGATE_NO_RECYCLING
constexpr bool recycle = false; // so that a use after the end is seen
#else
constexpr bool recycle = true;
#endif

constexpr std::array<std::size_t, 5> sizes{1024, chunk_small, chunk_medium, chunk_large, chunk_bulk};
constexpr std::uint32_t odd_size = sizes.size();

} // namespace

// The free buffers of one thread. A free buffer's first bytes link to the next.
struct chunk_pool {
    std::array<void*, sizes.size()> free{};
    std::size_t cached = 0;
    std::size_t live = 0;

    ~chunk_pool() {
        for (void*& list : free)
            while (list) ::operator delete(std::exchange(list, *static_cast<void**>(list)));
    }

    static constexpr std::size_t header = sizeof(chunk::buffer);

    chunk::buffer* take(std::size_t bytes) {
        const auto fits = std::ranges::lower_bound(sizes, bytes);
        const auto size_class = static_cast<std::uint32_t>(fits - sizes.begin());
        const std::size_t capacity = size_class == odd_size ? bytes : *fits;
        void* memory = nullptr;
        if (recycle && size_class != odd_size && free[size_class]) {
            memory = std::exchange(free[size_class], *static_cast<void**>(free[size_class]));
            cached -= capacity;
        } else {
            memory = ::operator new(header + capacity);
        }
        live += capacity;
        detail::this_account.take(capacity);
        return new (memory) chunk::buffer{1, size_class, capacity};
    }

    void give_back(chunk::buffer* b) noexcept {
        live -= b->capacity;
        detail::this_account.give_back(b->capacity);
        if (recycle && b->size_class != odd_size && cached + b->capacity <= detail::this_account.cache_bytes_max()) {
            const std::uint32_t size_class = b->size_class;
            cached += b->capacity;
            free[size_class] = new (b) void*(free[size_class]);
        } else {
            ::operator delete(b);
        }
    }
};

namespace {
thread_local chunk_pool pool;
}

std::size_t live_chunk_bytes() noexcept { return pool.live; }

chunk::chunk(std::size_t bytes) : buffer_(pool.take(bytes)), size_(bytes) {
    data_ = reinterpret_cast<char*>(buffer_ + 1);
}

bool chunk::append(std::string_view text) noexcept {
    if (text.empty()) return true; // it may have no address
    if (!buffer_ || !alone()) return false;
    const auto used = static_cast<std::size_t>(data_ - reinterpret_cast<char*>(buffer_ + 1)) + size_;
    if (buffer_->capacity - used < text.size()) return false;
    std::memcpy(data_ + size_, text.data(), text.size());
    size_ += text.size();
    return true;
}

void chunk::give_back(buffer* b) noexcept { pool.give_back(b); }

} // namespace headgate
