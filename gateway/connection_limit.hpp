#pragma once

#include <headgate/core/error.hpp>
#include <headgate/core/executor.hpp>
#include <headgate/core/flow.hpp>

#include <coroutine>
#include <utility>

#include <gateway/options.hpp>

namespace headgate::gateway {

class connection_limit;

// The right to have one connection to an upstream, in use or in the making. Whoever holds it counts; its end lets the
// next one in. Must not outlive its limit.
class [[nodiscard]] connection_permit {
public:
    connection_permit() = default;
    connection_permit(connection_permit&& o) noexcept : of_(std::exchange(o.of_, nullptr)) {}
    connection_permit& operator=(connection_permit&& o) noexcept {
        if (this != &o) {
            release();
            of_ = std::exchange(o.of_, nullptr);
        }
        return *this;
    }
    ~connection_permit() { release(); }

    explicit operator bool() const noexcept { return of_ != nullptr; }
    void release() noexcept;

private:
    friend connection_limit;
    explicit connection_permit(connection_limit& of) noexcept : of_(&of) {}
    connection_limit* of_ = nullptr;
};

// How many connections one worker may have to an upstream at a time, and the queue of those who wait for one: first
// come, first served. Allocates nothing: who waits is a node in the waiting frame, and leaves the queue with it.
class connection_limit {
public:
    class admission;

    explicit connection_limit(const upstream_options& o) noexcept
        : connections_max_(o.connections_max), queue_max_(o.queue_max), queue_timeout_(o.queue_timeout) {}
    connection_limit(const connection_limit&) = delete;
    connection_limit& operator=(const connection_limit&) = delete;

    // `co_await limit.admit()`: a permit, at once or when it is this one's turn. Fails with errc::overloaded if the
    // queue is full, and with errc::timed_out if its turn does not come in time.
    admission admit() noexcept;

    // Whether there is a permit to be had at once.
    bool free() const noexcept { return waiting_ == 0 && taken_ < connections_max_; }
    std::size_t most() const noexcept { return connections_max_; }
    std::size_t taken() const noexcept { return taken_; }
    std::size_t waiting() const noexcept { return waiting_; }

private:
    friend connection_permit;
    void pass_on() noexcept;

    std::size_t connections_max_;
    std::size_t queue_max_;
    duration queue_timeout_;
    std::size_t taken_ = 0; // permits that are out, those on their way to who waited for them included
    std::size_t waiting_ = 0;
    list_node queue_;
};

namespace detail {
struct queue_link : list_node {};
} // namespace detail

class [[nodiscard]] connection_limit::admission : detail::queue_link, ready, timer {
public:
    explicit admission(connection_limit& l) noexcept : limit_(l) {}
    admission(const admission&) = delete;
    admission& operator=(const admission&) = delete;
    ~admission() {
        if (queue_link::linked()) --limit_.waiting_;
    }

    bool await_ready() noexcept;
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
        if (!h.promise().at->of->failed()) enqueue(h);
        return true;
    }
    result<connection_permit> await_resume() noexcept {
        if (permit_) return std::move(permit_);
        return std::unexpected(error_);
    }

private:
    friend connection_limit;
    void enqueue(std::coroutine_handle<> h) noexcept;

    connection_limit& limit_;
    connection_permit permit_;
    std::error_code error_;
    std::coroutine_handle<> h_;
};

inline connection_limit::admission connection_limit::admit() noexcept { return admission(*this); }

inline void connection_permit::release() noexcept {
    if (of_) std::exchange(of_, nullptr)->pass_on();
}

} // namespace headgate::gateway
