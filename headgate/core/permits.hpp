#pragma once

#include <headgate/core/error.hpp>
#include <headgate/core/executor.hpp>
#include <headgate/core/flow.hpp>

#include <coroutine>
#include <utility>

namespace headgate {

class permit_queue;

// The right to have one of what there may only be so many of. Whoever holds it counts; its end lets the next one in.
// Must not outlive its queue, unless it is forgotten.
class [[nodiscard]] permit {
public:
    permit() = default;
    permit(permit&& o) noexcept : of_(std::exchange(o.of_, nullptr)) {}
    permit& operator=(permit&& o) noexcept {
        if (this != &o) {
            release();
            of_ = std::exchange(o.of_, nullptr);
        }
        return *this;
    }
    ~permit() { release(); }

    explicit operator bool() const noexcept { return of_ != nullptr; }
    void release() noexcept;
    // The queue is about to go: nobody is let in by this one any more.
    void forget() noexcept { of_ = nullptr; }

private:
    friend permit_queue;
    explicit permit(permit_queue& of) noexcept : of_(&of) {}
    permit_queue* of_ = nullptr;
};

// A number of permits, and the queue of those who wait for one: first come, first served. Allocates nothing: who waits
// is a node in the waiting frame, and leaves the queue with it.
class permit_queue {
public:
    class admission;

    permit_queue(std::size_t permits_max, std::size_t queue_max) noexcept
        : permits_max_(permits_max), queue_max_(queue_max) {}
    permit_queue(const permit_queue&) = delete;
    permit_queue& operator=(const permit_queue&) = delete;

    // `co_await q.admit(limit)`: a permit, at once or when it is this one's turn. errc::overloaded if the queue is
    // full, errc::timed_out if its turn does not come within `limit`.
    admission admit(duration limit) noexcept;

    // Whether there is a permit to be had at once.
    bool free() const noexcept { return waiting_ == 0 && taken_ < permits_max_; }
    std::size_t most() const noexcept { return permits_max_; }
    std::size_t taken() const noexcept { return taken_; }
    std::size_t waiting() const noexcept { return waiting_; }

private:
    friend permit;
    void pass_on() noexcept;

    struct queue_link : list_node {};

    std::size_t permits_max_;
    std::size_t queue_max_;
    std::size_t taken_ = 0; // permits that are out, those on their way to who waited for them included
    std::size_t waiting_ = 0;
    list_node queue_;
};

class [[nodiscard]] permit_queue::admission : queue_link, ready, timer {
public:
    admission(permit_queue& q, duration limit) noexcept : home_(q), limit_(limit) {}
    admission(const admission&) = delete;
    admission& operator=(const admission&) = delete;
    ~admission() {
        if (queue_link::linked()) --home_.waiting_;
    }

    bool await_ready() noexcept;
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
        if (!h.promise().at->of->failed()) enqueue(h);
        return true;
    }
    result<permit> await_resume() noexcept {
        if (error_) return std::unexpected(error_);
        return std::move(permit_);
    }

private:
    friend permit_queue;
    void enqueue(std::coroutine_handle<> h) noexcept;

    permit_queue& home_;
    duration limit_;
    permit permit_;
    std::error_code error_;
    std::coroutine_handle<> h_;
};

inline permit_queue::admission permit_queue::admit(duration limit) noexcept { return {*this, limit}; }

inline void permit::release() noexcept {
    if (of_) std::exchange(of_, nullptr)->pass_on();
}

} // namespace headgate
