#pragma once

#include <headgate/core/joint.hpp>

#include <coroutine>
#include <deque>
#include <optional>

namespace headgate {

// A bounded queue between two coroutines of one thread, one that pushes and one that pops. `limit` counts bytes (see
// item_bytes). A push waits while the queue is at its limit; an item larger than the limit is let in when the queue is
// empty. Waits are dropped with the frame that waits.
template <class T>
class channel {
public:
    explicit channel(std::size_t limit_bytes) : limit_(limit_bytes) {}
    channel(const channel&) = delete;
    channel& operator=(const channel&) = delete;

    // `co_await c.room(bytes)`: waits until an item of that size may be pushed.
    auto room(std::size_t bytes) noexcept { return wait(*this, &channel::pushing_, bytes); }
    // Puts an item in; there must be room.
    void push(T item) {
        bytes_ += item_bytes(item);
        items_.push_back(std::move(item));
        wake(popping_);
    }
    // No more items will come.
    void close() noexcept {
        closed_ = true;
        wake(popping_);
    }

    // `co_await c.filled()`: waits until there is an item, or the channel is closed and empty.
    auto filled() noexcept { return wait(*this, &channel::popping_, 0); }
    // Takes an item out, or nothing if there is none.
    std::optional<T> pop() {
        if (items_.empty()) return std::nullopt;
        std::optional<T> item(std::move(items_.front()));
        items_.pop_front();
        bytes_ -= item_bytes(*item);
        wake(pushing_);
        return item;
    }

    std::size_t bytes() const noexcept { return bytes_; }
    std::size_t limit() const noexcept { return limit_; }

private:
    class wait : ready {
    public:
        wait(channel& c, wait* channel::* slot, std::size_t bytes) noexcept : c_(c), slot_(slot), bytes_(bytes) {}
        ~wait() {
            if (c_.*slot_ == this) c_.*slot_ = nullptr;
        }
        bool await_ready() const noexcept { return satisfied(); }
        void await_suspend(std::coroutine_handle<> h) noexcept {
            h_ = h;
            this->run = [](ready& r) {
                auto& w = static_cast<wait&>(r);
                if (!w.satisfied()) return;
                w.c_.*w.slot_ = nullptr;
                w.h_.resume();
            };
            c_.*slot_ = this;
        }
        void await_resume() const noexcept {}

    private:
        friend channel;
        bool satisfied() const noexcept {
            if (slot_ == &channel::popping_) return c_.closed_ || !c_.items_.empty();
            return c_.items_.empty() || c_.bytes_ + bytes_ <= c_.limit_;
        }
        channel& c_;
        wait* channel::* slot_;
        std::size_t bytes_;
        std::coroutine_handle<> h_;
    };

    static void wake(wait* w) noexcept {
        if (w) executor::current().post(*w);
    }

    std::size_t limit_;
    std::size_t bytes_ = 0;
    bool closed_ = false;
    wait* pushing_ = nullptr;
    wait* popping_ = nullptr;
    std::deque<T> items_;
};

} // namespace headgate
