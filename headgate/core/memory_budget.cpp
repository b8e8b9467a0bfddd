#include <headgate/core/memory_budget.hpp>

#include <algorithm>
#include <initializer_list>

namespace headgate {

namespace {

constexpr std::size_t shares = 8;
constexpr std::size_t units = 1024; // of a limit
constexpr std::size_t caches = 32;  // the same

} // namespace

constinit thread_local memory_account detail::this_account;

memory_budget::memory_budget(std::size_t limit) noexcept
    : limit_(limit), unit_(static_cast<std::ptrdiff_t>(std::clamp(limit / units, chunk_small, chunk_bulk))),
      cache_bytes_max_(std::min(limit / caches, chunk_cache_bytes_max)) {}

std::size_t memory_budget::share(std::size_t want) const noexcept {
    const std::size_t shared = limit_ - limit_ / shares;
    const std::size_t taken = used();
    const std::size_t mine = taken < shared ? (shared - taken) / shares : 0;
    if (want <= mine || want <= chunk_small) return want;
    for (const std::size_t size : {chunk_bulk, chunk_large, chunk_medium})
        if (size <= mine) return size;
    return chunk_small;
}

void memory_account::use(memory_budget* b) noexcept {
    if (budget_) budget_->used_.fetch_sub(static_cast<std::size_t>(most_), std::memory_order_relaxed);
    budget_ = b;
    if (b) {
        most_ = 0;
        settle();
    } else {
        most_ = std::numeric_limits<std::ptrdiff_t>::max();
        least_ = std::numeric_limits<std::ptrdiff_t>::min();
    }
}

// Afterwards it has taken between nothing and a unit more from the budget than it holds. That may be less than nothing:
// a thread that frees what others have taken.
void memory_account::settle() noexcept {
    const std::ptrdiff_t unit = budget_->unit_;
    const std::ptrdiff_t beyond = held_ % unit;
    const std::ptrdiff_t needed = held_ - beyond + (beyond > 0 ? unit : 0);
    budget_->used_.fetch_add(static_cast<std::size_t>(needed - most_), std::memory_order_relaxed);
    most_ = needed;
    least_ = needed - 2 * unit;
}

} // namespace headgate
