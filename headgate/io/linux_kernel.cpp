#include <headgate/io/linux_kernel.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <system_error>

#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <unistd.h>

namespace headgate {

namespace {

// What the eventfd is watched with; no descriptor's tag looks like it.
constexpr std::uint64_t wake_tag = std::numeric_limits<std::uint64_t>::max();

// Runs a system call until no signal interrupts it; -errno on failure.
template <class Call>
auto checked(Call call) noexcept -> decltype(call()) {
    for (;;) {
        const auto r = call();
        if (r >= 0) return r;
        if (errno != EINTR) return -errno;
    }
}

// In milliseconds, rounded up, so that the loop does not wake just before a timer is due.
int milliseconds_of(duration timeout) {
    if (timeout == forever) return -1;
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(timeout).count();
    return static_cast<int>(std::clamp<std::int64_t>(ms, 0, std::numeric_limits<int>::max()));
}

} // namespace

linux_kernel::linux_kernel() : epoll_(::epoll_create1(EPOLL_CLOEXEC)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    epoll_event e{};
    e.events = EPOLLIN | EPOLLET; // not EPOLLOUT: each wake would be reported a second time, when it has been read
    e.data.u64 = wake_tag;
    if (epoll_ >= 0 && wake_ >= 0 && ::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &e) == 0) return;
    const int why = errno;
    if (epoll_ >= 0) ::close(epoll_);
    if (wake_ >= 0) ::close(wake_);
    throw std::system_error(why, std::system_category(), "cannot set up an event loop");
}

linux_kernel::~linux_kernel() {
    ::close(wake_);
    ::close(epoll_);
}

int linux_kernel::wait(std::span<io_event> out, duration timeout) {
    std::array<epoll_event, 256> events;
    const int room = static_cast<int>(std::min(out.size(), events.size()));
    const int n = ::epoll_wait(epoll_, events.data(), room, milliseconds_of(timeout));
    if (n < 0) return errno == EINTR ? 0 : -errno;
    int filled = 0;
    for (int i = 0; i < n; ++i) {
        const epoll_event& e = events[static_cast<std::size_t>(i)];
        if (e.data.u64 == wake_tag) {
            std::uint64_t count;
            [[maybe_unused]] const ssize_t r = ::read(wake_, &count, sizeof count);
        } else {
            out[static_cast<std::size_t>(filled++)] = {e.data.u64, e.events};
        }
    }
    return filled;
}

void linux_kernel::wake() noexcept {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t r = ::write(wake_, &one, sizeof one);
}

int linux_kernel::watch(int fd, std::uint64_t tag) {
    epoll_event e{};
    e.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    e.data.u64 = tag;
    return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &e) == 0 ? 0 : -errno;
}

void linux_kernel::unwatch(int fd) { ::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr); }

int linux_kernel::socket(int family, int type) {
    return checked([&] { return ::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); });
}
int linux_kernel::socket_pair(int (&ends)[2]) {
    return ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0 ? 0 : -errno;
}
int linux_kernel::bind(int fd, const sockaddr* address, socklen_t size) {
    return checked([&] { return ::bind(fd, address, size); });
}
int linux_kernel::listen(int fd, int backlog) {
    return checked([&] { return ::listen(fd, backlog); });
}
int linux_kernel::accept(int fd, sockaddr* peer, socklen_t* size) {
    return checked([&] { return ::accept4(fd, peer, size, SOCK_NONBLOCK | SOCK_CLOEXEC); });
}
int linux_kernel::connect(int fd, const sockaddr* address, socklen_t size) {
    return ::connect(fd, address, size) == 0 ? 0 : -errno; // not repeated: an interrupted connect goes on by itself
}
int linux_kernel::shutdown(int fd, int how) { return ::shutdown(fd, how) == 0 ? 0 : -errno; }
int linux_kernel::set_option(int fd, int level, int name, const void* value, socklen_t size) {
    return ::setsockopt(fd, level, name, value, size) == 0 ? 0 : -errno;
}
int linux_kernel::get_option(int fd, int level, int name, void* value, socklen_t* size) {
    return ::getsockopt(fd, level, name, value, size) == 0 ? 0 : -errno;
}
int linux_kernel::local_name(int fd, sockaddr* address, socklen_t* size) {
    return ::getsockname(fd, address, size) == 0 ? 0 : -errno;
}

ssize_t linux_kernel::read(int fd, void* to, std::size_t bytes) {
    return checked([&] { return ::recv(fd, to, bytes, 0); });
}

ssize_t linux_kernel::write(int fd, const iovec* from, int count, bool more) {
    const int flags = more ? MSG_NOSIGNAL | MSG_MORE : MSG_NOSIGNAL;
    if (count == 1) return checked([&] { return ::send(fd, from->iov_base, from->iov_len, flags); });
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(from); // sendmsg does not write to it
    message.msg_iovlen = static_cast<std::size_t>(count);
    return checked([&] { return ::sendmsg(fd, &message, flags); });
}

ssize_t linux_kernel::unacknowledged(int fd) {
    int bytes = 0;
    return ::ioctl(fd, SIOCOUTQ, &bytes) == 0 ? bytes : -errno;
}

int linux_kernel::pipe(int (&ends)[2], std::size_t bytes) {
    if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return -errno;
    ::fcntl(ends[1], F_SETPIPE_SZ, static_cast<int>(bytes)); // not granted: it keeps its size
    return 0;
}

ssize_t linux_kernel::splice(int from, int to, std::size_t bytes, unsigned flags) {
    return checked([&] { return ::splice(from, nullptr, to, nullptr, bytes, flags); });
}

ssize_t linux_kernel::send_file(int to, int file, std::uint64_t at, std::size_t bytes) {
    return checked([&] {
        auto from = static_cast<off_t>(at);
        return ::sendfile(to, file, &from, bytes);
    });
}

int linux_kernel::unlink(const char* path) { return ::unlink(path) == 0 ? 0 : -errno; }

void linux_kernel::close(int fd) noexcept { ::close(fd); }

// So few bytes are always given whole, and at once when the system has started (getrandom(2)).
std::uint64_t linux_kernel::random() noexcept {
    std::uint64_t bits = 0;
    while (::getrandom(&bits, sizeof bits, 0) != sizeof bits) {
    }
    return bits;
}

} // namespace headgate
