#pragma once

#include <headgate/core/timer.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

namespace headgate {

// A descriptor has become ready: the tag it was watched with and EPOLL* bits.
struct io_event {
    std::uint64_t tag;
    std::uint32_t bits;
};

// The system calls that the loop and its sockets use, and the clock. There are two: `linux_kernel`, and
// `simulated_kernel` with sockets in memory and virtual time, so that everything above runs unchanged in a
// deterministic simulation. Calls that can fail return -errno. None blocks but `wait`.
class kernel {
public:
    virtual ~kernel() = default;

    virtual time_point now() const noexcept = 0;

    // Waits for events, up to `timeout` (`forever` is allowed), and returns how many there are. -EDEADLK if nothing can
    // ever happen any more, which only a simulation can know. `wake`, from any thread, ends the wait.
    virtual int wait(std::span<io_event> out, duration timeout) = 0;
    virtual void wake() noexcept = 0;

    // Watches `fd` for everything (readable, writable, peer gone), edge-triggered, until it is closed or unwatched.
    virtual int watch(int fd, std::uint64_t tag) = 0;
    virtual void unwatch(int fd) = 0;

    virtual int socket(int family, int type) = 0; // non-blocking, close-on-exec
    virtual int socket_pair(int (&ends)[2]) = 0;  // two connected Unix stream sockets; the same
    virtual int bind(int fd, const sockaddr* address, socklen_t size) = 0;
    virtual int listen(int fd, int backlog) = 0;
    virtual int accept(int fd, sockaddr* peer, socklen_t* size) = 0; // non-blocking, close-on-exec
    virtual int connect(int fd, const sockaddr* address, socklen_t size) = 0;
    virtual int shutdown(int fd, int how) = 0;
    virtual int set_option(int fd, int level, int name, const void* value, socklen_t size) = 0;
    virtual int get_option(int fd, int level, int name, void* value, socklen_t* size) = 0;
    virtual int local_name(int fd, sockaddr* address, socklen_t* size) = 0;
    virtual ssize_t read(int fd, void* to, std::size_t bytes) = 0;
    // `more`: more will follow at once, or the end; the system may wait for it with what does not fill a segment.
    virtual ssize_t write(int fd, const iovec* from, int count, bool more) = 0;
    ssize_t write(int fd, const iovec* from, int count) { return write(fd, from, count, false); }
    virtual ssize_t unacknowledged(int fd) = 0;              // bytes written that the peer's system has not confirmed
    virtual int pipe(int (&ends)[2], std::size_t bytes) = 0; // the pipe may become smaller than asked for
    virtual ssize_t splice(int from, int to, std::size_t bytes, unsigned flags) = 0;
    // Writes `bytes` of an open file, from `at` on, to a socket. The file is the system's, with both kernels.
    virtual ssize_t send_file(int to, int file, std::uint64_t at, std::size_t bytes) = 0;
    virtual int unlink(const char* path) = 0; // of a Unix socket
    virtual void close(int fd) noexcept = 0;

    // 64 bits of chance, fit for keys; in a simulation they come from its seed.
    virtual std::uint64_t random() noexcept = 0;
};

} // namespace headgate
