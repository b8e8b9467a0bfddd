#pragma once

#include <headgate/io/socket.hpp>

#include <optional>

namespace headgate {

// A connection that has just been accepted.
struct accepted {
    socket connection;
    peer_address peer;
};

// A listening socket, TCP or Unix. Move-only; closes when destroyed (a Unix socket's path is removed).
class listener {
public:
    struct options {
        int backlog = 4096;      // connections the kernel keeps for us; it may allow fewer
        tcp_liveness alive{};    // of the connections that come in
        bool reuse_port = false; // share the port with other listeners that say so; the kernel spreads connections
    };

    listener(listener&&) = default;
    listener& operator=(listener&& o) noexcept {
        if (this != &o) {
            close();
            fd_ = std::move(o.fd_);
            where_ = o.where_;
        }
        return *this;
    }
    ~listener() { close(); }

    // Listens at `at`. Errors are the system's. The path of a Unix socket that nobody listens at any more is taken
    // over; one that somebody does, or a file that is no socket, is EADDRINUSE.
    static result<listener> open(const address& at, options o);
    static result<listener> open(const address& at) { return open(at, options{}); }

    // `co_await l.accept()`: the next connection, watched by this loop, TCP_NODELAY set (it has the
    // listener's options: that is what Linux does). Errors are the system's; after
    // EMFILE, ENFILE, ENOBUFS and ENOMEM the connection still waits, and `shed` can refuse it.
    class accept_operation;
    accept_operation accept() noexcept;
    // A connection that waits already, if there is one.
    std::optional<result<accepted>> try_accept();

    // Where it listens, with the port that was given out if 0 was asked for.
    const address& where() const noexcept { return where_; }

private:
    listener(slot& s, address where) : fd_(s), where_(std::move(where)) {}
    void close() noexcept;

    descriptor fd_;
    address where_;
};

class listener::accept_operation : public detail::io_operation<accept_operation> {
public:
    explicit accept_operation(slot& s) noexcept : io_operation(s, &slot::reading, &slot::readable, forever) {}
    bool attempt();
    void fail(std::error_code e) noexcept { result_ = std::unexpected(e); }
    result<accepted> await_resume() noexcept { return std::move(result_); }

private:
    result<accepted> result_{};
};

inline listener::accept_operation listener::accept() noexcept { return accept_operation(fd_.state()); }

} // namespace headgate
