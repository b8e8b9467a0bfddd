// What the loop and its sockets rely on, checked over the real kernel and over the simulated one, so that the two
// agree.

#include <headgate/io/address.hpp>
#include <headgate/io/linux_kernel.hpp>
#include <headgate/io/simulated_kernel.hpp>

#include <array>
#include <csignal>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <unistd.h>

namespace headgate {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t in = EPOLLIN, out = EPOLLOUT, rdhup = EPOLLRDHUP, hup = EPOLLHUP, err = EPOLLERR;

struct kernel_kind {
    const char* name;
    std::unique_ptr<kernel> (*make)();
};

std::unique_ptr<kernel> make_linux() { return std::make_unique<linux_kernel>(); }
std::unique_ptr<kernel> make_simulated() { return std::make_unique<simulated_kernel>(); }
std::unique_ptr<kernel> make_random() {
    return std::make_unique<simulated_kernel>(
        simulated_options{.seed = 42, .delay_max = 3ms, .latency_to_listener = 10ms, .latency_to_connector = 20ms});
}

// The kernel under test, the sockets it has open, and what it has reported.
class any_kernel : public ::testing::TestWithParam<kernel_kind> {
protected:
    any_kernel() : os(GetParam().make()) {
        std::signal(SIGPIPE, SIG_IGN); // splice to a socket may raise it
        std::string folder = "/tmp/headgate.XXXXXX";
        if (!::mkdtemp(folder.data())) std::abort();
        folder_ = folder;
    }
    ~any_kernel() override {
        for (const int fd : open_) os->close(fd);
        os->unlink((folder_ + "/s").c_str());
        ::rmdir(folder_.c_str());
    }

    int keep(int fd) {
        EXPECT_GE(fd, 0);
        open_.push_back(fd);
        return fd;
    }
    void close(int fd) {
        std::erase(open_, fd);
        os->close(fd);
    }
    void watch(int fd) { ASSERT_EQ(os->watch(fd, static_cast<std::uint64_t>(fd)), 0); }

    // Waits until `fd` is reported with exactly these bits; gives what it was reported with last.
    std::uint32_t until(int fd, std::uint32_t bits) {
        std::uint32_t last = 0;
        for (int i = 0; i < 100 && last != bits; ++i) {
            if (reported_[fd] == 0 && collect(500ms) <= 0) break;
            if (reported_[fd] != 0) last = std::exchange(reported_[fd], 0);
        }
        return last;
    }
    // Whether nothing is reported of `fd` now.
    bool quiet(int fd) {
        while (collect(0ms) > 0) {
        }
        return std::exchange(reported_[fd], 0) == 0;
    }
    int collect(duration timeout) {
        std::array<io_event, 16> events;
        const int n = os->wait(events, timeout);
        for (int i = 0; i < n; ++i) reported_[static_cast<int>(events[i].tag)] = events[i].bits;
        return n;
    }
    // Lets everything arrive that is on its way, and forgets what is reported of it.
    void arrive_all() {
        if (auto* sim = dynamic_cast<simulated_kernel*>(os.get())) {
            const time_point end = sim->now() + 1s;
            while (sim->now() < end) collect(end - sim->now());
        }
        reported_.clear();
    }

