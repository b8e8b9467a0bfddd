#pragma once

#include <headgate/io/socket.hpp>

#include <csignal>
#include <initializer_list>

namespace headgate {

// Signals to this process as events of the loop: `signal_set stop({SIGTERM, SIGINT}); ... co_await stop.next()`.
//
// The signals are blocked for the thread from construction to destruction, and for the threads it starts meanwhile; so
// it is made before any thread is started. One that came but was not taken by next() has its usual effect when the set
// is destroyed. Must be destroyed before its loop.
class signal_set {
public:
    // Throws std::system_error if it cannot be set up.
    signal_set(std::initializer_list<int> signals);
    signal_set(const signal_set&) = delete;
    signal_set& operator=(const signal_set&) = delete;
    ~signal_set();

    // `co_await s.next()`: waits for the next signal and gives its number. One waiter at a time; dropped with its
    // frame.
    class next_operation;
    next_operation next() noexcept;

private:
    sigset_t before_;
    descriptor fd_;
};

class signal_set::next_operation : public detail::io_operation<next_operation, detail::to_read> {
public:
    explicit next_operation(slot& s) noexcept : io_operation(s, {}, forever) {}
    bool attempt() noexcept;
    void fail(std::error_code) noexcept {}
    int await_resume() const noexcept { return number_; }

private:
    int number_ = 0;
};

inline signal_set::next_operation signal_set::next() noexcept { return next_operation(fd_.state()); }

} // namespace headgate
