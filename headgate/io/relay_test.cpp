#include <headgate/core/race.hpp>
#include <headgate/io/listener.hpp>
#include <headgate/io/relay.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/tools.hpp>

#include <array>
#include <string>

namespace headgate {
namespace {

using namespace std::chrono_literals;

class relay_test : public testing::simulated_test {
protected:
    simulated_kernel& os() { return sim().os; }
};

// Two connections with the relay between them: what `writer` writes comes out at `reader`.
struct relayed {
    socket writer, from, to, reader;
};
task<relayed> connect_both() {
    auto l = listener::open(*address::parse("127.0.0.1:0"));
    if (!l) co_await fail(l.error());
    relayed r;
    for (const auto [near, far] :
         {std::pair(&relayed::writer, &relayed::from), std::pair(&relayed::to, &relayed::reader)}) {
        auto c = co_await connect(l->where());
        if (!c) co_await fail(c.error());
        r.*near = std::move(*c);
        auto a = co_await l->accept();
        if (!a) co_await fail(a.error());
        r.*far = std::move(a->connection);
    }
    co_return r;
}

char at_place_of(std::size_t i) { return static_cast<char>(i * 13 + i / 509); }

// Writes in blocks of `block`, with a pause after each, and ends.
task<> write_pattern(socket* to, std::size_t bytes, std::size_t block, duration pause) {
    std::string text(bytes, 0);
    for (std::size_t i = 0; i < bytes; ++i) text[i] = at_place_of(i);
    for (std::size_t at = 0; at < bytes; at += block) {
        const auto w = co_await to->write_all(std::string_view(text).substr(at, block));
        if (!w) co_return; // the relay says why
        co_await sleep_for(pause);
    }
    to->end();
}
// Reads to the end; gives how many right bytes there were, or 0 if one was wrong.
task<std::size_t> read_pattern(socket* from) {
    std::string buffer(10'000, 0);
    std::size_t at = 0;
    for (;;) {
        const auto n = co_await from->read_some(buffer);
        if (!n || *n == 0) co_return at;
        for (std::size_t i = 0; i < *n; ++i, ++at)
            if (buffer[i] != at_place_of(at)) co_return 0;
    }
}
task<outcome> tunnel(relayed* r, pipe_options options, relay_limits limits) {
    outcome end = co_await pipeline(std::move(options), tunnel_source{&r->from, limits}, tunnel_sink{&r->to});
    r->to.close();
    co_return end;
}

struct passed {
    std::size_t bytes;
    std::uint64_t counted;
    std::uint64_t splices;
};
task<passed> pass(std::size_t bytes, std::size_t block, duration pause, bool with_pipes) {
    auto& os = static_cast<simulated_kernel&>(loop::current().os());
    pipe_pool pipes(os);
    const relay_limits limits{.pipes = with_pipes ? &pipes : nullptr};
    relayed r = co_await connect_both();
    auto [nothing, end, got] =
        co_await all(write_pattern(&r.writer, bytes, block, pause), tunnel(&r, {}, limits), read_pattern(&r.reader));
    if (!end) co_await fail(end.error().code, end.error().message());
    EXPECT_EQ(pipes.on_loan(), 0u);
    co_return passed{got, end->bytes, os.calls(call::splice)};
}

TEST_F(relay_test, SmallPiecesAreCopied) {
    const passed p = run(pass(50'000, 500, 1ms, true));
    EXPECT_EQ(p.bytes, 50'000u);
    EXPECT_EQ(p.counted, 50'000u);
    EXPECT_EQ(p.splices, 0u);
}

TEST_F(relay_test, BulkIsSpliced) {
    const passed p = run(pass(3'000'000, 3'000'000, 0ms, true));
    EXPECT_EQ(p.bytes, 3'000'000u);
    EXPECT_EQ(p.counted, 3'000'000u);
    EXPECT_GT(p.splices, 20u);
}

TEST_F(relay_test, BulkIsCopiedWithoutPipes) {
    const passed p = run(pass(3'000'000, 3'000'000, 0ms, false));
    EXPECT_EQ(p.bytes, 3'000'000u);
    EXPECT_EQ(p.splices, 0u);
}

TEST_F(relay_test, BulkIsCopiedWhenThereIsNoPipeToBeHad) {
    os().fail(call::pipe, EMFILE, 1000);
    EXPECT_EQ(run(pass(3'000'000, 3'000'000, 0ms, true)).bytes, 3'000'000u);
    EXPECT_GT(os().calls(call::pipe), 0u);
}

TEST_F(relay_test, BytesArriveWholeWhateverChanceDoes) {
    for (std::uint64_t seed = 1; seed < 40; ++seed) {
        restart({.seed = seed,
                 .latency_to_listener = std::chrono::milliseconds(seed % 4),
                 .send_buffer = 10'000 + seed * 5'000,
                 .receive_buffer = 20'000 + seed % 5 * 30'000});
        const std::size_t bytes = 400'000 + seed * 1001;
        EXPECT_EQ(run(pass(bytes, bytes / (1 + seed % 7), 5ms, true)).bytes, bytes) << "seed " << seed;
    }
}

TEST_F(relay_test, EveryCallMayComeInVain) {
    for (const call c : {call::read, call::write, call::splice}) {
        for (unsigned spare = 0;; ++spare) {
            restart({});
            os().fail(c, EAGAIN, 1, spare);
            ASSERT_EQ(run(pass(400'000, 400'000, 0ms, true)).bytes, 400'000u)
                << static_cast<int>(c) << " after " << spare;
            if (os().calls(c) <= spare) break;
        }
    }
}

// --- at a bounded rate

struct timed {
    std::size_t bytes;
    duration took;
    std::uint64_t splices;
    std::uint64_t reads;
};
// All at once into a relay that may pass on `rate` bytes per second, between peers that must not be slower than that.
task<timed> pass_at(std::uint64_t bytes, std::uint64_t per_second, bool with_pipes) {
    auto& os = static_cast<simulated_kernel&>(loop::current().os());
    pipe_pool pipes(os);
    byte_rate rate(per_second);
    const pace_limits strict{.idle = 100ms, .rate_min = per_second, .rate_grace = 50ms};
    const relay_limits limits{.source = strict, .sink = strict, .pipes = with_pipes ? &pipes : nullptr, .rate = &rate};
    relayed r = co_await connect_both();
    const time_point begun = executor::current().now();
    const std::uint64_t reads = os.calls(call::read);
    auto [nothing, end, got] =
        co_await all(write_pattern(&r.writer, bytes, bytes, 0ms), tunnel(&r, {}, limits), read_pattern(&r.reader));
    if (!end) co_await fail(end.error().code, end.error().message());
    EXPECT_EQ(pipes.on_loan(), 0u);
    co_return timed{got, executor::current().now() - begun, os.calls(call::splice), os.calls(call::read) - reads};
}

TEST_F(relay_test, TheRateIsKeptByCopyingAndBySplicing) {
    for (const bool with_pipes : {true, false}) {
        restart({});
        const timed t = run(pass_at(4'000'000, 1'000'000, with_pipes));
        EXPECT_EQ(t.bytes, 4'000'000u);
        EXPECT_GE(t.took, 3800ms);
        EXPECT_LE(t.took, 4100ms);
        EXPECT_EQ(t.splices > 20, with_pipes);
        EXPECT_LT(t.splices + t.reads, 1500u) << "it sleeps between slices";
    }
}

TEST_F(relay_test, ALowRateIsKeptInSmallPieces) {
    const timed t = run(pass_at(1000, 100, true));
    EXPECT_EQ(t.bytes, 1000u);
    EXPECT_GE(t.took, 9800ms);
    EXPECT_LE(t.took, 10100ms);
}

// What comes below the rate goes on at once.
task<duration> longest_delay(std::uint64_t per_second) {
    byte_rate rate(per_second);
    relayed r = co_await connect_both();
    struct event_stream {
        static task<> write(socket* to) {
            for (int i = 0; i < 50; ++i) {
                co_await sleep_for(100ms);
                if (!co_await to->write_all(std::string(50, 'e'))) co_return;
            }
            to->end();
        }
        static task<duration> read(socket* from) {
            std::array<char, 50> event;
            duration longest{};
            const time_point begun = executor::current().now();
            for (int i = 1;; ++i) {
                for (std::size_t got = 0; got < event.size();) {
                    const auto n = co_await from->read_some(std::span(event).subspan(got));
                    if (!n || *n == 0) co_return longest;
                    got += *n;
                }
                longest = std::max(longest, executor::current().now() - begun - i * 100ms);
            }
        }
    };
    auto [nothing, end, longest] =
        co_await all(event_stream::write(&r.writer), tunnel(&r, {}, {.rate = &rate}), event_stream::read(&r.reader));
    co_return longest;
}

TEST_F(relay_test, EventsBelowTheRateAreNotDelayed) {
    EXPECT_LE(run(longest_delay(1000)), 5ms);
    restart({});
    EXPECT_GE(run(longest_delay(250)), 4s) << "twice the rate";
}

task<outcome> aborted_while_it_pauses() {
    byte_rate rate(10);
    abort_source stop;
    relayed r = co_await connect_both();
    if (!co_await r.writer.write_all(std::string(1000, 'x'))) co_await fail(errc::failed);
    struct later {
        static task<> abort(abort_source* s) {
            co_await sleep_for(500ms);
            s->abort();
        }
    };
    auto [nothing, end] = co_await all(later::abort(&stop), tunnel(&r, {.abort = stop.signal()}, {.rate = &rate}));
    co_return std::move(end);
}

TEST_F(relay_test, APauseEndsWithItsFlow) {
    const outcome end = run(aborted_while_it_pauses());
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::aborted);
}

// --- ends

task<outcome> with_ends(pipe_options options, relay_limits limits, void (*then)(relayed&)) {
    relayed r = co_await connect_both();
    if (!co_await r.writer.write_all("begin")) co_await fail(errc::failed);
    struct later {
        static task<> act(relayed* r, void (*then)(relayed&)) {
            co_await sleep_for(100ms);
            then(*r);
        }
    };
    auto [end, nothing] = co_await all(tunnel(&r, std::move(options), limits), later::act(&r, then));
    co_return std::move(end);
}

TEST_F(relay_test, AnErrorNamesItsSide) {
    outcome end = run(with_ends({}, {}, [](relayed& r) { r.writer.reset(); }));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().where, side::source);
    EXPECT_EQ(end.error().code, std::errc::connection_reset);
    end = run(with_ends({}, {}, [](relayed& r) { r.reader.reset(); }));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().where, side::sink);
    EXPECT_EQ(end.error().code, std::errc::connection_reset);
    end = run(with_ends({}, {.source = {.idle = 3s}}, [](relayed&) {}));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().where, side::source);
    EXPECT_EQ(end.error().code, errc::idle);
    end = run(with_ends({.timeout = 3s}, {}, [](relayed&) {}));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().where, side::caller);
    EXPECT_EQ(end.error().code, errc::timed_out);
    end = run(with_ends({.idle = 3s}, {}, [](relayed&) {}));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::idle);
}

TEST_F(relay_test, ACleanEndIsPassedOn) {
    const outcome end = run(with_ends({}, {}, [](relayed& r) { r.writer.end(); }));
    ASSERT_TRUE(end);
    EXPECT_EQ(end->bytes, 5u);
}

task<outcome> to_who_does_not_read(bool with_pipes) {
    pipe_pool pipes(loop::current().os());
    relayed r = co_await connect_both();
    auto first = co_await race(tunnel(&r, {}, {.sink = {.idle = 5s}, .pipes = with_pipes ? &pipes : nullptr}),
                               write_pattern(&r.writer, 5'000'000, 5'000'000, 1h));
    co_return std::get<0>(std::move(first));
}

TEST_F(relay_test, ASinkThatDoesNotReadIsIdle) {
    for (const bool with_pipes : {false, true}) {
        const outcome end = run(to_who_does_not_read(with_pipes));
        ASSERT_FALSE(end);
        EXPECT_EQ(end.error().where, side::sink);
        EXPECT_EQ(end.error().code, errc::idle);
    }
}

// Takes `bytes` every `pause`, as long as it lives.
task<> read_slowly(socket* from, std::size_t bytes, duration pause) {
    std::vector<char> to(bytes);
    for (;;) {
        if (!co_await from->read_some(to)) co_return;
        co_await sleep_for(pause);
    }
}

task<outcome> to_a_slow_reader(relay_limits limits, std::size_t bytes, duration pause, std::size_t total) {
    relayed r = co_await connect_both();
    strand reading;
    strand writing;
    place& at = co_await here();
    reading.start(read_slowly(&r.reader, bytes, pause), at);
    writing.start(write_pattern(&r.writer, total, total, 0s), at);
    co_return co_await tunnel(&r, {}, limits);
}

// The system has room again only when the reader has taken a good part of what waits in the socket: longer than the
// limit, but the reader is not idle.
TEST_F(relay_test, AReaderThatKeepsConfirmingIsNotIdle) {
    const outcome end = run(to_a_slow_reader({.sink = {.idle = 5s}}, 4096, 1s, 400'000));
    EXPECT_TRUE(end) << end.error().message();
}

TEST_F(relay_test, AReaderBelowTheMinimumRateIsIdle) {
    const pace_limits pace{.idle = 1h, .rate_min = 8192, .rate_grace = 10s};
    outcome end = run(to_a_slow_reader({.sink = pace}, 4096, 1s, 4'000'000));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().where, side::sink);
    EXPECT_EQ(end.error().code, errc::idle);
    EXPECT_EQ(end.error().detail, "it is slower than the minimum rate");
    end = run(to_a_slow_reader({.sink = pace}, 40'960, 1s, 4'000'000));
    EXPECT_TRUE(end) << end.error().message();
}

// A pause is for the idle limit to end, however low the rate is that it makes.
TEST_F(relay_test, AReaderThatPausesIsNotSlow) {
    const pace_limits pace{.idle = 60s, .rate_min = 240, .rate_grace = 10s};
    const outcome end = run(to_a_slow_reader({.sink = pace}, 60'000, 40s, 600'000));
    EXPECT_TRUE(end) << end.error().message();
}

task<outcome> from_a_slow_writer(relay_limits limits, std::size_t bytes, std::size_t piece, duration pause) {
    relayed r = co_await connect_both();
    strand writing;
    writing.start(write_pattern(&r.writer, bytes, piece, pause), co_await here());
    co_return co_await tunnel(&r, {}, limits);
}

TEST_F(relay_test, AWriterBelowTheMinimumRateIsIdle) {
    const pace_limits pace{.idle = 1h, .rate_min = 100, .rate_grace = 10s};
    outcome end = run(from_a_slow_writer({.source = pace}, 5'000, 50, 1s));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().where, side::source);
    EXPECT_EQ(end.error().code, errc::idle);
    end = run(from_a_slow_writer({.source = pace}, 50'000, 500, 1s));
    EXPECT_TRUE(end) << end.error().message();
}

task<> pass_some() { (void)co_await pass(300'000, 150'000, 1ms, true); }

TEST_F(relay_test, IsDroppedAtEveryTurn) {
    const auto report =
        testing::drop_at_every_turn([](testing::simulation&) { return pass_some(); },
                                    {.latency_to_listener = 1ms, .send_buffer = 32'000, .receive_buffer = 32'000});
    EXPECT_EQ(report.problem, "");
    EXPECT_GT(report.turns, 30u);
}

TEST_F(relay_test, EveryCallMayFail) {
    for (const call c : {call::read, call::write, call::splice, call::pipe, call::shutdown}) {
        for (unsigned spare = 0;; ++spare) {
            restart({});
            os().fail(c, ENOBUFS, 1, spare);
            (void)try_run(pass(200'000, 200'000, 0ms, true));
            ASSERT_EQ(sim().leftovers(), "") << "call " << static_cast<int>(c) << " after " << spare;
            if (os().calls(c) <= spare) break;
        }
    }
}

} // namespace
} // namespace headgate
