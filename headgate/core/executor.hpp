#pragma once

#include <headgate/core/list.hpp>
#include <headgate/core/timer.hpp>

namespace headgate {

// Something to run soon. Lives in whatever waits for it; destroying it takes it back.
struct ready : list_node {
    void (*run)(ready&) = nullptr;
};

// What coroutines of one thread run on: queues of things to resume, timers and a clock. It knows no I/O; `io::loop`
// drives it.
//
// Whoever wakes a coroutine from inside another one goes through these queues, so a frame is never resumed or destroyed
// from inside another frame's code.
class executor {
public:
    executor(const executor&) = delete;
    executor& operator=(const executor&) = delete;

    // The executor of this thread: the one constructed last and not yet destroyed. There must be one.
    static executor& current() noexcept { return *current_; }

    // The time of the turn that is running: read once per turn, good enough to arm timers with.
    time_point turn_time() const noexcept { return turn_time_; }
    // The time now.
    virtual time_point now() const noexcept = 0;

    // Runs `r` in the next turn, after what is queued already.
    void post(ready& r) noexcept {
        if (!r.linked()) ready_.push_back(r);
    }
    // Runs `r` as the very next thing, before any other event is looked at.
    void post_next(ready& r) noexcept {
        r.unlink();
        next_.push_front(r);
    }

    // Arms `t` to fire `after` from this turn's time; `forever` disarms it.
    void arm(timer& t, duration after) noexcept {
        if (after == forever)
            t.disarm();
        else
            timers_.arm(t, after < time_point::max() - turn_time_ ? turn_time_ + after : time_point::max());
    }
    void arm_at(timer& t, time_point when) noexcept { timers_.arm(t, when); }

    std::size_t timers_armed() const noexcept { return timers_.armed(); }

    // For tests: whether a turn runs no more than one ready thing and one timer, so that between two turns something
    // else may happen at each point at which no coroutine runs.
    void step_by_step(bool on) noexcept { stepping_ = on; }

    // Whether this thread has one.
    static bool exists() noexcept { return current_ != nullptr; }

protected:
    explicit executor(time_point now) noexcept : turn_time_(now), timers_(now), previous_(current_) { current_ = this; }
    ~executor() { current_ = previous_; }

    bool has_ready() const noexcept { return ready_.linked() || next_.linked(); }

    // Runs what was queued with post_next, and what that queues with it.
    void run_next() {
        while (next_.linked()) run_first(next_);
    }
    // Runs what is queued now; what it posts waits for the next turn, so that I/O gets its turn.
    void run_ready() {
        run_next();
        list_node batch;
        batch.take_all(ready_);
        while (batch.linked()) {
            run_first(batch);
            run_next();
            if (stepping_) return leave_for_next_turn(batch);
        }
    }
    void run_timers(time_point now) {
        turn_time_ = now;
        timers_.advance(now, [this] {
            run_next();
            return !stepping_;
        });
    }
    time_point next_timer() noexcept { return timers_.next(); }

    time_point turn_time_;

private:
    static void run_first(list_node& list) {
        auto& r = static_cast<ready&>(*list.next);
        r.unlink();
        r.run(r);
    }
    void leave_for_next_turn(list_node& batch) noexcept {
        batch.take_all(ready_);
        ready_.take_all(batch);
    }

    static inline thread_local executor* current_ = nullptr;

    list_node ready_;
    list_node next_;
    timer_wheel timers_;
    executor* previous_;
    bool stepping_ = false;
};

} // namespace headgate
