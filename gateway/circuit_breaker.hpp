#pragma once

#include <headgate/core/timer.hpp>

#include <array>
#include <cstdint>
#include <utility>

#include <gateway/options.hpp>

namespace headgate::gateway {

class circuit_breaker;

// The right to send one request to an upstream that is guarded by a circuit breaker. How it went must be said once;
// one that ends without a word (its client left) tells nothing, and counts for nothing. Must not outlive its breaker.
class [[nodiscard]] circuit_pass {
public:
    circuit_pass() = default;
    circuit_pass(circuit_pass&& o) noexcept : of_(std::exchange(o.of_, nullptr)), probe_(o.probe_) {}
    circuit_pass& operator=(circuit_pass&& o) noexcept {
        if (this != &o) {
            forget();
            of_ = std::exchange(o.of_, nullptr);
            probe_ = o.probe_;
        }
        return *this;
    }
    ~circuit_pass() { forget(); }

    explicit operator bool() const noexcept { return of_ != nullptr; }
    void report(bool success, time_point now) noexcept;
    void forget() noexcept;

private:
    friend circuit_breaker;
    circuit_pass(circuit_breaker& of, std::uint64_t probe) noexcept : of_(&of), probe_(probe) {}
    circuit_breaker* of_ = nullptr;
    std::uint64_t probe_ = 0; // of which half-open time; 0: none
};

// Keeps requests from an upstream that fails as a whole (M. Nygard: Release It!, 2007), as one worker sees it. Closed,
// it counts how requests go; when too many fail it opens, and nothing passes; after a time it is half-open: a few
// requests pass, and if they all go well it is closed, and if one fails it is open again. Allocates nothing.
class circuit_breaker {
public:
    enum class state : std::uint8_t { closed, open, half_open };

    explicit circuit_breaker(const circuit_breaker_options& o) noexcept : options_(o) {}
    circuit_breaker(const circuit_breaker&) = delete;
    circuit_breaker& operator=(const circuit_breaker&) = delete;

    bool enabled() const noexcept { return options_.enabled(); }

    // Whether a request would pass now.
    bool lets_pass(time_point now) noexcept;
    // For one request; empty if it may not pass. Without a breaker everything passes.
    circuit_pass enter(time_point now) noexcept;
    // How long it will be open yet; zero if it is not, and while probes are under way.
    duration open_for(time_point now) const noexcept;

    state now_is(time_point now) noexcept;
    std::uint64_t times_opened() const noexcept { return opened_; }

private:
    friend circuit_pass;
    static constexpr std::size_t slices = 10; // of the window

    struct counts {
        std::int64_t slice = -1; // which one, since the clock began
        std::uint32_t requests = 0;
        std::uint32_t failures = 0;
    };

    void closed_report(bool success, time_point now) noexcept;
    bool too_many(time_point now) const noexcept;
    std::int64_t slice_of(time_point t) const noexcept;
    void open(time_point now) noexcept;
    void close() noexcept;

    circuit_breaker_options options_;
    state state_ = state::closed;
    std::array<counts, slices> window_{};
    std::uint32_t in_a_row_ = 0; // failures
    time_point until_{};         // of the open state
    std::uint64_t opened_ = 0;   // how often; also names the half-open time after it
    std::uint32_t probes_ = 0;   // that have passed in this half-open time, and have not ended without a word
    std::uint32_t well_ = 0;     // of them
};

} // namespace headgate::gateway
