#include <headgate/core/race.hpp>
#include <headgate/io/listener.hpp>
#include <headgate/testing/fixture.hpp>

#include <algorithm>

#include <sys/epoll.h>

namespace headgate {
namespace {

using namespace std::chrono_literals;

class simulated_kernel_test : public testing::simulated_test {
protected:
    // A listener at 127.0.0.1:80, which needs no rights here.
    int listening(int backlog = 16) {
        const int fd = os().socket(AF_INET, SOCK_STREAM);
        EXPECT_EQ(os().bind(fd, at.data(), at.size()), 0);
        EXPECT_EQ(os().listen(fd, backlog), 0);
        return fd;
    }
    int connecting() {
        const int fd = os().socket(AF_INET, SOCK_STREAM);
        EXPECT_EQ(os().connect(fd, at.data(), at.size()), -EINPROGRESS);
        return fd;
    }
    // When `fd` is reported with `bits`, after how much time.
    duration until(int fd, std::uint32_t bits) {
        os().watch(fd, static_cast<std::uint64_t>(fd));
        std::array<io_event, 16> events;
        for (;;) {
            const int n = os().wait(events, forever);
            if (n < 0) return forever;
            for (int i = 0; i < n; ++i)
                if (events[i].tag == static_cast<std::uint64_t>(fd) && (events[i].bits & bits) == bits)
                    return sim().elapsed();
        }
    }
    ssize_t send(int fd, std::string_view text) {
        const iovec v{const_cast<char*>(text.data()), text.size()};
        return os().write(fd, &v, 1);
    }
    simulated_kernel& os() { return sim().os; }

