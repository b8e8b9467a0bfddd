#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <bench/load/net.hpp>

namespace bench {

namespace {

void no_delay(int fd) {
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

} // namespace

void die(std::string_view what) {
    const char* why = errno != 0 ? std::strerror(errno) : "";
    std::fprintf(stderr, "load: %.*s%s%s\n", static_cast<int>(what.size()), what.data(), errno != 0 ? ": " : "", why);
    std::exit(1);
}

double now() noexcept {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

sockaddr_in parse_address(std::string_view text) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    const auto colon = text.rfind(':');
    const std::string host(text.substr(0, colon));
    std::uint16_t port = 0;
    if (colon == text.npos || ::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1 ||
        std::from_chars(text.data() + colon + 1, text.data() + text.size(), port).ec != std::errc{}) {
        errno = 0;
        die("not an IPv4 address with a port: " + std::string(text));
    }
    address.sin_port = htons(port);
    return address;
}

int listen_on(const sockaddr_in& at) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    if (fd < 0) die("socket");
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) die("bind");
    if (::listen(fd, 4096) != 0) die("listen");
    return fd;
}

int accept_from(int listener) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno != EAGAIN && errno != ECONNABORTED) die("accept");
        return -1;
    }
    no_delay(fd);
    return fd;
}

int connect_blocking(const sockaddr_in& to) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) die("connect");
    no_delay(fd);
    return fd;
}

int connect_to(const sockaddr_in& to) {
    const int fd = connect_blocking(to);
    int on = 1;
    ::ioctl(fd, FIONBIO, &on);
    return fd;
}

poller::poller() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0) die("epoll_create1");
}

poller::~poller() { ::close(epoll_); }

void poller::control(int what, int fd, std::uint32_t events, handler& who) {
    epoll_event e{};
    e.events = events;
    e.data.ptr = &who;
    if (::epoll_ctl(epoll_, what, fd, &e) != 0) die("epoll_ctl");
}

void poller::turn() {
    std::array<epoll_event, 256> events;
    const int n = ::epoll_wait(epoll_, events.data(), events.size(), -1);
    if (n < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < n; ++i) {
        const epoll_event& e = events[static_cast<std::size_t>(i)];
        static_cast<handler*>(e.data.ptr)->on_event(e.events);
    }
}

interval_timer::interval_timer(double seconds) : fd_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) {
    const auto nanoseconds = static_cast<long>(seconds * 1e9);
    const timespec every{.tv_sec = nanoseconds / 1'000'000'000, .tv_nsec = nanoseconds % 1'000'000'000};
    const itimerspec both{.it_interval = every, .it_value = every};
    if (fd_ < 0 || ::timerfd_settime(fd_, 0, &both, nullptr) != 0) die("timerfd");
}

interval_timer::~interval_timer() { ::close(fd_); }

std::uint64_t interval_timer::expirations() const {
    std::uint64_t n = 0;
    return ::read(fd_, &n, sizeof n) == static_cast<ssize_t>(sizeof n) ? n : 0;
}

int file_in_memory(std::size_t bytes) {
    const std::string text(bytes, 'x'); // written, because a hole would be sent as one and the same page
    const int fd = ::memfd_create("body", MFD_CLOEXEC);
    if (fd < 0 || ::write(fd, text.data(), bytes) != static_cast<ssize_t>(bytes)) die("memfd_create");
    return fd;
}

} // namespace bench
