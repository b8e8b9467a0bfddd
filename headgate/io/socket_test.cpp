#include <headgate/core/race.hpp>
#include <headgate/io/linux_kernel.hpp>
#include <headgate/io/listener.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/leak_check.hpp>
#include <headgate/testing/tools.hpp>

#include <string>
#include <vector>

namespace headgate {
namespace {

using namespace std::chrono_literals;

// A connected pair over TCP: what most of these tests begin with.
struct ends {
    socket client;
    socket server;
};
task<ends> connected() {
    auto l = listener::open(*address::parse("127.0.0.1:0"));
    if (!l) co_await fail(l.error());
    auto client = co_await connect(l->where(), 5s);
    if (!client) co_await fail(client.error());
    auto server = co_await l->accept();
    if (!server) co_await fail(server.error());
    co_return ends{std::move(*client), std::move(server->connection)};
}

task<std::string> read_to_end(socket* from) {
    std::string got;
    std::array<char, 1000> buffer;
    for (;;) {
        const auto n = co_await from->read_some(buffer);
        if (!n) co_await fail(n.error());
        if (*n == 0) co_return got;
        got.append(buffer.data(), *n);
    }
}
task<> write_and_end(socket* to, std::string text) {
    if (const auto w = co_await to->write_all(text); !w) co_await fail(w.error());
    if (const auto e = to->end()) co_await fail(e);
}

// --- the same over the real kernel and the simulated one

struct both_kernels : ::testing::TestWithParam<bool> {
    template <class T>
    T run(task<T> (*make)()) {
        std::unique_ptr<kernel> os;
        if (GetParam())
            os = std::make_unique<linux_kernel>();
        else
            os = std::make_unique<simulated_kernel>();
        loop l(*os);
        const testing::leak_check leaks(l);
        auto end = l.run(make());
        if (!end) throw std::runtime_error(end.error().message());
        return std::move(*end);
    }
};

std::string large() {
    std::string text(3'000'000, 0);
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 31 + i / 1000);
    return text;
}

task<bool> echo_large() {
    ends e = co_await connected();
    const std::string text = large();
    const auto [nothing, got, nothing_again, back] = co_await all(
        write_and_end(&e.client, text), read_to_end(&e.server), write_and_end(&e.server, text), read_to_end(&e.client));
    co_return got == text&& back == text;
}
TEST_P(both_kernels, MovesLargeTextsBothWaysAtOnce) { EXPECT_TRUE(run(echo_large)); }

task<std::string> refused() {
    auto l = listener::open(*address::parse("127.0.0.1:0"));
    const address gone = l->where();
    *l = std::move(*listener::open(*address::parse("127.0.0.1:0")));
    const auto c = co_await connect(gone, 5s);
    co_return c ? "connected" : c.error().message();
}
TEST_P(both_kernels, AConnectionIsRefused) { EXPECT_EQ(run(refused), "Connection refused"); }

task<std::string> ends_seen() {
    std::string log;
    std::array<char, 10> buffer;
    {
        ends e = co_await connected();
        e.server.close();
        co_await e.client.peer_closed();
        const auto n = co_await e.client.read_some(buffer);
        log += n && *n == 0 ? "end, " : "?, ";
    }
    {
        ends e = co_await connected();
        e.server.reset();
        co_await e.client.broken();
        const auto n = co_await e.client.read_some(buffer);
        log += n ? "?, " : n.error().message() + ", ";
    }
    {
        ends e = co_await connected();
        e.server.reset();
        co_await e.client.broken();
        log += e.client.pending_error().message() + ", ";
        const auto w = co_await e.client.write_all("x");
        log += w ? "?" : w.error().message();
    }
    co_return log;
}
TEST_P(both_kernels, EndsAndResetsAreToldApart) {
    EXPECT_EQ(run(ends_seen), "end, Connection reset by peer, Connection reset by peer, Broken pipe");
}

task<std::string> half_closed() {
    ends e = co_await connected();
    co_await write_and_end(&e.client, "question");
    std::string log = co_await read_to_end(&e.server);
    co_await e.server.peer_closed();
    co_await write_and_end(&e.server, "answer");
    log += " " + co_await read_to_end(&e.client);
    co_await e.client.broken(); // ended both ways
    co_return log;
}
TEST_P(both_kernels, HalfOfAConnectionStays) { EXPECT_EQ(run(half_closed), "question answer"); }

task<std::string> in_pieces() {
    ends e = co_await connected();
    std::string a = "one ", b, c = "three ", d = "four";
    std::array<iovec, 4> v{{{a.data(), a.size()}, {b.data(), 0}, {c.data(), c.size()}, {d.data(), d.size()}}};
    if (!co_await e.client.write_all(v)) co_await fail(errc::failed);
    if (!co_await e.client.write_all("")) co_await fail(errc::failed);
    e.client.end();
    co_return co_await read_to_end(&e.server);
}
TEST_P(both_kernels, WritesPieces) { EXPECT_EQ(run(in_pieces), "one three four"); }

task<std::string> where_from() {
    auto l = listener::open(*address::parse("127.0.0.1:0"));
    auto c = co_await connect(l->where());
    auto a = co_await l->accept();
    char host[48];
    co_return std::string(host, a->peer.write_host(host)) + (a->peer.port != 0 ? " with a port" : "");
}
TEST_P(both_kernels, TellsWhoHasConnected) { EXPECT_EQ(run(where_from), "127.0.0.1 with a port"); }

INSTANTIATE_TEST_SUITE_P(socket, both_kernels, ::testing::Values(true, false),
                         [](const auto& info) { return info.param ? "linux" : "simulated"; });

// --- in virtual time only

class socket_test : public testing::simulated_test {
protected:
    simulated_kernel& os() { return sim().os; }
};

task<std::error_code> connect_within(duration limit) {
    auto l = listener::open(*address::parse("127.0.0.1:0"));
    const auto c = co_await connect(l->where(), limit);
    co_return c ? std::error_code() : c.error();
}

TEST_F(socket_test, AConnectTimesOut) {
    os().options().connect_delay = forever;
    EXPECT_EQ(run(connect_within(3s)), errc::timed_out);
    EXPECT_EQ(sim().elapsed(), 3s);
    os().options().connect_delay = 2s;
    EXPECT_EQ(run(connect_within(3s)), std::error_code());
    EXPECT_EQ(sim().elapsed(), 5s);
}

task<std::string> slow_reads() {
    ends e = co_await connected();
    std::array<char, 10> buffer;
    const auto n = co_await e.client.read_some(buffer, 2s);
    std::string log = n ? "?" : n.error().message();
    const auto r = co_await e.client.readable(1s);
    log += r ? "?" : ", " + r.error().message();
    const auto c = co_await e.client.peer_closed(1s);
    log += c ? "?" : ", " + c.error().message();
    if (!co_await e.server.write_all("later")) co_await fail(errc::failed);
    const auto again = co_await e.client.read_some(buffer, 2s); // the socket is as good as before
    log += again ? ", " + std::string(buffer.data(), *again) : "?";
    co_return log;
}

TEST_F(socket_test, LimitsOfWaiting) {
    EXPECT_EQ(run(slow_reads()), "timed out, timed out, timed out, later");
    EXPECT_EQ(sim().elapsed(), 4s);
}

task<> read_slowly(socket* from, std::size_t all, duration every) {
    std::string buffer(10'000, 0);
    for (std::size_t got = 0; got < all;) {
        co_await sleep_for(every);
        const auto n = co_await from->read_some(buffer);
        if (!n) co_await fail(n.error());
        got += *n;
    }
}
task<std::error_code> write_with_limit(socket* to, std::size_t bytes, duration limit) {
    const auto w = co_await to->write_all(std::string(bytes, 'x'), limit);
    co_return w ? std::error_code() : w.error();
}
task<std::error_code> slow_write(std::size_t bytes, duration every, duration limit) {
    ends e = co_await connected();
    auto [written, read] =
        co_await all(write_with_limit(&e.client, bytes, limit), read_slowly(&e.server, bytes, every));
    co_return written;
}
task<std::error_code> stuck_write(std::size_t bytes, duration limit) {
    ends e = co_await connected();
    co_return co_await write_with_limit(&e.client, bytes, limit);
}

task<> write_again_and_again(socket* to, std::span<iovec> pieces) {
    while (!co_await to->write_all(pieces, 10ms)) {
    }
    to->end();
}
// Gives whether the pieces arrived once, and in order.
task<bool> interrupted_write() {
    ends e = co_await connected();
    std::array<std::string, 6> pieces;
    std::array<iovec, 6> parts{};
    std::string whole;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        pieces[i].assign(100'000 + i, static_cast<char>('a' + i));
        parts[i] = {pieces[i].data(), pieces[i].size()};
        whole += pieces[i];
    }
    strand writing;
    writing.start(write_again_and_again(&e.client, parts), co_await here());
    std::string got;
    while (got.size() < whole.size()) {
        std::array<char, 30'000> buffer;
        const auto n = co_await e.server.read_some(buffer);
        if (!n || *n == 0) break;
        got.append(buffer.data(), *n);
        co_await sleep_for(25ms);
    }
    co_return got == whole;
}

TEST_F(socket_test, AWriteThatTimedOutMayBeBegunAgain) { EXPECT_EQ(run(interrupted_write()), true); }

TEST_F(socket_test, TheLimitOfAWriteCountsFromItsLastProgress) {
    EXPECT_EQ(run(slow_write(1'000'000, 300ms, 5s)), std::error_code());
    EXPECT_GT(sim().elapsed(), 20s);
    const duration before = sim().elapsed();
    EXPECT_EQ(run(stuck_write(1'000'000, 5s)), errc::timed_out);
    EXPECT_EQ(sim().elapsed(), before + 5s);
}

task<> notice(socket* s, duration* when, testing::simulation* sim) {
    co_await s->peer_closed();
    *when = sim->elapsed();
}
task<duration> leaves_while_we_write(testing::simulation* sim) {
    ends e = co_await connected();
    duration when{};
    nursery watchers;
    watchers.spawn(notice(&e.server, &when, sim));
    struct leave {
        static task<> later(socket s) {
            co_await sleep_for(100ms);
            s.reset();
        }
    };
    watchers.spawn(leave::later(std::move(e.client)));
    const std::error_code w = co_await write_with_limit(&e.server, 10'000'000, forever);
    EXPECT_EQ(w, std::errc::connection_reset);
    co_await watchers.drained();
    co_return when;
}

TEST_F(socket_test, APeerThatLeavesIsNoticedThoughNobodyReads) {
    restart({.latency_to_listener = 5ms});
    const duration when = run(leaves_while_we_write(&sim()));
    EXPECT_GE(when, 105ms);
    EXPECT_LE(when, 125ms);
}

task<std::string> too_many() {
    simulated_kernel& os = static_cast<simulated_kernel&>(loop::current().os());
    auto l = listener::open(*address::parse("127.0.0.1:0"));
    auto c = co_await connect(l->where());
    os.options().descriptors_max = os.descriptors();
    const auto none = co_await l->accept();
    std::string log = none ? "?" : none.error().message();
    const auto no_socket = co_await connect(l->where());
    log += no_socket ? "?" : ", " + no_socket.error().message();
    os.options().descriptors_max = 100;
    log += co_await l->accept() ? ", accepted" : "?";
    co_return log;
}

TEST_F(socket_test, AConnectionThatCannotBeAcceptedWaits) {
    EXPECT_EQ(run(too_many()), "Too many open files, Too many open files, accepted");
}

task<> accept_within(listener* l, bool* accepted) {
    const auto a = co_await l->accept();
    *accepted = a.has_value();
}

TEST_F(socket_test, AConnectionThatWasGoneBeforeItWasAcceptedIsPassedOver) {
    auto l = listener::open(*address::parse("127.0.0.1:0"));
    ASSERT_TRUE(l);
    os().fail(call::accept, ECONNABORTED, 3);
    nursery n;
    bool accepted = false;
    n.spawn(accept_within(&*l, &accepted));
    auto c = run(connect(l->where()));
    sim().advance(1ms);
    EXPECT_TRUE(accepted);
}

task<> talk() {
    ends e = co_await connected();
    const std::string text(30'000, 'x');
    auto [a, got, b, back] = co_await all(write_and_end(&e.client, text), read_to_end(&e.server),
                                          write_and_end(&e.server, text), read_to_end(&e.client));
    EXPECT_EQ(got, text);
    EXPECT_EQ(back, text);
}

constexpr simulated_options small{
    .latency_to_listener = 1ms, .latency_to_connector = 2ms, .send_buffer = 4096, .receive_buffer = 8192};

TEST_F(socket_test, IsDroppedAtEveryTurn) {
    const auto report = testing::drop_at_every_turn([](testing::simulation&) { return talk(); }, small);
    EXPECT_EQ(report.problem, "");
    EXPECT_GT(report.turns, 30u);
    simulated_options by_chance = small;
    for (by_chance.seed = 1; by_chance.seed < 6; ++by_chance.seed) {
        const auto r = testing::drop_at_every_turn([](testing::simulation&) { return talk(); }, by_chance);
        EXPECT_EQ(r.problem, "") << "seed " << by_chance.seed;
    }
}

// Every call of the kernel fails once, one after the other: the work ends with that error or without it, and leaves
// nothing.
TEST_F(socket_test, EveryCallMayFail) {
    for (std::size_t kind = 0; kind < call_kinds; ++kind) {
        const auto c = static_cast<call>(kind);
        for (unsigned spare = 0;; ++spare) {
            restart(small);
            os().fail(c, ENOBUFS, 1, spare);
            const auto end = try_run(talk());
            EXPECT_EQ(sim().leftovers(), "") << "call " << kind << " after " << spare;
            if (!end) EXPECT_EQ(end.error().code.value(), ENOBUFS) << end.error().message();
            if (os().calls(c) <= spare) break; // it was not reached
        }
    }
}

TEST_F(socket_test, EveryCallMayComeInVain) {
    for (const call c : {call::read, call::write, call::accept}) {
        for (unsigned spare = 0;; ++spare) {
            restart(small);
            os().fail(c, EAGAIN, 2, spare);
            const auto end = try_run(talk());
            ASSERT_TRUE(end) << end.error().message() << ", call " << static_cast<int>(c) << " after " << spare;
            if (os().calls(c) <= spare) break;
        }
    }
}

TEST_F(socket_test, UnixSocketsInASimulation) {
    struct work {
        static task<std::string> talk_locally() {
            auto l = listener::open(*address::parse("unix:/run/test.sock"));
            if (!l) co_await fail(l.error());
            auto c = co_await connect(l->where());
            if (!c) co_await fail(c.error());
            auto a = co_await l->accept();
            if (!a) co_await fail(a.error());
            co_await write_and_end(&*c, "over a path");
            co_return co_await read_to_end(&a->connection) + " from " + a->peer.text();
        }
    };
    EXPECT_EQ(run(work::talk_locally()), "over a path from unix");
    EXPECT_EQ(run(work::talk_locally()), "over a path from unix") << "the path is free again";
}

} // namespace
} // namespace headgate
