#pragma once

#include <headgate/core/error.hpp>
#include <headgate/core/executor.hpp>

#include <coroutine>
#include <exception>
#include <memory>
#include <optional>

namespace headgate {

// A tree of coroutines that fails as a whole. The first failure is kept; the flow's owner is then run as the very next
// thing, before any other event, and destroys the tree. No frame of a failed flow is resumed again.
class flow : public ready {
public:
    // Whether this flow, or one that it is part of, has failed.
    bool failed() const noexcept { return failed_ || (outer_ && outer_->failed()); }
    // Whether the failure is this flow's own, which is then its owner's to report.
    bool failed_itself() const noexcept { return failed_; }

    // Fails the flow. Only the first call counts. Never destroys or resumes anything by itself, so any frame may call
    // it.
    void fail(flow_error error) noexcept;

    // The first cause; the flow must have failed itself.
    const flow_error& error() const noexcept;
    // The same, for the owner: the flow is not run any more.
    flow_error take_error() noexcept;

protected:
    explicit flow(flow* outer = nullptr) noexcept : outer_(outer) {}
    ~flow() = default;

    void set_outer(flow& outer) noexcept { outer_ = &outer; }
    flow* outer() const noexcept { return outer_; }

private:
    bool failed_ = false;
    flow* outer_;
    std::unique_ptr<flow_error> error_; // none if there was no memory for it
};

class joint;

// Where a frame runs: in which flow, and at which part of its chain. A frame takes it from the frame that awaits it,
// each time, so that an error knows where it arose.
struct place {
    flow* of = nullptr;
    side where = side::caller;
    std::uint16_t stage = 0;
    bool metered = false; // whether this is a joint, see joint.hpp
    flow* home = nullptr; // of a joint: the flow of its whole chain, for what runs beside; `of` may be an attempt in it
};

// A flow inside another, whose owner is one coroutine: it is resumed when the flow fails.
struct scope : flow {
    place at;

    // Makes the scope part of the flow at `outer`, on behalf of `parent`.
    void enter(const place& outer, std::coroutine_handle<> parent) noexcept {
        set_outer(*outer.of);
        at = {.of = this, .where = outer.where, .stage = outer.stage};
        owner_ = parent;
        run = [](ready& r) {
            auto& s = static_cast<scope&>(r);
            if (!s.outer()->failed()) s.owner_.resume();
        };
    }

private:
    std::coroutine_handle<> owner_;
};

// The error of an exception in flight: its own code if it is a system_error, errc::failed otherwise, with what() as the
// detail.
flow_error error_of(const std::exception_ptr& thrown, const place& at) noexcept;

// `co_await fail(code)`: ends the flow that this coroutine runs in. The coroutine is not resumed; everything it holds
// is released when the flow's owner drops the chain, before anything else happens.
class fail {
public:
    explicit fail(std::error_code code, std::string detail = {}) : code_(code), detail_(std::move(detail)) {}
    // For a part that is several at once, such as a relay: says at which side it arose.
    fail(std::error_code code, side where, std::string detail = {})
        : code_(code), where_(where), detail_(std::move(detail)) {}

    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> h) {
        const place& at = *h.promise().at;
        at.of->fail({code_, where_.value_or(at.where), at.stage, std::move(detail_)});
    }
    [[noreturn]] void await_resume() const noexcept { std::terminate(); }

private:
    std::error_code code_;
    std::optional<side> where_;
    std::string detail_;
};

// `co_await checkpoint()`: goes no further if the flow has failed meanwhile. Awaiting anything else does the same; this
// is for the moment before something is begun that would be seen from outside.
class checkpoint {
public:
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> h) const noexcept {
        return h.promise().at->of->failed();
    }
    void await_resume() const noexcept {}
};

// `co_await here()`: the place of the awaiting coroutine, to report what it holds (`hold`) or to start work of its own
// in the same flow (`strand`). Valid as long as the coroutine.
class here {
public:
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
        at_ = h.promise().at;
        return false;
    }
    place& await_resume() const noexcept { return *at_; }

private:
    place* at_ = nullptr;
};

} // namespace headgate
