// The least that a proxy can cost: accepts, connects, and moves bytes both ways with splice(2). One thread, no timers,
// no limits. A yardstick for bench/compare.py and nothing to use.
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <memory>
#include <vector>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bench/load/net.hpp>

namespace {

constexpr int pipe_bytes = 1024 * 1024;

// One direction: from a socket through a pipe to the other socket.
class direction {
public:
    direction() {
        if (::pipe2(pipe_.data(), O_NONBLOCK | O_CLOEXEC) != 0) bench::die("pipe2");
        ::fcntl(pipe_[0], F_SETPIPE_SZ, pipe_bytes);
    }
    ~direction() {
        ::close(pipe_[0]);
        ::close(pipe_[1]);
    }
    direction(const direction&) = delete;

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

class tunnel;

class end_of_tunnel final : public bench::handler {
public:
    end_of_tunnel(tunnel& t, int fd) : tunnel_(t), fd_(fd) {}
    ~end_of_tunnel() override { ::close(fd_); }
    void on_event(std::uint32_t events) override;
    int fd() const { return fd_; }

private:
    tunnel& tunnel_;
    int fd_;
};

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
    end_of_tunnel client_;
    end_of_tunnel server_;
    direction up_;
    direction down_;
    bool over_ = false;
};

void end_of_tunnel::on_event(std::uint32_t) { tunnel_.move(); }

class acceptor final : public bench::handler {
public:
    acceptor(bench::poller& events, const sockaddr_in& listen, const sockaddr_in& to)
        : events_(events), to_(to), fd_(bench::listen_on(listen)) {
        events.add(fd_, EPOLLIN, *this);
    }

    void on_event(std::uint32_t) override {
        for (int fd; (fd = bench::accept_from(fd_)) >= 0;)
            tunnels_.push_back(std::make_unique<tunnel>(events_, fd, bench::connect_to(to_)));
    }
    void clean() {
        std::erase_if(tunnels_, [](const auto& t) { return t->over(); });
    }

private:
    bench::poller& events_;
    sockaddr_in to_;
    int fd_;
    std::vector<std::unique_ptr<tunnel>> tunnels_;
};

} // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fputs("usage: splice_relay LISTEN TO, addresses like 127.0.0.1:8080\n", stderr);
        return 2;
    }
    std::signal(SIGPIPE, SIG_IGN);
    bench::poller events;
    acceptor all(events, bench::parse_address(argv[1]), bench::parse_address(argv[2]));
    for (;;) {
        events.turn();
        all.clean();
    }
}
