#include <headgate/core/race.hpp>
#include <headgate/http/body.hpp>
#include <headgate/io/listener.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/tools.hpp>

#include <numeric>
#include <string>
#include <vector>

// Chunked bodies from one connection to another: the payload of large chunks is moved by the kernel.
namespace headgate::http {
namespace {

using namespace std::chrono_literals;
using kind = body_framing::kind;

constexpr std::size_t large = 1 << 20;

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

char byte_at(std::size_t i) { return static_cast<char>(i * 13 + i / 509); }

std::string in_chunks(const std::vector<std::size_t>& sizes, std::string_view end = "0\r\nX-Sum: 7\r\n\r\n") {
    std::string text;
    std::size_t at = 0;
    for (const std::size_t size : sizes) {
        std::array<char, chunk_header_max> header;
        text.append(header.data(), write_chunk_header(header, size));
        for (std::size_t i = 0; i < size; ++i) text += byte_at(at++);
        text += "\r\n";
    }
    return text += end;
}

// Says it in pieces, with a pause after each, and ends.
task<> say(socket* to, std::string_view text, std::size_t piece, duration pause) {
    for (std::size_t at = 0; at < text.size(); at += piece) {
        if (!co_await to->write_all(text.substr(at, piece))) co_return; // the relay says why
        co_await sleep_for(pause);
    }
    to->end();
}

struct heard {
    std::size_t right = 0; // bytes of payload, until the first wrong one
    bool whole = false;
    std::string trailers{};
};
task<heard> hear(socket* from, kind framing, duration pause, std::size_t most) {
    heard h;
    chunked_decoder decoder;
    std::string buffer(50'000, 0);
    const auto check = [&h](std::string_view payload) {
        for (const char c : payload)
            if (c == byte_at(h.right)) ++h.right;
    };
    while (h.right < most) {
        const auto n = co_await from->read_some(buffer);
        if (!n || *n == 0) break;
        std::string_view in(buffer.data(), *n);
        if (framing != kind::chunked) check(in);
        while (framing == kind::chunked && !in.empty()) {
            const decode_result r = decoder.decode(in);
            check(r.payload);
            h.whole = r.state == decode_state::end;
            if (r.state != decode_state::payload) break;
            in.remove_prefix(r.consumed);
        }
        co_await sleep_for(pause);
    }
    h.trailers = decoder.trailers();
    from->reset();
    co_return h;
}

struct conditions {
    std::size_t piece = 300'000; // that the writer writes at once
    duration pause = 1ms;        // after it
    duration reading_pause{};
    kind to = kind::chunked;
    bool with_pipes = true;
    std::uint64_t payload_max = std::numeric_limits<std::uint64_t>::max();
    std::size_t read_max = std::numeric_limits<std::size_t>::max(); // then the reader is gone
};

struct ended {
    outcome end;
    heard got;
    std::uint64_t total = 0;
    std::uint64_t splices = 0;
};

task<outcome> relay_between(relayed* r, body_source source, body_framing to, pace_limits pace) {
    outcome end = co_await pipeline(source, body_sink(r->to, to, chunk(), pace));
    if (end) {
        r->to.close();
    } else {
        r->to.reset();
        r->from.reset(); // the writer may still have much to say
    }
    co_return end;
}

task<ended> pass(std::string_view text, conditions c) {
    auto& os = static_cast<simulated_kernel&>(loop::current().os());
    pipe_pool pipes(os);
    relayed r = co_await connect_both();
    inbound in;
    chunked_decoder decoder;
    std::uint64_t total = 0;
    const body_source source{.from = &r.from,
                             .in = &in,
                             .framing = {kind::chunked, 0},
                             .decoder = &decoder,
                             .limits = {.pipes = c.with_pipes ? &pipes : nullptr, .total = &total},
                             .payload_max = c.payload_max};
    auto [nothing, end, got] = co_await all(say(&r.writer, text, c.piece, c.pause),
                                            relay_between(&r, source, {c.to, 0}, {.kernel_max = 256 * 1024}),
                                            hear(&r.reader, c.to, c.reading_pause, c.read_max));
    co_return ended{std::move(end), std::move(got), total, os.calls(call::splice)};
}

class body_relay_test : public testing::simulated_test {};

TEST_F(body_relay_test, LargeChunksAreMovedByTheKernel) {
    const std::string text = in_chunks({large, 3 * large, large});
    const ended e = run(pass(text, {}));
    ASSERT_TRUE(e.end) << e.end.error().message();
    EXPECT_TRUE(e.got.whole);
    EXPECT_EQ(e.got.right, 5 * large);
    EXPECT_EQ(e.total, 5 * large);
    EXPECT_EQ(e.got.trailers, "X-Sum: 7\r\n");
    EXPECT_GT(e.splices, 10u);
}

TEST_F(body_relay_test, SmallOnesBetweenThemAreCopied) {
    std::vector<std::size_t> sizes;
    for (std::size_t i = 1; i < 40; ++i) sizes.push_back(i % 7 == 0 ? 400'000 + i : i * 997);
    const std::size_t all = std::accumulate(sizes.begin(), sizes.end(), std::size_t{0});
    for (const std::size_t piece : {std::size_t{300'000}, std::size_t{70'001}}) {
        const ended e = run(pass(in_chunks(sizes), {.piece = piece}));
        ASSERT_TRUE(e.end) << e.end.error().message();
        EXPECT_TRUE(e.got.whole);
        EXPECT_EQ(e.got.right, all);
        EXPECT_GT(e.splices, 0u);
    }
}

TEST_F(body_relay_test, ALargeChunkThatComesInSmallPiecesIsCopied) {
    const ended e = run(pass(in_chunks({large}), {.piece = 1000}));
    ASSERT_TRUE(e.end) << e.end.error().message();
    EXPECT_EQ(e.got.right, large);
    EXPECT_EQ(e.splices, 0u);
}

TEST_F(body_relay_test, WithoutPipesAllIsCopied) {
    const ended e = run(pass(in_chunks({large, large}), {.with_pipes = false}));
    ASSERT_TRUE(e.end) << e.end.error().message();
    EXPECT_EQ(e.got.right, 2 * large);
    EXPECT_EQ(e.splices, 0u);
}

TEST_F(body_relay_test, AClientOfHttp10GetsThePayload) {
    const ended e = run(pass(in_chunks({large, large}), {.to = kind::until_close}));
    ASSERT_TRUE(e.end) << e.end.error().message();
    EXPECT_EQ(e.got.right, 2 * large);
    EXPECT_GT(e.splices, 0u);
}

TEST_F(body_relay_test, ASlowReaderGetsAll) {
    const ended e = run(pass(in_chunks({2 * large}), {.reading_pause = 100ms}));
    ASSERT_TRUE(e.end) << e.end.error().message();
    EXPECT_TRUE(e.got.whole);
    EXPECT_EQ(e.got.right, 2 * large);
}

TEST_F(body_relay_test, ACutInAChunkIsNoEnd) {
    const std::string text = in_chunks({2 * large});
    const ended e = run(pass(std::string_view(text).substr(0, large), {}));
    ASSERT_FALSE(e.end);
    EXPECT_EQ(e.end.error().code, errc::premature_close);
    EXPECT_EQ(e.end.error().where, side::source);
    EXPECT_FALSE(e.got.whole);
    EXPECT_GT(e.splices, 0u);
}

TEST_F(body_relay_test, AChunkThatDoesNotEndIsMalformed) {
    std::string text = in_chunks({2 * large});
    text[text.find("\r\n0\r\n")] = 'x'; // where the chunk must end
    const ended e = run(pass(text, {}));
    ASSERT_FALSE(e.end);
    EXPECT_EQ(e.end.error().code, errc::protocol);
    EXPECT_FALSE(e.got.whole);
}

TEST_F(body_relay_test, NoMoreIsMovedThanIsAllowed) {
    const ended e = run(pass(in_chunks({large, 3 * large}), {.payload_max = 2 * large}));
    ASSERT_FALSE(e.end);
    EXPECT_EQ(e.end.error().code, errc::limit_exceeded);
    EXPECT_LE(e.got.right, 2 * large);
}

TEST_F(body_relay_test, AReaderThatLeavesEndsIt) {
    const ended e = run(pass(in_chunks({8 * large}), {.read_max = large}));
    ASSERT_FALSE(e.end);
    EXPECT_EQ(e.end.error().where, side::sink);
    EXPECT_GT(e.splices, 0u);
}

} // namespace
} // namespace headgate::http
