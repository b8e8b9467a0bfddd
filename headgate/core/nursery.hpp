#pragma once

#include <headgate/core/task.hpp>

#include <cstddef>

namespace headgate {

// Holds work that has no awaiting parent: the roots of the trees of coroutines, for example one per connection. A root
// that ends or fails is released in the same turn; whatever is left is dropped with the nursery, newest first. There is
// no detached work.
class nursery {
public:
    nursery() = default;
    nursery(const nursery&) = delete;
    nursery& operator=(const nursery&) = delete;
    ~nursery() { clear(); }

    // Starts `work` at once, until it first waits. `failed`, if given, is called with `context` and the error if the
    // work fails.
    void spawn(task<> work, void (*failed)(void* context, const flow_error&) = nullptr, void* context = nullptr);

    // Drops all work. Must not be called from inside of it.
    void clear() noexcept;

    // How many roots are alive.
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }

    // `co_await n.drained()`: waits until the nursery is empty. One waiter at a time.
    class drained_awaiter;
    drained_awaiter drained() noexcept;

private:
    struct link : list_node {};
    struct root;
    void release(root& r) noexcept;

    list_node roots_;
    std::size_t size_ = 0;
    drained_awaiter* waiter_ = nullptr;
};

class nursery::drained_awaiter : ready {
public:
    explicit drained_awaiter(nursery& n) noexcept : nursery_(n) {}
    ~drained_awaiter() {
        if (nursery_.waiter_ == this) nursery_.waiter_ = nullptr;
    }
    bool await_ready() const noexcept { return nursery_.empty(); }
    void await_suspend(std::coroutine_handle<> h) noexcept {
        h_ = h;
        run = [](ready& r) { static_cast<drained_awaiter&>(r).h_.resume(); };
        nursery_.waiter_ = this;
    }
    void await_resume() const noexcept {}

private:
    friend nursery;
    nursery& nursery_;
    std::coroutine_handle<> h_;
};

inline nursery::drained_awaiter nursery::drained() noexcept { return drained_awaiter(*this); }

} // namespace headgate
