#pragma once

#include <headgate/core/flow.hpp>
#include <headgate/core/frame.hpp>

#include <coroutine>

namespace headgate {

// What the promises of `task` and `stream` share: a frame from the pool, a lazy start, and what to do when it settles,
// that is, ends or yields. A frame is resumed either inline, by the frame that awaits it, which goes on by itself when
// it settles at once; or later, by the loop, and then it hands over to the frame that awaits it. The first keeps the
// stack flat over any number of items that are ready at once, with no help from the optimiser.
struct promise_base : frame_link {
    using next_step = std::coroutine_handle<> (*)(promise_base&) noexcept;

    void* parent = nullptr;   // who awaits this frame: a coroutine's address, or what `then` makes of it
    next_step then = nullptr; // what to resume when the frame settles
    place* at = nullptr;      // where it runs; taken from the awaiting frame at each resumption

    static void* operator new(std::size_t bytes) { return allocate_frame(bytes); }
    static void operator delete(void* frame, std::size_t bytes) noexcept { free_frame(frame, bytes); }

    struct settle {
        bool await_ready() const noexcept { return false; }
        template <class Promise>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> h) const noexcept {
            promise_base& p = h.promise();
            return p.then(p);
        }
        void await_resume() const noexcept {}
    };

    std::suspend_always initial_suspend() const noexcept { return {}; }
    settle final_suspend() const noexcept { return {}; }
    void unhandled_exception() { at->of->fail(error_of(std::current_exception(), *at)); }

    static std::coroutine_handle<> stay(promise_base&) noexcept { return std::noop_coroutine(); }
    static std::coroutine_handle<> resume_parent(promise_base& p) noexcept {
        if (p.at->of->failed()) return std::noop_coroutine();
        return std::coroutine_handle<>::from_address(p.parent);
    }
};

// Resumes `child` inline on behalf of `parent`, at the place `at`. Returns whether the parent stays suspended: because
// the child has not settled, or because the flow has failed, in which case nothing of it may be touched any more.
template <class Promise, class Settled>
bool resume_inline(std::coroutine_handle<Promise> child, std::coroutine_handle<> parent, place* at, Settled settled) {
    flow& f = *at->of;
    if (f.failed()) return true;
    promise_base& p = child.promise();
    p.at = at;
    p.parent = parent.address();
    p.then = &promise_base::stay;
    child.resume();
    if (f.failed()) return true;
    if (settled()) return false;
    p.then = &promise_base::resume_parent;
    return true;
}

} // namespace headgate
