// The least that a proxy can cost: accepts, connects, and moves bytes both ways, with splice(2) or by copying them. One
// thread, no timers, no limits. A yardstick for bench/compare.py and nothing to use.
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bench/load/net.hpp>

namespace {

constexpr int pipe_bytes = 1024 * 1024;

// One direction: from a socket through a pipe to the other socket.
class spliced {
public:
    spliced() {
        if (::pipe2(pipe_.data(), O_NONBLOCK | O_CLOEXEC) != 0) bench::die("pipe2");
        ::fcntl(pipe_[0], F_SETPIPE_SZ, pipe_bytes);
    }
    ~spliced() {
        ::close(pipe_[0]);
        ::close(pipe_[1]);
    }
    spliced(const spliced&) = delete;

    // Moves until one of the sockets would block. False: the connection is broken.
    bool move(int from, int to) {
        for (;;) {
            while (held_ > 0) {
                const ssize_t n = ::splice(pipe_[0], nullptr, to, nullptr, held_, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
                if (n < 0) return errno == EAGAIN;
                held_ -= static_cast<std::size_t>(n);
            }
            if (ended_) return true;
            const ssize_t n = ::splice(from, nullptr, pipe_[1], nullptr, pipe_bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
            if (n < 0) return errno == EAGAIN;
            if (n == 0) {
                ended_ = true;
                ::shutdown(to, SHUT_WR);
            }
            held_ += static_cast<std::size_t>(n);
        }
    }
    bool ended() const { return ended_ && held_ == 0; }

private:
    std::array<int, 2> pipe_{};
    std::size_t held_ = 0;
    bool ended_ = false;
};

// The same through memory.
class copied {
public:
    bool move(int from, int to) {
        for (;;) {
            while (held_ > 0) {
                const ssize_t n = ::send(to, buffer_.data() + sent_, held_, MSG_NOSIGNAL);
                if (n < 0) return errno == EAGAIN;
                sent_ += static_cast<std::size_t>(n);
                held_ -= static_cast<std::size_t>(n);
            }
            if (ended_) return true;
            const ssize_t n = ::recv(from, buffer_.data(), buffer_.size(), 0);
            if (n < 0) return errno == EAGAIN;
            if (n == 0) {
                ended_ = true;
                ::shutdown(to, SHUT_WR);
            }
            sent_ = 0;
            held_ = static_cast<std::size_t>(n);
        }
    }
    bool ended() const { return ended_ && held_ == 0; }

private:
    std::vector<char> buffer_ = std::vector<char>(256 * 1024);
    std::size_t sent_ = 0;
    std::size_t held_ = 0;
    bool ended_ = false;
};

template <class Tunnel>
class end_of_tunnel final : public bench::handler {
public:
    end_of_tunnel(Tunnel& t, int fd) : tunnel_(t), fd_(fd) {}
    ~end_of_tunnel() override { ::close(fd_); }
    void on_event(std::uint32_t) override { tunnel_.move(); }
    int fd() const { return fd_; }

private:
    Tunnel& tunnel_;
    int fd_;
};

template <class Direction>
class tunnel {
public:
    tunnel(bench::poller& events, int client, int server) : client_(*this, client), server_(*this, server) {
        events.add(client, EPOLLIN | EPOLLOUT | EPOLLET, client_);
        events.add(server, EPOLLIN | EPOLLOUT | EPOLLET, server_);
    }

    // Both ends may have events in one turn, so a tunnel that is over is deleted after the turn.
    void move() {
        if (over_) return;
        over_ = !up_.move(client_.fd(), server_.fd()) || !down_.move(server_.fd(), client_.fd()) ||
                (up_.ended() && down_.ended());
    }
    bool over() const { return over_; }

private:
    end_of_tunnel<tunnel> client_;
    end_of_tunnel<tunnel> server_;
    Direction up_;
    Direction down_;
    bool over_ = false;
};

template <class Direction>
class acceptor final : public bench::handler {
public:
    acceptor(bench::poller& events, const sockaddr_in& listen, const sockaddr_in& to)
        : events_(events), to_(to), fd_(bench::listen_on(listen)) {
        events.add(fd_, EPOLLIN, *this);
    }

    void on_event(std::uint32_t) override {
        for (int fd; (fd = bench::accept_from(fd_)) >= 0;)
            tunnels_.push_back(std::make_unique<tunnel<Direction>>(events_, fd, bench::connect_to(to_)));
    }
    void clean() {
        std::erase_if(tunnels_, [](const auto& t) { return t->over(); });
    }

private:
    bench::poller& events_;
    sockaddr_in to_;
    int fd_;
    std::vector<std::unique_ptr<tunnel<Direction>>> tunnels_;
};

template <class Direction>
[[noreturn]] void relay(const sockaddr_in& listen, const sockaddr_in& to) {
    bench::poller events;
    acceptor<Direction> all(events, listen, to);
    for (;;) {
        events.turn();
        all.clean();
    }
}

} // namespace

int main(int argc, char** argv) {
    const std::string_view how = argc == 4 ? argv[1] : "";
    if (how != "splice" && how != "copy") {
        std::fputs("usage: relay splice|copy LISTEN TO, addresses like 127.0.0.1:8080\n", stderr);
        return 2;
    }
    std::signal(SIGPIPE, SIG_IGN);
    const sockaddr_in listen = bench::parse_address(argv[2]), to = bench::parse_address(argv[3]);
    how == "splice" ? relay<spliced>(listen, to) : relay<copied>(listen, to);
}
