#pragma once

#include <headgate/core/outcome.hpp>
#include <headgate/core/stream.hpp>

#include <coroutine>
#include <optional>
#include <utility>

namespace headgate {

namespace detail {

// What a watched stream and the one who waits for its end share. Counted by its two holders, on one thread.
struct end_state {
    int holders = 0;
    std::optional<outcome> end;
    ready* waiter = nullptr;
};

class end_ref {
public:
    explicit end_ref(end_state* s) noexcept : s_(s) { ++s_->holders; }
    end_ref(end_ref&& o) noexcept : s_(std::exchange(o.s_, nullptr)) {}
    end_ref& operator=(end_ref&&) = delete;
    ~end_ref() {
        if (s_ && --s_->holders == 0) delete s_;
    }
    end_state* operator->() const noexcept { return s_; }
    explicit operator bool() const noexcept { return s_ != nullptr; }

private:
    end_state* s_;
};

// Lives in the watched stream's frame. Reports the end once: when it is told, or else when it is destroyed.
class end_reporter {
public:
    explicit end_reporter(end_ref state) : state_(std::move(state)), begun_(executor::current().now()) {}
    end_reporter(end_reporter&&) = default;
    end_reporter& operator=(end_reporter&&) = delete;
    ~end_reporter() {
        if (!state_ || state_->end) return;
        if (running_ && running_->of->failed_itself())
            report(std::unexpected(running_->of->error()));
        else
            report(std::unexpected(flow_error{errc::premature_close, side::caller, 0, "destroyed before its end"}));
    }

    // The stream runs at `at`, or is not being pulled.
    void running(const place* at) noexcept { running_ = at; }
    void passed(std::size_t bytes) noexcept {
        ++moved_.items;
        moved_.bytes += bytes;
    }
    void ended() {
        moved_.elapsed = executor::current().now() - begun_;
        report(moved_);
    }

private:
    void report(outcome o) {
        state_->end.emplace(std::move(o));
        if (state_->waiter) executor::current().post(*state_->waiter);
    }

    end_ref state_;
    const place* running_ = nullptr;
    time_point begun_;
    transfer moved_;
};

template <class T>
stream<T> watched(stream<T> in, end_reporter report) {
    report.running(&co_await here());
    while (auto item = co_await in.next()) {
        report.passed(item_bytes(*item));
        report.running(nullptr);
        co_yield std::move(*item);
        report.running(&co_await here());
    }
    report.ended();
}

class end_wait : ready {
public:
    explicit end_wait(end_state& s) noexcept : s_(s) {}
    ~end_wait() {
        if (s_.waiter == this) s_.waiter = nullptr;
    }
    bool await_ready() const noexcept { return s_.end.has_value(); }
    void await_suspend(std::coroutine_handle<> h) noexcept {
        h_ = h;
        run = [](ready& r) { static_cast<end_wait&>(r).h_.resume(); };
        s_.waiter = this;
    }
    void await_resume() const noexcept {}

private:
    end_state& s_;
    std::coroutine_handle<> h_;
};

inline task<outcome> wait_for_end(end_ref state) {
    co_await end_wait(*state.operator->());
    co_return *state->end;
}

} // namespace detail

// `auto [in, end] = finished(std::move(source))`: use `in` in place of the source; `end` is a task that waits for the
// end of this one stream, whatever its reason: its own end, the error of its flow, or its destruction
// (errc::premature_close). It fires exactly once.
template <class T>
std::pair<stream<T>, task<outcome>> finished(stream<T> source) {
    detail::end_ref state(new detail::end_state);
    auto* s = state.operator->();
    return {detail::watched(std::move(source), detail::end_reporter(std::move(state))),
            detail::wait_for_end(detail::end_ref(s))};
}

} // namespace headgate