    address at = *address::parse("127.0.0.1:80");
};

TEST_F(simulated_kernel_test, LatencyOfEachDirection) {
    restart({.latency_to_listener = 10ms, .latency_to_connector = 30ms});
    const int listener = listening();
    const int client = connecting();
    EXPECT_EQ(until(client, EPOLLOUT), 40ms);  // there and back
    EXPECT_EQ(until(listener, EPOLLIN), 50ms); // and there
    const int server = os().accept(listener, nullptr, nullptr);
    EXPECT_EQ(send(client, "x"), 1);
    EXPECT_EQ(os().bytes_in_flight(), 1u);
    EXPECT_EQ(until(server, EPOLLIN), 60ms);
    EXPECT_EQ(os().bytes_in_flight(), 0u);
    EXPECT_EQ(send(server, "y"), 1);
    EXPECT_EQ(until(client, EPOLLIN), 90ms);
    for (const int fd : {client, server, listener}) os().close(fd);
}

TEST_F(simulated_kernel_test, ConnectDelayAndALostConnect) {
    restart({.connect_delay = 2s});
    const int listener = listening();
    const int late = connecting();
    EXPECT_EQ(until(late, EPOLLOUT), 2s);
    os().options().connect_delay = forever;
    const int lost = connecting();
    EXPECT_EQ(until(lost, EPOLLOUT), forever); // nothing can happen any more
    for (const int fd : {late, lost, listener}) os().close(fd);
}

TEST_F(simulated_kernel_test, AFullBacklogMakesTcpTryAgain) {
    const int listener = listening(0);
    const int first = connecting();
    EXPECT_EQ(until(first, EPOLLOUT), 0s);
    const int second = connecting();
    std::array<io_event, 4> events;
    EXPECT_EQ(os().wait(events, 2500ms), 0); // tried at 0 s and 1 s; next at 3 s
    const int accepted = os().accept(listener, nullptr, nullptr);
    EXPECT_EQ(until(second, EPOLLOUT), 3s);
    const int third = connecting();
    EXPECT_EQ(until(third, EPOLLERR), 3s + 63s); // 1 + 2 + 4 + 8 + 16 + 32
    int error = 0;
    socklen_t size = sizeof error;
    os().get_option(third, SOL_SOCKET, SO_ERROR, &error, &size);
    EXPECT_EQ(error, ETIMEDOUT);
    for (const int fd : {first, second, third, accepted, listener}) os().close(fd);
}

TEST_F(simulated_kernel_test, DescriptorsAreNamedAndTheLowestIsUsedAgain) {
    const int listener = listening();
    const int client = connecting();
    const int server = os().accept(listener, nullptr, nullptr);
    EXPECT_EQ(std::tuple(listener, client, server), std::tuple(1000, 1001, 1002));
    const auto open = os().open_descriptors();
    ASSERT_EQ(open.size(), 3u);
    EXPECT_EQ(open[0].what, "tcp from listen at 127.0.0.1:80");
    EXPECT_EQ(open[1].what, "tcp from connect, 127.0.0.1:32768 <-> 127.0.0.1:80");
    EXPECT_EQ(open[2].what, "tcp from accept, 127.0.0.1:80 <-> 127.0.0.1:32768");
    os().close(client);
    os().close(listener);
    EXPECT_EQ(os().socket(AF_INET, SOCK_STREAM), 1000);
    EXPECT_EQ(os().socket(AF_INET, SOCK_STREAM), 1001);
    EXPECT_EQ(os().socket(AF_INET, SOCK_STREAM), 1003);
    for (int fd = 1000; fd < 1004; ++fd) os().close(fd);
    EXPECT_EQ(os().descriptors(), 0u);
}

TEST_F(simulated_kernel_test, DescriptorLimit) {
    const int listener = listening();
    const int client = connecting();
    os().options().descriptors_max = 3;
    int ends[2];
    EXPECT_EQ(os().pipe(ends, 4096), -EMFILE);
    EXPECT_EQ(os().socket_pair(ends), -EMFILE);
    os().options().descriptors_max = 2;
    EXPECT_EQ(os().socket(AF_INET, SOCK_STREAM), -EMFILE);
    EXPECT_EQ(os().accept(listener, nullptr, nullptr), -EMFILE);
    os().options().descriptors_max = 3;
    EXPECT_EQ(os().accept(listener, nullptr, nullptr), 1002); // it has waited
    for (const int fd : {client, listener, 1002}) os().close(fd);
}

TEST_F(simulated_kernel_test, CallsFailOnDemand) {
    os().fail(call::socket, ENFILE, 2, 1);
    const int fd = os().socket(AF_INET, SOCK_STREAM);
    EXPECT_EQ(fd, 1000);
    EXPECT_EQ(os().socket(AF_INET, SOCK_STREAM), -ENFILE);
    EXPECT_EQ(os().socket(AF_INET, SOCK_STREAM), -ENFILE);
    const int other = os().socket(AF_INET, SOCK_STREAM);
    EXPECT_EQ(other, 1001);
    EXPECT_EQ(os().calls(call::socket), 4u);
    EXPECT_EQ(os().calls(call::bind), 0u);
    os().close(fd);
    os().close(other);
}

TEST_F(simulated_kernel_test, AnEagainOnDemandIsFollowedByAnEdge) {
    int ends[2];
    ASSERT_EQ(os().socket_pair(ends), 0);
    EXPECT_EQ(send(ends[0], "x"), 1);
    until(ends[1], EPOLLIN);
    os().fail(call::read, EAGAIN);
    char c;
    EXPECT_EQ(os().read(ends[1], &c, 1), -EAGAIN);
    EXPECT_EQ(until(ends[1], EPOLLIN), 0s);
    EXPECT_EQ(os().read(ends[1], &c, 1), 1);
    os().close(ends[0]);
    os().close(ends[1]);
}

TEST_F(simulated_kernel_test, NothingEverHappens) {
    std::array<io_event, 4> events;
    EXPECT_EQ(os().wait(events, forever), -EDEADLK);
    EXPECT_EQ(os().wait(events, 3s), 0);
    EXPECT_EQ(sim().elapsed(), 3s);
    os().wake();
    os().wake();
    EXPECT_EQ(os().wait(events, forever), 0);
    EXPECT_EQ(os().wakes(), 2u);
    EXPECT_EQ(os().wait(events, forever), -EDEADLK);
}

TEST_F(simulated_kernel_test, ALoopThatNeverLetsTimePassIsStopped) {
    std::array<io_event, 4> events;
    int r = 0;
    for (std::uint32_t i = 0; i < simulated_kernel::waits_at_once_max && r == 0; ++i) r = os().wait(events, 0s);
    EXPECT_EQ(r, 0);
    EXPECT_EQ(os().wait(events, 0s), -ELOOP);
    EXPECT_EQ(os().wait(events, 1s), -ELOOP);
}

// Sends `bytes` bytes that follow from their places, and the end.
task<> send_pattern(socket to, std::size_t bytes) {
    std::string text(bytes, 0);
    for (std::size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>(i * 7 + i / 251);
    const auto sent = co_await to.write_all(text);
    if (!sent) co_await fail(sent.error());
    if (const auto e = to.end()) co_await fail(e);
    std::array<char, 10> none;
    const auto end = co_await to.read_some(none);
    if (!end || *end != 0) co_await fail(errc::protocol);
}

// Reads the same, in pieces of up to `piece`; gives how many reads it took.
task<std::size_t> receive_pattern(socket from, std::size_t bytes, std::size_t piece) {
    std::string buffer(piece, 0);
    std::size_t at = 0, reads = 0;
    for (;; ++reads) {
        const auto n = co_await from.read_some(buffer);
        if (!n) co_await fail(n.error());
        if (*n == 0) break;
        for (std::size_t i = 0; i < *n; ++i, ++at)
            if (buffer[i] != static_cast<char>(at * 7 + at / 251)) co_await fail(errc::protocol, "wrong byte");
    }
    if (at != bytes) co_await fail(errc::premature_close);
    from.close(); // the frame, which has it, lives until all() ends
    co_return reads;
}

struct transfer_result {
    duration took;
    std::size_t reads;
    bool operator==(const transfer_result&) const = default;
};

task<transfer_result> transfer_once(testing::simulation* sim, std::size_t bytes, std::size_t piece) {
    auto listening = listener::open(*address::parse("127.0.0.1:0"));
    if (!listening) co_await fail(listening.error());
    auto client = co_await connect(listening->where());
    if (!client) co_await fail(client.error());
    auto server = co_await listening->accept();
    if (!server) co_await fail(server.error());
    auto both = co_await all(send_pattern(std::move(*client), bytes),
                             receive_pattern(std::move(server->connection), bytes, piece));
    co_return transfer_result{sim->elapsed(), std::get<1>(both)};
}

TEST_F(simulated_kernel_test, BytesArriveWholeWhateverChanceDoes) {
    std::vector<transfer_result> seen;
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
        const simulated_options o{.seed = seed,
                                  .latency_to_listener = std::chrono::milliseconds(seed % 5),
                                  .latency_to_connector = std::chrono::milliseconds(seed % 3),
                                  .send_buffer = 4096 + seed * 997,
                                  .receive_buffer = 8192 + seed % 7 * 4096};
        transfer_result first{};
        for (int again = 0; again < 2; ++again) {
            restart(o);
            const transfer_result r = run(transfer_once(&sim(), 200'000, 1000 + seed * 400));
            if (again == 0) {
                first = r;
                seen.push_back(r);
            } else {
                EXPECT_EQ(r, first) << "the same seed gave another run: " << seed;
            }
        }
    }
    EXPECT_GT(seen[40].reads, 5u);
    EXPECT_NE(std::ranges::adjacent_find(seen, std::not_equal_to()), seen.end()) << "all seeds gave the same run";
}

TEST_F(simulated_kernel_test, ChanceChangesTheOrderOfEvents) {
    std::vector<std::uint64_t> orders[2];
    for (std::uint64_t seed = 0; seed < 2; ++seed) {
        restart({.seed = seed});
        std::vector<int> fds;
        for (int i = 0; i < 20; ++i) fds.push_back(os().socket(AF_UNIX, SOCK_STREAM));
        for (const int fd : fds) os().watch(fd, static_cast<std::uint64_t>(fd));
        std::array<io_event, 32> events;
        ASSERT_EQ(os().wait(events, 0s), 20);
        for (int i = 0; i < 20; ++i) orders[seed].push_back(events[i].tag);
        for (const int fd : fds) os().close(fd);
    }
    EXPECT_TRUE(std::ranges::is_sorted(orders[0]));
    EXPECT_FALSE(std::ranges::is_sorted(orders[1]));
    std::ranges::sort(orders[1]);
    EXPECT_EQ(orders[0], orders[1]);
}

TEST_F(simulated_kernel_test, EventsBeyondTheRoomComeWithTheNextWait) {
    int ends[2];
    ASSERT_EQ(os().socket_pair(ends), 0);
    os().watch(ends[0], 1);
    os().watch(ends[1], 2);
    std::array<io_event, 1> one;
    EXPECT_EQ(os().wait(one, 0s), 1);
    EXPECT_EQ(one[0].tag, 1u);
    EXPECT_EQ(os().wait(one, 0s), 1);
    EXPECT_EQ(one[0].tag, 2u);
    EXPECT_EQ(os().wait(one, 0s), 0);
    os().close(ends[0]);
    os().close(ends[1]);
}

} // namespace
} // namespace headgate
