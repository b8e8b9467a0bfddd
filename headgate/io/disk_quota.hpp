#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <limits>
#include <memory>
#include <utility>

namespace headgate {

// What files take on disk that share a limit, over threads: it is looked at when one of them grows, and whenever.
class disk_account {
public:
    std::size_t used() const noexcept { return used_.load(std::memory_order_relaxed); }

    // Takes `want` bytes, or what is left of `limit`. Gives how many.
    std::size_t take(std::size_t want, std::size_t limit) noexcept {
        std::size_t used = used_.load(std::memory_order_relaxed);
        for (;;) {
            const std::size_t n = used < limit ? std::min(want, limit - used) : 0;
            if (n == 0 || used_.compare_exchange_weak(used, used + n, std::memory_order_relaxed)) return n;
        }
    }
    void give_back(std::size_t n) noexcept { used_.fetch_sub(n, std::memory_order_relaxed); }

private:
    std::atomic<std::size_t> used_ = 0;
};

// A part of an account's users may have a limit of its own.
struct disk_quota {
    std::shared_ptr<disk_account> of{}; // null: there is none
    std::size_t limit = std::numeric_limits<std::size_t>::max();
};

// For example that of a route and that of the process.
using disk_quotas = std::array<disk_quota, 2>;

// What one file takes. It counts against all of the quotas, as long as this lives.
class disk_charge {
public:
    disk_charge() = default;
    explicit disk_charge(disk_quotas against) noexcept : against_(std::move(against)) {}
    disk_charge(disk_charge&& o) noexcept : against_(std::move(o.against_)), bytes_(std::exchange(o.bytes_, 0)) {}
    disk_charge& operator=(disk_charge&& o) noexcept {
        std::swap(against_, o.against_);
        std::swap(bytes_, o.bytes_);
        return *this;
    }
    ~disk_charge() { shrink_to(0); }

    std::size_t bytes() const noexcept { return bytes_; }
    // Takes up to `bytes`, or as far as all quotas allow; never less than before.
    void grow_to(std::size_t bytes) noexcept {
        if (bytes <= bytes_) return;
        const std::size_t want = bytes - bytes_;
        std::array<std::size_t, std::tuple_size_v<disk_quotas>> taken{};
        std::size_t least = want;
        for (std::size_t i = 0; i < against_.size(); ++i)
            if (against_[i].of) least = std::min(least, taken[i] = against_[i].of->take(least, against_[i].limit));
        for (std::size_t i = 0; i < against_.size(); ++i)
            if (against_[i].of && taken[i] != least) against_[i].of->give_back(taken[i] - least);
        bytes_ += least;
    }
    void shrink_to(std::size_t bytes) noexcept {
        if (bytes >= bytes_) return;
        for (const disk_quota& q : against_)
            if (q.of) q.of->give_back(bytes_ - bytes);
        bytes_ = bytes;
    }

private:
    disk_quotas against_{};
    std::size_t bytes_ = 0;
};

} // namespace headgate
