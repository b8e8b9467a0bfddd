#pragma once

#include <headgate/io/kernel.hpp>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include <sys/epoll.h>

namespace headgate::guards {

// A kernel that plays the same exchange again and again and costs next to nothing itself, so that what is counted is
// headgate: a client connects, sends `request` and waits for the answer; the upstream answers each request with
// `response`. Both say what they say in one piece, and take whatever is written in one piece. Time stands still.
class playback_kernel final : public kernel {
public:
    std::string_view request;
    std::string_view response;
    std::string_view event{}; // what the upstream sends again, in the midst of its response, when the client has some
    bool connection_each = false; // the client closes after each answer, and connects again
    std::uint64_t answered = 0;   // how often something came back to the client
    std::uint64_t reads = 0;      // system calls, those that fail included
    std::uint64_t writes = 0;
    std::uint64_t waits = 0;
    std::uint64_t others = 0;
    mutable std::uint64_t clocks = 0; // times that the clock was read

    std::uint64_t calls() const noexcept { return reads + writes + waits + others; }

    time_point now() const noexcept override {
        ++clocks;
        return time_point(std::chrono::hours(1));
    }
    int wait(std::span<io_event> out, duration timeout) override {
        ++waits;
        std::size_t n = 0;
        for (end& e : ends_)
            if (e.news != 0 && e.open) out[n++] = {e.tag, std::exchange(e.news, 0u)};
        return n == 0 && timeout != duration::zero() ? -EDEADLK : static_cast<int>(n);
    }
    void wake() noexcept override {}
    int watch(int fd, std::uint64_t tag) override {
        ++others;
        at(fd).tag = tag;
        return 0;
    }
    void unwatch(int) override { ++others; }

    int socket(int, int) override {
        ++others;
        return take();
    }
    int socket_pair(int (&)[2]) override { return -ENOSYS; }
    int bind(int, const sockaddr*, socklen_t) override { return 0; }
    int listen(int fd, int) override {
        listener_ = fd;
        at(fd).news = EPOLLIN;
        return 0;
    }
    int accept(int, sockaddr* peer, socklen_t* size) override {
        ++others;
        if (client_ >= 0) return -EAGAIN;
        sockaddr_in from{};
        from.sin_family = AF_INET;
        from.sin_port = htons(50'000);
        from.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        std::memcpy(peer, &from, sizeof from);
        *size = sizeof from;
        client_ = take();
        say(client_, request);
        return client_;
    }
    int connect(int, const sockaddr*, socklen_t) override {
        ++others;
        return 0;
    }
    int shutdown(int, int) override {
        ++others;
        return 0;
    }
    int set_option(int, int, int, const void*, socklen_t) override {
        ++others;
        return 0;
    }
    int get_option(int, int, int, void*, socklen_t*) override {
        ++others;
        return 0;
    }
    int local_name(int, sockaddr* address, socklen_t* size) override {
        sockaddr_in here{};
        here.sin_family = AF_INET;
        here.sin_port = htons(80);
        std::memcpy(address, &here, sizeof here);
        *size = sizeof here;
        return 0;
    }
    ssize_t read(int fd, void* to, std::size_t bytes) override {
        ++reads;
        end& e = at(fd);
        if (e.to_read.empty()) return e.ended ? 0 : -EAGAIN;
        const std::size_t n = e.to_read.copy(static_cast<char*>(to), bytes);
        e.to_read.remove_prefix(n);
        return static_cast<ssize_t>(n);
    }
    using kernel::write;
    ssize_t write(int fd, const iovec* from, int count, bool) override {
        ++writes;
        std::size_t n = 0;
        for (int i = 0; i < count; ++i) n += from[i].iov_len;
        if (fd != client_) {
            upstream_ = fd;
            say(fd, response);
            return static_cast<ssize_t>(n);
        }
        ++answered;
        if (connection_each) {
            at(fd).ended = true;
            at(fd).news |= EPOLLIN | EPOLLRDHUP;
        } else if (!event.empty()) {
            say(upstream_, event);
        } else {
            say(fd, request);
        }
        return static_cast<ssize_t>(n);
    }
    ssize_t unacknowledged(int) override {
        ++others;
        return 0;
    }
    int pipe(int (&)[2], std::size_t) override { return -EMFILE; }
    ssize_t splice(int, int, std::size_t, unsigned) override { return -EINVAL; }
    ssize_t send_file(int, int, std::uint64_t, std::size_t) override { return -EINVAL; }
    int unlink(const char*) override { return 0; }
    void close(int fd) noexcept override {
        ++others;
        at(fd) = {};
        if (fd != client_) return;
        client_ = -1;
        at(listener_).news |= EPOLLIN;
    }
    std::uint64_t random() noexcept override { return 4; }

private:
    struct end {
        bool open = false;
        bool ended = false; // the peer has nothing more to say
        std::uint64_t tag = 0;
        std::uint32_t news = 0;
        std::string_view to_read{};
    };

    end& at(int fd) noexcept { return ends_[static_cast<std::size_t>(fd)]; }
    int take() noexcept {
        for (std::size_t fd = 0; fd < ends_.size(); ++fd) {
            if (ends_[fd].open) continue;
            ends_[fd].open = true;
            return static_cast<int>(fd);
        }
        return -EMFILE;
    }
    void say(int fd, std::string_view what) noexcept {
        at(fd).to_read = what;
        at(fd).news |= EPOLLIN;
    }

    std::array<end, 4> ends_{};
    int listener_ = -1;
    int client_ = -1;
    int upstream_ = -1;
};

} // namespace headgate::guards
