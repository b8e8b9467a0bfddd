#pragma once

#include <headgate/io/socket.hpp>

#include <optional>

namespace headgate {

// A connection that has just been accepted.
struct accepted {
    socket connection;
    peer_address peer;
};

// A listening socket, TCP or Unix. Move-only; closes when destroyed (a Unix socket's path is removed, unless it is
// somebody else's).
class listener {
public:
    struct options {
        int backlog = 4096;      // connections the kernel keeps for us; it may allow fewer
        tcp_liveness alive{};    // of the connections that come in
        bool reuse_port = false; // share the port with other listeners that say so; the kernel spreads connections
        bool keep_path = false;  // the path of a Unix socket is somebody else's, and stays when this is closed
    };

    listener(listener&&) = default;
    listener& operator=(listener&& o) noexcept {
        if (this != &o) {
            close();
            fd_ = std::move(o.fd_);
            where_ = o.where_;
            keep_path_ = o.keep_path_;
        }
        return *this;
    }
    ~listener() { close(); }

    // Listens at `at`. Errors are the system's. The path of a Unix socket that nobody listens at any more is taken
    // over; one that somebody does, or a file that is no socket, is EADDRINUSE.
    static result<listener> open(const address& at, options o);
    static result<listener> open(const address& at) { return open(at, options{}); }
    // Takes over a socket that somebody else has opened: it listens already and does not block. On failure it is
    // closed.
    static result<listener> adopt(int fd, options o);

    // A descriptor of the socket; stays this one's.
    int fd() const noexcept { return fd_.fd(); }
    bool keeps_path() const noexcept { return keep_path_; }
    // The socket has been given to somebody else, too: its path is not removed when this is closed.
    void keep_path() noexcept { keep_path_ = true; }

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
    listener(slot& s, address where, bool keep_path) : fd_(s), where_(std::move(where)), keep_path_(keep_path) {}
    static result<listener> watched(int fd, bool keep_path);
    void close() noexcept;

    descriptor fd_;
    address where_;
    bool keep_path_ = false;
};

class listener::accept_operation : public detail::io_operation<accept_operation, detail::to_read> {
public:
    explicit accept_operation(slot& s) noexcept : io_operation(s, {}, forever) {}
    bool attempt();
    void fail(std::error_code e) noexcept { result_ = std::unexpected(e); }
    result<accepted> await_resume() noexcept { return std::move(result_); }

private:
    result<accepted> result_{};
};

inline listener::accept_operation listener::accept() noexcept { return accept_operation(fd_.state()); }

} // namespace headgate