    // Writes all that is taken, in as many calls as it needs: how much, or the error if nothing was.
    ssize_t send(int fd, std::string_view text) {
        std::size_t sent = 0;
        while (sent < text.size()) {
            const iovec v{const_cast<char*>(text.data()) + sent, text.size() - sent};
            const ssize_t n = os->write(fd, &v, 1);
            if (n < 0) return sent == 0 ? n : static_cast<ssize_t>(sent);
            sent += static_cast<std::size_t>(n);
        }
        return static_cast<ssize_t>(sent);
    }
    // Reads once: the bytes, or nothing with `error` set.
    std::string receive(int fd, std::size_t bytes = 65536) {
        std::string to(bytes, 0);
        const ssize_t n = os->read(fd, to.data(), bytes);
        error = n < 0 ? static_cast<int>(-n) : 0;
        to.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
        return to;
    }
    int error_of(int fd) {
        int e = -1;
        socklen_t size = sizeof e;
        EXPECT_EQ(os->get_option(fd, SOL_SOCKET, SO_ERROR, &e, &size), 0);
        return e;
    }
    void reset_on_close(int fd) {
        const linger now{.l_onoff = 1, .l_linger = 0};
        EXPECT_EQ(os->set_option(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    }

    address place(int family) {
        if (family == AF_UNIX) return *address::parse("unix:" + folder_ + "/s");
        return *address::parse(family == AF_INET6 ? "[::1]:0" : "127.0.0.1:0");
    }
    address name_of(int fd) {
        sockaddr_storage s{};
        socklen_t size = sizeof s;
        EXPECT_EQ(os->local_name(fd, reinterpret_cast<sockaddr*>(&s), &size), 0);
        return address(reinterpret_cast<sockaddr*>(&s), size);
    }
    int bound(int family) {
        const int fd = keep(os->socket(family, SOCK_STREAM));
        const address at = place(family);
        EXPECT_EQ(os->bind(fd, at.data(), at.size()), 0);
        return fd;
    }
    int listening(int family, int backlog = 16) {
        const int fd = bound(family);
        EXPECT_EQ(os->listen(fd, backlog), 0);
        return fd;
    }
    int connecting(const address& to) {
        const int fd = keep(os->socket(to.family(), SOCK_STREAM));
        EXPECT_EQ(os->connect(fd, to.data(), to.size()), to.family() == AF_UNIX ? 0 : -EINPROGRESS);
        return fd;
    }

    struct pair {
        int client;
        int server;
    };
    // A connected pair, both watched, with nothing left to report.
    pair connected(int family) {
        const int listener = listening(family);
        watch(listener);
        pair p{};
        p.client = connecting(name_of(listener));
        watch(p.client);
        EXPECT_EQ(until(p.client, out), out);
        EXPECT_EQ(until(listener, in), in);
        p.server = keep(os->accept(listener, nullptr, nullptr));
        close(listener);
        os->unlink((folder_ + "/s").c_str());
        watch(p.server);
        EXPECT_EQ(until(p.server, out), out);
        EXPECT_TRUE(quiet(p.client));
        EXPECT_TRUE(quiet(p.server));
        return p;
    }

    std::unique_ptr<kernel> os;
    int error = 0;

private:
    std::string folder_;
    std::vector<int> open_;
    std::map<int, std::uint32_t> reported_;
};

constexpr int families[] = {AF_INET, AF_INET6, AF_UNIX};

TEST_P(any_kernel, AFreshSocketIsHungUp) {
    for (const int family : families) {
        const int fd = keep(os->socket(family, SOCK_STREAM));
        watch(fd);
        EXPECT_EQ(until(fd, out | hup), out | hup);
        receive(fd);
        EXPECT_EQ(error, family == AF_UNIX ? EINVAL : ENOTCONN);
        EXPECT_EQ(send(fd, "x"), family == AF_UNIX ? -ENOTCONN : -EPIPE);
        EXPECT_EQ(os->shutdown(fd, SHUT_WR), family == AF_UNIX ? 0 : -ENOTCONN);
    }
}

TEST_P(any_kernel, ConnectAndAccept) {
    for (const int family : families) {
        const int listener = listening(family);
        watch(listener);
        EXPECT_TRUE(quiet(listener));
        EXPECT_EQ(os->accept(listener, nullptr, nullptr), -EAGAIN);
        const address at = name_of(listener);
        EXPECT_EQ(at.family(), family);
        if (family != AF_UNIX) EXPECT_NE(at.port(), 0);
        const int client = connecting(at);
        watch(client);
        EXPECT_EQ(until(client, out), out);
        EXPECT_EQ(error_of(client), 0);
        EXPECT_EQ(until(listener, in), in);
        sockaddr_storage from{};
        socklen_t size = sizeof from;
        const int server = keep(os->accept(listener, reinterpret_cast<sockaddr*>(&from), &size));
        const address peer(reinterpret_cast<sockaddr*>(&from), size);
        EXPECT_EQ(peer.family(), family);
        if (family != AF_UNIX) {
            EXPECT_EQ(peer.text(), name_of(client).text());
            EXPECT_EQ(name_of(server).text(), at.text());
        }
        EXPECT_EQ(os->accept(listener, nullptr, nullptr), -EAGAIN);
        EXPECT_EQ(send(server, "hello"), 5);
        EXPECT_EQ(until(client, in | out), in | out);
        EXPECT_EQ(receive(client), "hello");
        close(listener);
        if (family == AF_UNIX) EXPECT_EQ(os->unlink(at.path()), 0);
    }
}

TEST_P(any_kernel, TcpIsRefusedWhereNobodyListens) {
    const int silent = bound(AF_INET);
    const int client = connecting(name_of(silent));
    watch(client);
    const std::uint32_t all = in | out | rdhup | hup | err;
    EXPECT_EQ(until(client, all), all);
    EXPECT_EQ(error_of(client), ECONNREFUSED);
    EXPECT_EQ(error_of(client), 0);
    EXPECT_EQ(receive(client), "");
    EXPECT_EQ(error, 0);
    EXPECT_EQ(send(client, "x"), -EPIPE);
}

TEST_P(any_kernel, UnixIsRefusedWhereNobodyListens) {
    const address at = place(AF_UNIX);
    const int client = keep(os->socket(AF_UNIX, SOCK_STREAM));
    EXPECT_EQ(os->connect(client, at.data(), at.size()), -ENOENT);
    const int silent = bound(AF_UNIX);
    EXPECT_EQ(os->connect(client, at.data(), at.size()), -ECONNREFUSED);
    close(silent);
    EXPECT_EQ(os->connect(client, at.data(), at.size()), -ECONNREFUSED); // the path stays
    const int other = keep(os->socket(AF_UNIX, SOCK_STREAM));
    EXPECT_EQ(os->bind(other, at.data(), at.size()), -EADDRINUSE);
    EXPECT_EQ(os->unlink(at.path()), 0);
    EXPECT_EQ(os->unlink(at.path()), -ENOENT);
    EXPECT_EQ(os->bind(other, at.data(), at.size()), 0);
}

TEST_P(any_kernel, UnixRefusesBeyondTheBacklog) {
    const int listener = listening(AF_UNIX, 1);
    const address at = name_of(listener);
    connecting(at);
    connecting(at); // one more than asked for, as Linux counts
    const int late = keep(os->socket(AF_UNIX, SOCK_STREAM));
    EXPECT_EQ(os->connect(late, at.data(), at.size()), -EAGAIN);
    keep(os->accept(listener, nullptr, nullptr));
    EXPECT_EQ(os->connect(late, at.data(), at.size()), 0);
}

TEST_P(any_kernel, APortIsTakenOnceUnlessShared) {
    const int first = listening(AF_INET);
    const address at = name_of(first);
    const int second = keep(os->socket(AF_INET, SOCK_STREAM));
    EXPECT_EQ(os->bind(second, at.data(), at.size()), -EADDRINUSE);
    close(first);
    const int one = 1;
    for (int i = 0; i < 2; ++i) {
        const int sharing = keep(os->socket(AF_INET, SOCK_STREAM));
        EXPECT_EQ(os->set_option(sharing, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one), 0);
        EXPECT_EQ(os->bind(sharing, at.data(), at.size()), 0);
        EXPECT_EQ(os->listen(sharing, 16), 0);
    }
}

TEST_P(any_kernel, EachArrivalIsAnEdge) {
    for (const int family : families) {
        const pair p = connected(family);
        EXPECT_EQ(send(p.server, "ab"), 2);
        EXPECT_EQ(until(p.client, in | out), in | out);
        arrive_all();
        EXPECT_TRUE(quiet(p.client)); // though it has not been read
        EXPECT_EQ(send(p.server, "cd"), 2);
        EXPECT_EQ(until(p.client, in | out), in | out);
        arrive_all();
        EXPECT_EQ(receive(p.client, 3), "abc");
        EXPECT_EQ(receive(p.client), "d");
        EXPECT_TRUE(quiet(p.client)); // reading is no edge
        receive(p.client);
        EXPECT_EQ(error, EAGAIN);
    }
}

TEST_P(any_kernel, WritesFromManyPieces) {
    for (const int family : families) {
        const pair p = connected(family);
        std::string a = "one ", b = "two ", c = "three";
        std::array<iovec, 3> v{{{a.data(), a.size()}, {b.data(), b.size()}, {c.data(), c.size()}}};
        std::string sent = a, got;
        sent.append(b).append(c);
        ssize_t n = os->write(p.client, v.data(), 3);
        ASSERT_GT(n, 0);
        while (n < static_cast<ssize_t>(sent.size())) n += send(p.client, sent.substr(static_cast<std::size_t>(n)));
        arrive_all();
        while (got.size() < sent.size()) got += receive(p.server);
        EXPECT_EQ(got, sent);
    }
}

TEST_P(any_kernel, TheEndIsReadAfterTheBytesAndHalfOfAConnectionStays) {
    for (const int family : families) {
        const pair p = connected(family);
        EXPECT_EQ(send(p.server, "last"), 4);
        EXPECT_EQ(os->shutdown(p.server, SHUT_WR), 0);
        EXPECT_EQ(send(p.server, "more"), -EPIPE);
        EXPECT_EQ(until(p.client, in | out | rdhup), in | out | rdhup);
        std::string got;
        while (got.size() < 4) got += receive(p.client);
        EXPECT_EQ(got, "last");
        EXPECT_EQ(receive(p.client), "");
        EXPECT_EQ(error, 0);
        EXPECT_EQ(send(p.client, "answer"), 6); // the other half still works
        arrive_all();
        EXPECT_EQ(receive(p.server), "answer");
        EXPECT_EQ(os->shutdown(p.client, SHUT_WR), 0);
        EXPECT_EQ(until(p.client, in | out | rdhup | hup), in | out | rdhup | hup); // its own doing is an edge, too
        EXPECT_EQ(until(p.server, in | out | rdhup | hup), in | out | rdhup | hup);
        EXPECT_EQ(receive(p.server), "");
        EXPECT_EQ(error_of(p.server), 0);
    }
}

TEST_P(any_kernel, AClosedPeerLooksEndedUntilItIsWrittenTo) {
    const pair p = connected(AF_INET);
    close(p.server);
    EXPECT_EQ(until(p.client, in | out | rdhup), in | out | rdhup);
    EXPECT_EQ(send(p.client, "x"), 1); // answered with a reset
    const std::uint32_t all = in | out | rdhup | hup | err;
    EXPECT_EQ(until(p.client, all), all);
    EXPECT_EQ(send(p.client, "x"), -EPIPE);
    EXPECT_EQ(error_of(p.client), 0); // that took it
    EXPECT_EQ(receive(p.client), "");
    EXPECT_EQ(error, 0);
}

TEST_P(any_kernel, AClosedUnixPeerIsGone) {
    const pair p = connected(AF_UNIX);
    EXPECT_EQ(send(p.server, "bye"), 3);
    close(p.server);
    const std::uint32_t gone = in | out | rdhup | hup;
    EXPECT_EQ(until(p.client, gone), gone);
    EXPECT_EQ(send(p.client, "x"), -EPIPE);
    std::string got;
    while (got.size() < 3) got += receive(p.client);
    EXPECT_EQ(got, "bye");
    EXPECT_EQ(receive(p.client), "");
    EXPECT_EQ(error_of(p.client), 0);
}

TEST_P(any_kernel, CloseWithUnreadBytesResets) {
    for (const int family : families) {
        const pair p = connected(family);
        EXPECT_EQ(send(p.client, "unread"), 6);
        until(p.server, in | out);
        arrive_all();
        close(p.server);
        const std::uint32_t all = in | out | rdhup | hup | err;
        EXPECT_EQ(until(p.client, all), all);
        receive(p.client);
        EXPECT_EQ(error, ECONNRESET);
        receive(p.client);
        EXPECT_EQ(error, 0); // told once
        EXPECT_EQ(send(p.client, "x"), -EPIPE);
    }
}

TEST_P(any_kernel, LingerZeroResetsTcpAfterWhatHasArrived) {
    const pair p = connected(AF_INET);
    EXPECT_EQ(send(p.server, "data"), 4);
    reset_on_close(p.server);
    close(p.server);
    const std::uint32_t all = in | out | rdhup | hup | err;
    EXPECT_EQ(until(p.client, all), all);
    std::string got;
    while (got.size() < 4 && error == 0) got += receive(p.client);
    EXPECT_EQ(got, "data");
    receive(p.client);
    EXPECT_EQ(error, ECONNRESET);
    EXPECT_EQ(receive(p.client), "");
    EXPECT_EQ(error, 0);
}

TEST_P(any_kernel, LingerZeroMeansNothingToAUnixSocket) {
    const pair p = connected(AF_UNIX);
    reset_on_close(p.server);
    close(p.server);
    const std::uint32_t gone = in | out | rdhup | hup;
    EXPECT_EQ(until(p.client, gone), gone);
    EXPECT_EQ(receive(p.client), "");
    EXPECT_EQ(error, 0);
}

TEST_P(any_kernel, AWriteAlsoTakesThePendingError) {
    const pair p = connected(AF_INET);
    reset_on_close(p.server);
    close(p.server);
    const std::uint32_t all = in | out | rdhup | hup | err;
    EXPECT_EQ(until(p.client, all), all);
    EXPECT_EQ(send(p.client, "x"), -ECONNRESET);
    EXPECT_EQ(send(p.client, "x"), -EPIPE);
    EXPECT_EQ(os->shutdown(p.client, SHUT_WR), -ENOTCONN);
}

TEST_P(any_kernel, AResetAfterTheEndIsABrokenPipe) {
    const pair p = connected(AF_INET);
    EXPECT_EQ(os->shutdown(p.server, SHUT_WR), 0);
    EXPECT_EQ(until(p.client, in | out | rdhup), in | out | rdhup);
    reset_on_close(p.server);
    close(p.server);
    const std::uint32_t all = in | out | rdhup | hup | err;
    EXPECT_EQ(until(p.client, all), all);
    EXPECT_EQ(receive(p.client), ""); // the end was here first
    EXPECT_EQ(error, 0);
    EXPECT_EQ(error_of(p.client), EPIPE);
}

TEST_P(any_kernel, AResetAfterOurEndIsTold) {
    const pair p = connected(AF_INET);
    EXPECT_EQ(os->shutdown(p.client, SHUT_WR), 0);
    arrive_all();
    reset_on_close(p.server);
    close(p.server);
    const std::uint32_t all = in | out | rdhup | hup | err;
    EXPECT_EQ(until(p.client, all), all);
    receive(p.client);
    EXPECT_EQ(error, ECONNRESET);
}

TEST_P(any_kernel, AFullBufferIsAnEdgeOfRoomLater) {
    for (const int family : families) {
        const pair p = connected(family);
        const std::string block(16384, 'x');
        std::size_t sent = 0;
        ssize_t n = 0;
        for (;;) { // until it is full and nothing is on its way
            while ((n = send(p.client, block)) > 0) sent += static_cast<std::size_t>(n);
            ASSERT_EQ(n, -EAGAIN);
            arrive_all();
            if (send(p.client, "y") != 1) break;
            ++sent;
        }
        arrive_all();
        EXPECT_TRUE(quiet(p.client));
        std::size_t got = 0;
        while (got < sent) {
            const std::string bytes = receive(p.server);
            got += bytes.size();
            if (bytes.empty() && error == EAGAIN) collect(500ms);
        }
        EXPECT_EQ(got, sent);
        EXPECT_EQ(until(p.client, out), out);
        EXPECT_GT(send(p.client, block), 0);
    }
}

TEST_P(any_kernel, BytesWrittenBeforeACloseAreDelivered) {
    for (const int family : families) {
        const pair p = connected(family);
        const std::string block(8192, 'z');
        std::size_t sent = 0;
        for (ssize_t n; (n = send(p.server, block)) > 0;) sent += static_cast<std::size_t>(n);
        close(p.server);
        std::size_t got = 0;
        for (int turns = 0; turns < 10'000; ++turns) {
            const std::string bytes = receive(p.client);
            got += bytes.size();
            if (bytes.empty() && error == 0) break;
            if (error == EAGAIN) collect(500ms);
        }
        EXPECT_EQ(got, sent);
        EXPECT_EQ(error, 0);
    }
}

TEST_P(any_kernel, AListenerThatClosesResetsWhoWaits) {
    for (const int family : families) {
        const int listener = listening(family);
        watch(listener);
        const address at = name_of(listener);
        const int client = connecting(at);
        watch(client);
        EXPECT_EQ(until(listener, in), in);
        EXPECT_EQ(until(client, out), out);
        close(listener);
        const std::uint32_t all = in | out | rdhup | hup | err;
        EXPECT_EQ(until(client, all), all);
        EXPECT_EQ(error_of(client), ECONNRESET);
        if (family == AF_UNIX) os->unlink(at.path());
    }
}

TEST_P(any_kernel, AConnectionThatEndsBeforeItIsAcceptedIsStillAccepted) {
    const int listener = listening(AF_INET);
    watch(listener);
    const int client = connecting(name_of(listener));
    watch(client);
    EXPECT_EQ(until(client, out), out);
    EXPECT_EQ(until(listener, in), in);
    EXPECT_EQ(send(client, "early"), 5);
    reset_on_close(client);
    close(client);
    arrive_all();
    const int server = keep(os->accept(listener, nullptr, nullptr));
    watch(server);
    const std::uint32_t all = in | out | rdhup | hup | err;
    EXPECT_EQ(until(server, all), all);
    EXPECT_EQ(receive(server), "early");
    receive(server);
    EXPECT_EQ(error, ECONNRESET);
}

TEST_P(any_kernel, ShutdownOfOurReadingSide) {
    const pair p = connected(AF_UNIX);
    EXPECT_EQ(os->shutdown(p.client, SHUT_RD), 0);
    EXPECT_EQ(until(p.client, in | out | rdhup), in | out | rdhup);
    EXPECT_EQ(send(p.server, "x"), -EPIPE);
    EXPECT_EQ(receive(p.client), "");
    EXPECT_EQ(error, 0);
}

TEST_P(any_kernel, SocketPair) {
    int ends[2];
    ASSERT_EQ(os->socket_pair(ends), 0);
    keep(ends[0]);
    keep(ends[1]);
    watch(ends[0]);
    watch(ends[1]);
    EXPECT_EQ(until(ends[0], out), out);
    EXPECT_EQ(until(ends[1], out), out);
    EXPECT_EQ(send(ends[0], "x"), 1);
    EXPECT_EQ(until(ends[1], in | out), in | out);
    EXPECT_EQ(receive(ends[1]), "x");
}

TEST_P(any_kernel, AClosedDescriptorIsReportedNoMoreAndItsNumberIsUsedAgain) {
    const pair p = connected(AF_UNIX);
    EXPECT_EQ(send(p.server, "x"), 1);
    keep(os->socket(AF_UNIX, SOCK_STREAM)); // where the listener was
    close(p.client);                        // with an edge that nobody has seen
    const int again = keep(os->socket(AF_UNIX, SOCK_STREAM));
    EXPECT_EQ(again, p.client);
    EXPECT_TRUE(quiet(again));
    watch(again);
    EXPECT_EQ(until(again, out | hup), out | hup);
    EXPECT_EQ(os->watch(again, 1), -EEXIST);
    os->unwatch(again);
    EXPECT_EQ(os->watch(again, static_cast<std::uint64_t>(again)), 0);
    EXPECT_EQ(until(again, out | hup), out | hup);
}

TEST_P(any_kernel, WrongDescriptors) {
    int ends[2];
    ASSERT_EQ(os->pipe(ends, 4096), 0);
    keep(ends[0]);
    keep(ends[1]);
    receive(ends[0]);
    EXPECT_EQ(error, ENOTSOCK);
    EXPECT_EQ(send(ends[1], "x"), -ENOTSOCK);
    receive(99'999);
    EXPECT_EQ(error, EBADF);
    EXPECT_EQ(os->watch(99'999, 1), -EBADF);
    const int fd = keep(os->socket(AF_INET, SOCK_STREAM));
    EXPECT_EQ(os->accept(fd, nullptr, nullptr), -EINVAL);
}

TEST_P(any_kernel, PipesAreWatched) {
    int ends[2];
    ASSERT_EQ(os->pipe(ends, 65536), 0);
    keep(ends[0]);
    keep(ends[1]);
    watch(ends[0]);
    watch(ends[1]);
    EXPECT_EQ(until(ends[1], out), out);
    EXPECT_TRUE(quiet(ends[0]));
    close(ends[0]);
    EXPECT_EQ(until(ends[1], out | err), out | err);
}

constexpr unsigned at_once = SPLICE_F_NONBLOCK | SPLICE_F_MOVE;

TEST_P(any_kernel, SplicesFromSocketToSocket) {
    for (const int family : families) {
        const pair from = connected(family);
        const pair to = connected(family);
        int ends[2];
        ASSERT_EQ(os->pipe(ends, 65536), 0);
        keep(ends[0]);
        keep(ends[1]);
        EXPECT_EQ(os->splice(from.server, ends[1], 100, at_once), -EAGAIN);
        EXPECT_EQ(os->splice(ends[0], to.client, 100, at_once), -EAGAIN);
        EXPECT_EQ(send(from.client, "hello"), 5);
        arrive_all();
        ssize_t moved = os->splice(from.server, ends[1], 3, at_once);
        EXPECT_GT(moved, 0);
        EXPECT_LE(moved, 3);
        while (moved < 5) moved += os->splice(from.server, ends[1], 100, at_once);
        while (moved > 0) moved -= os->splice(ends[0], to.client, static_cast<std::size_t>(moved), at_once);
        arrive_all();
        std::string got;
        while (got.size() < 5) got += receive(to.server);
        EXPECT_EQ(got, "hello");
        close(from.client);
        arrive_all();
        EXPECT_EQ(os->splice(from.server, ends[1], 100, at_once), 0);
        close(ends[1]);
        EXPECT_EQ(os->splice(ends[0], to.client, 100, at_once), 0);
    }
}

TEST_P(any_kernel, APipeTakesAsManySegmentsAsItHasPages) {
    const pair from = connected(AF_UNIX);
    int ends[2];
    ASSERT_EQ(os->pipe(ends, 8192), 0);
    keep(ends[0]);
    keep(ends[1]);
    for (int i = 0; i < 2; ++i) {
        EXPECT_EQ(send(from.client, "x"), 1);
        EXPECT_EQ(os->splice(from.server, ends[1], 100, at_once), 1);
    }
    EXPECT_EQ(send(from.client, "x"), 1);
    EXPECT_EQ(os->splice(from.server, ends[1], 100, at_once), -EAGAIN); // the pipe is full
    EXPECT_EQ(receive(from.server), "x");
}

TEST_P(any_kernel, SpliceIntoWhatIsGone) {
    const pair from = connected(AF_INET);
    const pair to = connected(AF_INET);
    int ends[2];
    ASSERT_EQ(os->pipe(ends, 65536), 0);
    keep(ends[0]);
    keep(ends[1]);
    EXPECT_EQ(send(from.client, "x"), 1);
    arrive_all();
    EXPECT_EQ(os->splice(from.server, ends[1], 100, at_once), 1);
    EXPECT_EQ(os->shutdown(to.server, SHUT_WR), 0);
    arrive_all();
    reset_on_close(to.server);
    close(to.server);
    arrive_all();
    EXPECT_EQ(os->splice(ends[0], to.client, 100, at_once), -EPIPE);
    close(ends[0]);
    EXPECT_EQ(send(from.client, "y"), 1);
    arrive_all();
    EXPECT_EQ(os->splice(from.server, ends[1], 100, at_once), -EPIPE);
}

TEST_P(any_kernel, WakeEndsAWait) {
    os->wake();
    std::array<io_event, 4> events;
    const time_point before = os->now();
    EXPECT_EQ(os->wait(events, 60s), 0);
    EXPECT_LT(os->now() - before, 60s);
}

TEST_P(any_kernel, AWaitEndsInTime) {
    std::array<io_event, 4> events;
    const time_point before = os->now();
    EXPECT_EQ(os->wait(events, 2ms), 0);
    EXPECT_GE(os->now() - before, 2ms);
}

INSTANTIATE_TEST_SUITE_P(kernels, any_kernel,
                         ::testing::Values(kernel_kind{"linux", make_linux}, kernel_kind{"simulated", make_simulated},
                                           kernel_kind{"simulated_with_chance", make_random}),
                         [](const auto& info) { return info.param.name; });

} // namespace
} // namespace headgate
