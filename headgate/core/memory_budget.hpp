#pragma once

#include <headgate/core/chunk.hpp>

#include <atomic>
#include <cstddef>
#include <limits>
#include <utility>

namespace headgate {

// A bound on what the buffers of several threads take together. It refuses nothing by itself: those who take buffers
// ask how large a share they may take, which shrinks as the rest does, and those who begin new work ask whether there
// is room for it.
//
// A share is an eighth of what is left. So streams that hold much, or hold it for long, are the first that get less,
// and those that hold little do not notice (A. Choudhury, E. Hahne: Dynamic Queue Length Thresholds, 1998). The last
// eighth of the limit is not shared out: it is for the heads of messages and for new work.
//
// Threads take from it in units, so that they do not meet at every buffer: what it counts as used is up to two units
// per thread more than what is. Free buffers that threads keep (see chunk.hpp) are not counted; with a budget a thread
// keeps a thirty-second of it at the most.
class memory_budget {
public:
    // `limit` in bytes.
    explicit memory_budget(std::size_t limit) noexcept;
    memory_budget(const memory_budget&) = delete;
    memory_budget& operator=(const memory_budget&) = delete;

    std::size_t limit() const noexcept { return limit_; }
    std::size_t used() const noexcept { return used_.load(std::memory_order_relaxed); }
    bool full() const noexcept { return used() >= limit_; }
    // How many bytes of free buffers a thread may keep: they do not count as used.
    std::size_t cache_bytes_max() const noexcept { return cache_bytes_max_; }
    // `want`, or the size of a buffer that is no more than one stream's share: chunk_small at least.
    std::size_t share(std::size_t want) const noexcept;

private:
    friend class memory_account;
    const std::size_t limit_;
    const std::ptrdiff_t unit_;
    const std::size_t cache_bytes_max_;
    alignas(64) std::atomic<std::size_t> used_ = 0;
};

// What this thread has in use, which counts against a budget if it has one.
class memory_account {
public:
    void take(std::size_t n) noexcept {
        held_ += static_cast<std::ptrdiff_t>(n);
        if (held_ > most_) settle();
    }
    void give_back(std::size_t n) noexcept {
        held_ -= static_cast<std::ptrdiff_t>(n);
        if (held_ < least_) settle();
    }
    void use(memory_budget* b) noexcept;
    const memory_budget* budget() const noexcept { return budget_; }
    std::ptrdiff_t held() const noexcept { return held_; }
    std::size_t cache_bytes_max() const noexcept {
        return budget_ ? budget_->cache_bytes_max() : chunk_cache_bytes_max;
    }

private:
    void settle() noexcept;

    std::ptrdiff_t held_ = 0;
    std::ptrdiff_t most_ = std::numeric_limits<std::ptrdiff_t>::max(); // what has been taken from the budget
    std::ptrdiff_t least_ = std::numeric_limits<std::ptrdiff_t>::min();
    memory_budget* budget_ = nullptr;
};

namespace detail {
extern constinit thread_local memory_account this_account;
}

// For as long as it lives, the buffers of this thread count against `b`, those that it has already as well.
class budget_scope {
public:
    explicit budget_scope(memory_budget& b) noexcept { detail::this_account.use(&b); }
    budget_scope(const budget_scope&) = delete;
    budget_scope& operator=(const budget_scope&) = delete;
    ~budget_scope() { detail::this_account.use(nullptr); }
};

// How much of `want` a stream may hold in memory, of this thread's budget; all of it without one.
inline std::size_t memory_share(std::size_t want) noexcept {
    const memory_budget* b = detail::this_account.budget();
    return b ? b->share(want) : want;
}

// What this thread holds in chunks and charges. It may be less than nothing, if others have taken what it freed.
inline std::ptrdiff_t memory_held() noexcept { return detail::this_account.held(); }

// Whether nothing new should begin.
inline bool memory_full() noexcept {
    const memory_budget* b = detail::this_account.budget();
    return b && b->full();
}

// Counts memory that is not in chunks, for as long as it lives: the state of a compressor, bytes in a pipe. Belongs to
// one thread.
class memory_charge {
public:
    memory_charge() = default;
    explicit memory_charge(std::size_t bytes) noexcept : bytes_(bytes) { detail::this_account.take(bytes); }
    memory_charge(memory_charge&& o) noexcept : bytes_(std::exchange(o.bytes_, 0)) {}
    memory_charge& operator=(memory_charge&& o) noexcept {
        std::swap(bytes_, o.bytes_);
        return *this;
    }
    ~memory_charge() {
        if (bytes_ != 0) detail::this_account.give_back(bytes_);
    }

    // Counts so many bytes from now on.
    void set(std::size_t bytes) noexcept {
        if (bytes == bytes_) return;
        detail::this_account.take(bytes);
        detail::this_account.give_back(std::exchange(bytes_, bytes));
    }

private:
    std::size_t bytes_ = 0;
};

} // namespace headgate
