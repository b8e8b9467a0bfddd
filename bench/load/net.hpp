#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <netinet/in.h>
#include <sys/epoll.h>

// Sockets and events for the load tools. They share no code with headgate: what measures must not be what is measured.
namespace bench {

// Says what went wrong, with the system's error if errno is set, and ends the program with status 1.
[[noreturn]] void die(std::string_view what);

// Seconds of a steady clock.
double now() noexcept;

// "127.0.0.1:8080"; a program that is given anything else ends.
sockaddr_in parse_address(std::string_view text);

// Non-blocking descriptors with TCP_NODELAY. A failure ends the program.
int listen_on(const sockaddr_in& at);
int accept_from(int listener); // -1 if nobody waits
int connect_to(const sockaddr_in& to);
// The same, but blocking.
int connect_blocking(const sockaddr_in& to);

// Something that is told about events of its descriptors.
class handler {
public:
    virtual ~handler() = default;
    virtual void on_event(std::uint32_t events) = 0;
};

// Level-triggered epoll, one thread.
class poller {
public:
    poller();
    ~poller();
    poller(const poller&) = delete;

    void add(int fd, std::uint32_t events, handler& who) { control(EPOLL_CTL_ADD, fd, events, who); }
    void change(int fd, std::uint32_t events, handler& who) { control(EPOLL_CTL_MOD, fd, events, who); }
    // Waits for events and tells the handlers. A handler that closes its descriptor may delete itself: each descriptor
    // is reported once per turn.
    void turn();

private:
    void control(int what, int fd, std::uint32_t events, handler& who);

    int epoll_;
};

// Fires again and again, this many seconds apart. What was missed is counted.
class interval_timer {
public:
    explicit interval_timer(double seconds);
    ~interval_timer();
    interval_timer(const interval_timer&) = delete;

    int fd() const noexcept { return fd_; }
    std::uint64_t expirations() const;

private:
    int fd_;
};

// A file in memory of `bytes` bytes, to be sent with sendfile(2).
int file_in_memory(std::size_t bytes);

} // namespace bench
