#pragma once

#include <headgate/core/abort.hpp>
#include <headgate/core/chunk.hpp>
#include <headgate/core/sleep.hpp>
#include <headgate/core/stream.hpp>
#include <headgate/core/task.hpp>
#include <headgate/testing/probe.hpp>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace headgate::testing {

// A source that a test feeds by hand. Its stream refers to it, so the source must outlive the stream; there is one
// stream at a time.
template <class T>
class manual_source {
public:
    manual_source() = default;
    manual_source(const manual_source&) = delete;
    manual_source& operator=(const manual_source&) = delete;

    stream<T> open() { return produce(this); }

    void push(T item) {
        items_.push_back(std::move(item));
        wake();
    }
    void end() {
        ended_ = true;
        wake();
    }
    void fail(std::error_code why) {
        error_ = why;
        wake();
    }

    // How often the stream has begun to work on an item, whether it waits for one, and whether its frame exists.
    std::size_t pulls() const noexcept { return pulls_; }
    bool waiting() const noexcept { return waiter_ != nullptr; }
    bool alive() const noexcept { return alive_; }

private:
    struct wait : ready {
        manual_source& source;
        std::coroutine_handle<> h;
        explicit wait(manual_source& s) : source(s) {}
        ~wait() {
            if (source.waiter_ == this) source.waiter_ = nullptr;
        }
        bool await_ready() const { return source.ended_ || source.error_ || !source.items_.empty(); }
        void await_suspend(std::coroutine_handle<> parent) {
            h = parent;
            this->run = [](ready& r) { static_cast<wait&>(r).h.resume(); };
            source.waiter_ = this;
        }
        void await_resume() { source.waiter_ = nullptr; }
    };
    struct life {
        manual_source& source;
        explicit life(manual_source& s) : source(s) { source.alive_ = true; }
        ~life() { source.alive_ = false; }
    };

    static stream<T> produce(manual_source* self) {
        const life alive(*self);
        for (;;) {
            ++self->pulls_;
            co_await wait(*self);
            if (!self->items_.empty()) {
                T item = std::move(self->items_.front());
                self->items_.pop_front();
                co_yield std::move(item);
            } else if (self->error_) {
                co_await headgate::fail(self->error_);
            } else {
                co_return;
            }
        }
    }
    void wake() {
        if (waiter_) executor::current().post(*waiter_);
    }

    std::deque<T> items_;
    bool ended_ = false;
    std::error_code error_;
    std::size_t pulls_ = 0;
    bool alive_ = false;
    wait* waiter_ = nullptr;
};

// The items one by one, each after `every`.
template <class T>
stream<T> paced_source(std::vector<T> items, duration every) {
    for (T& item : items) {
        co_await sleep_for(every);
        co_yield std::move(item);
    }
}

// What the byte at `i` of a body that checks itself is: any loss, repetition or exchange of bytes shows. `id` tells
// bodies apart.
inline char body_byte(std::uint64_t id, std::uint64_t i) noexcept {
    const std::uint64_t word = (i / 8 + id * 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;
    return static_cast<char>((word ^ word >> 29) >> (i % 8 * 8));
}

// The bytes from `from` on of the body `id`.
inline std::string body_bytes(std::uint64_t id, std::uint64_t from, std::size_t n) {
    std::string out(n, 0);
    for (std::size_t i = 0; i < n; ++i) out[i] = body_byte(id, from + i);
    return out;
}

// The body `id` of `bytes` bytes in chunks of `piece`, each after `every`, and not later than it is asked for.
inline stream<chunk> paced_source(std::uint64_t id, std::size_t bytes, std::size_t piece, duration every) {
    for (std::size_t at = 0; at < bytes; at += piece) {
        co_await sleep_for(every);
        co_yield chunk(body_bytes(id, at, std::min(piece, bytes - at)));
    }
}

// 0, 1, 2... up to `n`, all ready at once.
inline stream<std::size_t> counting_source(std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) co_yield i;
}

// What a test's sink has seen. Must outlive the sink.
template <class T>
struct sink_log {
    std::vector<T> items;
    bool finished = false;
    bool alive = false; // a sink that writes here exists
};

// A sink that keeps its items in a log. It goes away when `closes` fires.
template <class T>
class recording_sink {
public:
    explicit recording_sink(sink_log<T>& log, abort_signal closes = {}) : log_(&log), closes_(std::move(closes)) {
        log_->alive = true;
    }
    recording_sink(recording_sink&& o) noexcept : log_(std::exchange(o.log_, nullptr)), closes_(std::move(o.closes_)) {}
    recording_sink& operator=(recording_sink&&) = delete;
    ~recording_sink() {
        if (log_) log_->alive = false;
    }

    task<> write(T item) {
        log_->items.push_back(std::move(item));
        co_return;
    }
    task<> finish() {
        log_->finished = true;
        co_return;
    }
    task<std::error_code> closed() { co_return co_await closes_.wait(); }
    const char* name() const noexcept { return "recording sink"; }

private:
    sink_log<T>* log_;
    abort_signal closes_;
};

// A stage that works so long on each item.
struct paced_stage {
    duration work;
    stream<int> operator()(stream<int> in) const { return run(std::move(in), work); }
    static stream<int> run(stream<int> in, duration work) {
        while (auto i = co_await in.next()) {
            co_await sleep_for(work);
            co_yield *i;
        }
    }
    const char* name() const noexcept { return "paced"; }
};

// A sink that keeps up to `limit` bytes and takes `delay` for each item: a write waits for room, and finish() until all
// is gone. A probe is told of each item that goes.
template <class T>
class slow_sink {
public:
    slow_sink(std::size_t limit_bytes, duration delay) : limit_(limit_bytes), delay_(delay) {}
    slow_sink(std::size_t limit_bytes, duration delay, probe& p) : limit_(limit_bytes), delay_(delay), probe_(&p) {}

    task<> write(T item) {
        const time_point now = executor::current().now();
        const time_point begin = items_.empty() ? now : std::max(now, items_.back().gone);
        items_.push_back({item_bytes(item), begin + delay_});
        held_ += items_.back().bytes;
        drop_gone();
        while (held_ > limit_) co_await first_gone();
    }
    task<> finish() {
        while (!items_.empty()) co_await first_gone();
    }
    const char* name() const noexcept { return "slow sink"; }

private:
    struct entry {
        std::size_t bytes;
        time_point gone;
    };
    task<> first_gone() {
        co_await sleep_for(items_.front().gone - executor::current().turn_time());
        drop_gone();
    }
    void drop_gone() {
        const time_point now = executor::current().now();
        while (!items_.empty() && items_.front().gone <= now) {
            held_ -= items_.front().bytes;
            if (probe_) probe_->took(items_.front().bytes);
            items_.pop_front();
        }
    }

    std::size_t limit_;
    duration delay_;
    probe* probe_ = nullptr;
    std::size_t held_ = 0;
    std::deque<entry> items_;
};

// A stage that lets `n` items pass and then fails with `why`, as the next one is pulled.
struct fail_after {
    std::size_t n;
    std::error_code why;

    template <class T>
    stream<T> operator()(stream<T> in) const {
        return pass(std::move(in), n, why);
    }
    const char* name() const noexcept { return "fail_after"; }

private:
    template <class T>
    static stream<T> pass(stream<T> in, std::size_t n, std::error_code why) {
        for (; n != 0; --n) {
            auto item = co_await in.next();
            if (!item) co_return;
            co_yield std::move(*item);
        }
        co_await fail(why);
    }
};

} // namespace headgate::testing
