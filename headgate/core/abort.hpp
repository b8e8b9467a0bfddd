#pragma once

#include <headgate/core/error.hpp>
#include <headgate/core/executor.hpp>

#include <coroutine>
#include <utility>

namespace headgate {

// Something to be told of an abort, once. Lives in whatever listens; destroying it ends the listening.
struct abort_listener : list_node {
    void (*aborted)(abort_listener&) = nullptr;
};

namespace detail {

struct abort_state;

// A counted reference to the state that a source and its signals share. Used on one thread; not locked.
class abort_ref {
public:
    abort_ref() = default;
    explicit abort_ref(abort_state* s) noexcept;
    abort_ref(const abort_ref& o) noexcept : abort_ref(o.s_) {}
    abort_ref(abort_ref&& o) noexcept : s_(std::exchange(o.s_, nullptr)) {}
    abort_ref& operator=(abort_ref o) noexcept {
        std::swap(s_, o.s_);
        return *this;
    }
    ~abort_ref();
    abort_state* operator->() const noexcept { return s_; }
    abort_state& operator*() const noexcept { return *s_; }
    explicit operator bool() const noexcept { return s_ != nullptr; }

private:
    abort_state* s_ = nullptr;
};

} // namespace detail

// Tells whoever holds it that something must end. Copyable and cheap; a default-made signal never fires, and so does
// one whose source has been destroyed without firing.
class abort_signal {
public:
    abort_signal() = default;

    bool aborted() const noexcept { return static_cast<bool>(reason()); }
    // errc::aborted, errc::timed_out, or what was given to abort(); no error as long as it has not fired.
    std::error_code reason() const noexcept;

    // Has `listener.aborted` called when the signal fires; at once if it has.
    void listen(abort_listener& listener) const;

    // `co_await signal.wait()`: waits until the signal fires; gives the reason.
    class waiter;
    waiter wait() const noexcept;

private:
    friend class abort_source;
    explicit abort_signal(detail::abort_ref state) noexcept : state_(std::move(state)) {}
    detail::abort_ref state_;
};

// Ends, from outside, what its signals were given to. Fires at most once.
class abort_source {
public:
    abort_source();
    // A child: fires when `parent` does, with the same reason, or by itself.
    explicit abort_source(const abort_signal& parent);
    abort_source(abort_source&&) = default;
    abort_source& operator=(abort_source&&) = delete;
    ~abort_source();

    abort_signal signal() const noexcept { return abort_signal(state_); }

    // Fires. What listens is told at once and ends as the very next thing.
    void abort(std::error_code reason = errc::aborted);

    // Fires by itself with errc::timed_out after `limit`. A second call moves the deadline.
    void abort_after(duration limit);

private:
    detail::abort_ref state_;
};

class abort_signal::waiter : abort_listener, ready {
public:
    explicit waiter(const abort_signal& s) noexcept : signal_(s) {}

    bool await_ready() const noexcept { return signal_.aborted(); }
    void await_suspend(std::coroutine_handle<> h) {
        h_ = h;
        run = [](ready& r) { static_cast<waiter&>(r).h_.resume(); };
        abort_listener::aborted = [](abort_listener& l) { executor::current().post(static_cast<waiter&>(l)); };
        signal_.listen(*this);
    }
    std::error_code await_resume() const noexcept { return signal_.reason(); }

private:
    abort_signal signal_;
    std::coroutine_handle<> h_;
};

inline abort_signal::waiter abort_signal::wait() const noexcept { return waiter(*this); }

} // namespace headgate
