#pragma once

#include <headgate/io/address.hpp>

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace headgate::gateway {

// An open descriptor that no loop watches. Move-only; closes it when destroyed.
class owned_fd {
public:
    owned_fd() = default;
    explicit owned_fd(int fd) noexcept : fd_(fd) {}
    owned_fd(owned_fd&& o) noexcept : fd_(o.release()) {}
    owned_fd& operator=(owned_fd o) noexcept {
        std::swap(fd_, o.fd_);
        return *this;
    }
    ~owned_fd();

    int get() const noexcept { return fd_; }
    int release() noexcept { return std::exchange(fd_, -1); }
    // Another descriptor of the same thing, `least` or higher; not inherited by programs that are started. Throws
    // std::system_error.
    static owned_fd copy_of(int fd, int least = 3);

private:
    int fd_ = -1;
};

// A listening socket that goes from one process to another.
struct handed_socket {
    std::string name{}; // of the listener that it is for; empty: it is known by its address
    owned_fd fd{};
    bool keep_path = false; // see listener::options
};

// What this process has been given by whoever has started it: listening sockets, by systemd (socket activation,
// sd_listen_fds(3)) or by the gateway that this one is to replace, which waits to hear that it is ready.
class inheritance {
public:
    inheritance() = default;
    // What the environment tells of; it is removed from there. Call once, before any thread is started.
    static inheritance of_process();

    // The sockets for a listener called `name` that is to listen at `at`. They are the caller's then.
    std::vector<handed_socket> take(std::string_view name, const address& at);
    // Closes those that nobody has taken, and tells where they listen.
    std::vector<std::string> close_rest();

    // Tells the gateway that waits, if there is one, that this one is ready, or why it cannot be.
    void ready() noexcept { report("ready\n"); }
    void failed(std::string_view why) noexcept { report(why); }

private:
    void take_over(int fd, std::string name, bool keep_path);
    void report(std::string_view text) noexcept;

    std::vector<handed_socket> sockets_;
    owned_fd waiting_; // who waits hears from here
};

// Where a socket listens; an address of no family if it does not.
address listening_at(int fd) noexcept;
// Whether other sockets may share its port.
bool shares_port(int fd) noexcept;

// The first descriptor that is handed over, and the names of variables that tell of them, between two gateways.
inline constexpr int first_handed_fd = 3;
inline constexpr const char* handed_variable =
    "HEADGATE_HANDED_SOCKETS"; // a line for each: '+' or '-' (keep_path), name
inline constexpr const char* report_variable = "HEADGATE_REPORT_FD";

} // namespace headgate::gateway
