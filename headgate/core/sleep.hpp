#pragma once

#include <headgate/core/executor.hpp>

#include <coroutine>

namespace headgate {

// `co_await sleep_for(d)`: waits for `d`, rounded up to the next millisecond; not at all if it is zero or less.
// `forever` waits until the frame is dropped. Dropped with the frame that waits.
class [[nodiscard]] sleep_for : timer {
public:
    explicit sleep_for(duration d) noexcept : for_(d) {}

    bool await_ready() const noexcept { return for_ <= duration::zero(); }
    void await_suspend(std::coroutine_handle<> h) noexcept {
        h_ = h;
        fire = [](timer& t) { static_cast<sleep_for&>(t).h_.resume(); };
        executor::current().arm(*this, for_);
    }
    void await_resume() const noexcept {}

private:
    duration for_;
    std::coroutine_handle<> h_;
};

// `co_await next_turn()`: lets everything else that is ready have its turn first.
class [[nodiscard]] next_turn : ready {
public:
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) noexcept {
        h_ = h;
        run = [](ready& r) { static_cast<next_turn&>(r).h_.resume(); };
        executor::current().post(*this);
    }
    void await_resume() const noexcept {}

private:
    std::coroutine_handle<> h_;
};

} // namespace headgate
