#pragma once

#include <headgate/core/promise.hpp>

#include <optional>
#include <utility>

namespace headgate {

// Work that yields one T. Lazy: it runs when it is awaited (`co_await std::move(t)`), once. Move-only; whoever holds a
// task owns its frame and everything in it, and destroying it at any moment releases all of that before the destructor
// returns.
//
// A task never ends with an exception or an error of its own accord: it returns, or the flow it runs in fails (see
// `fail`).
template <class T = void>
class [[nodiscard]] task {
    struct value_promise : promise_base {
        std::optional<T> value;
        template <class U = T>
        void return_value(U&& v) {
            value.emplace(std::forward<U>(v));
        }
        T take() { return std::move(*value); }
    };
    struct void_promise : promise_base {
        void return_void() const noexcept {}
        void take() const noexcept {}
    };

public:
    struct promise_type : std::conditional_t<std::is_void_v<T>, void_promise, value_promise> {
        task get_return_object() { return task(std::coroutine_handle<promise_type>::from_promise(*this)); }
    };

    task() = default; // no work; may only be assigned to or destroyed
    task(task&& other) noexcept : h_(std::exchange(other.h_, nullptr)) {}
    task& operator=(task&& other) noexcept {
        if (this != &other) {
            reset();
            h_ = std::exchange(other.h_, nullptr);
        }
        return *this;
    }
    ~task() { reset(); }

    // Drops the work, at whatever point it is.
    void reset() noexcept {
        if (h_) std::exchange(h_, nullptr).destroy();
    }

    explicit operator bool() const noexcept { return h_ != nullptr; }
    bool done() const noexcept { return h_.done(); }
    std::coroutine_handle<promise_type> handle() const noexcept { return h_; }

    class awaiter {
    public:
        explicit awaiter(std::coroutine_handle<promise_type> h) noexcept : h_(h) {}
        bool await_ready() const noexcept { return false; }
        template <class Promise>
        bool await_suspend(std::coroutine_handle<Promise> parent) {
            return resume_inline(h_, parent, parent.promise().at, [this] { return h_.done(); });
        }
        T await_resume() { return h_.promise().take(); }

    private:
        std::coroutine_handle<promise_type> h_;
    };
    // The task must outlive the await: `co_await f()` and `co_await std::move(t)` both do.
    awaiter operator co_await() && noexcept { return awaiter(h_); }

private:
    explicit task(std::coroutine_handle<promise_type> h) noexcept : h_(h) {}
    std::coroutine_handle<promise_type> h_ = nullptr;
};

// `co_await at_place(work, at)`: runs the task as another part of the chain, so that its errors name that part. `at`
// must be of the same flow as the awaiting frame.
class [[nodiscard]] at_place {
public:
    at_place(task<> work, place& at) noexcept : work_(std::move(work)), at_(at) {}
    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> parent) {
        return resume_inline(work_.handle(), parent, &at_, [this] { return work_.done(); });
    }
    void await_resume() noexcept { work_.reset(); }

private:
    task<> work_;
    place& at_;
};

// Work that runs beside the frame that holds the strand, in the same flow: it is started by `start`, and destroyed with
// the strand. Its failure is the flow's; that it has ended, nobody is told. Beside a stream of a pipeline it runs in
// the pipeline's flow, also when an attempt inside pulls the stream: it goes on after the attempt. Its own place has no
// meter: for `hold` it is given the holder's.
class strand {
public:
    strand() = default;
    strand(const strand&) = delete;
    strand& operator=(const strand&) = delete;

    // Runs `work` until it first waits. `at` is the holder's place (`co_await here()`).
    void start(task<> work, const place& at) {
        work_ = std::move(work);
        at_ = {.of = at.home ? at.home : at.of, .where = at.where, .stage = at.stage};
        promise_base& p = work_.handle().promise();
        p.at = &at_;
        p.then = &promise_base::stay;
        if (!at.of->failed()) work_.handle().resume();
    }
    void stop() noexcept { work_.reset(); }
    bool done() const noexcept { return !work_ || work_.done(); }

private:
    place at_;
    task<> work_;
};

// Runs a task as a flow of its own inside this one: `co_await attempt(t)` gives its value or the error it failed with.
// By the time it returns, a failed task has been destroyed with everything it held. A stream with a strand that is not
// a pipeline's own part must not outlive the attempt in which it is pulled first: the strand runs in that flow.
template <class T>
class [[nodiscard]] attempt {
public:
    explicit attempt(task<T> work) noexcept : work_(std::move(work)) {}

    bool await_ready() const noexcept { return false; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> parent) {
        const place& outer = *parent.promise().at;
        scope_.enter(outer, parent);
        const bool wait = resume_inline(work_.handle(), parent, &scope_.at, [this] { return work_.done(); });
        if (outer.of->failed()) return true;
        return wait && !scope_.failed_itself(); // a failure that came at once is taken at once
    }
    std::expected<T, flow_error> await_resume() {
        if (scope_.failed_itself()) {
            work_.reset();
            return std::unexpected(scope_.take_error());
        }
        if constexpr (std::is_void_v<T>) {
            work_.reset();
            return {};
        } else {
            std::expected<T, flow_error> value(work_.handle().promise().take());
            work_.reset();
            return value;
        }
    }

private:
    scope scope_;
    task<T> work_;
};

} // namespace headgate
