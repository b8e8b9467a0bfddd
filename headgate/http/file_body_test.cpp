#include <headgate/core/memory_budget.hpp>
#include <headgate/core/race.hpp>
#include <headgate/http/file_body.hpp>
#include <headgate/io/listener.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/temporary_folder.hpp>

#include <cerrno>
#include <string>

#include <fcntl.h>
#include <unistd.h>

namespace headgate::http {
namespace {

using namespace std::chrono_literals;
using kind = body_framing::kind;

std::string numbered(std::size_t bytes) {
    std::string text;
    for (int i = 0; text.size() < bytes; ++i) text += std::to_string(i) + ",";
    text.resize(bytes);
    return text;
}

struct pair {
    socket server, client;
};
task<pair> connect_both() {
    auto l = listener::open(*address::parse("127.0.0.1:0"));
    if (!l) co_await fail(l.error());
    auto c = co_await connect(l->where());
    if (!c) co_await fail(c.error());
    auto a = co_await l->accept();
    if (!a) co_await fail(a.error());
    co_return pair{std::move(a->connection), std::move(*c)};
}

// What comes, until the end; `cut` says that it was a reset. Goes on after each `slice` when `pause` has passed.
struct heard {
    std::string text;
    bool cut = false;
};
task<heard> hear(socket* s, duration pause = {}) {
    heard h;
    std::string buffer(20'000, 0);
    for (;;) {
        const auto n = co_await s->read_some(buffer);
        h.cut = !n;
        if (!n || *n == 0) co_return h;
        h.text.append(buffer, 0, *n);
        if (pause != duration{}) co_await sleep_for(pause);
    }
}

task<outcome> send(socket* to, file_source source, body_framing framing, pace_limits pace) {
    outcome end = co_await pipeline(std::move(source), body_sink(*to, framing, chunk("head\n"), pace));
    if (end)
        to->close();
    else
        to->reset();
    co_return end;
}

class file_body_test : public testing::simulated_test {
protected:
    files::open_file open(const std::string& contents) {
        return files::open_file(::open(folder_.write("f", contents).c_str(), O_RDONLY | O_CLOEXEC));
    }
    std::string path() const { return folder_ / "f"; }

    struct ended {
        outcome end;
        heard got;
    };
    static task<ended> pass(file_source source, body_framing framing, pace_limits pace = {}, duration pause = {}) {
        pair p = co_await connect_both();
        auto [end, got] = co_await all(send(&p.server, std::move(source), framing, pace), hear(&p.client, pause));
        co_return ended{std::move(end), std::move(got)};
    }

    std::uint64_t sent_by_kernel() { return sim().os.calls(call::send_file); }

private:
    testing::temporary_folder folder_;
};

TEST_F(file_body_test, ASmallFileGoesWithTheHead) {
    const auto writes = sim().os.calls(call::write);
    const ended e = run(pass({open("contents"), {{0, 8}}}, {kind::length, 8}));
    EXPECT_TRUE(e.end);
    EXPECT_EQ(e.got.text, "head\ncontents");
    EXPECT_EQ(sim().os.calls(call::write) - writes, 1u);
    EXPECT_EQ(sent_by_kernel(), 0u);
}

TEST_F(file_body_test, ALargeFileIsMovedByTheKernel) {
    const std::string text = numbered(2'000'001);
    std::uint64_t total = 0;
    file_source source{.file = open(text), .pieces = {{0, text.size()}}, .total = &total};
    const ended e = run(pass(std::move(source), {kind::length, text.size()}));
    ASSERT_TRUE(e.end);
    EXPECT_TRUE(e.got.text == "head\n" + text);
    EXPECT_EQ(e.end->bytes, text.size());
    EXPECT_EQ(total, text.size());
    EXPECT_GT(sent_by_kernel(), 10u);
}

TEST_F(file_body_test, PartsWithWhatIsSaidBetween) {
    const std::string text = numbered(300'000);
    file_source source{
        .file = open(text), .pieces = {{5, 10, "<a>"}, {100'000, 50'000, "<b>"}, {0, 1, "<c>"}}, .after = "<end>"};
    const ended e = run(pass(std::move(source), {kind::length, 50'025}));
    EXPECT_TRUE(e.end);
    EXPECT_TRUE(e.got.text == "head\n<a>" + text.substr(5, 10) + "<b>" + text.substr(100'000, 50'000) + "<c>0<end>");
}

TEST_F(file_body_test, ChunksAreReadAndWritten) {
    const std::string text = numbered(100'000);
    const ended e = run(pass(
        {.file = open(text), .pieces = {{0, text.size(), "<"}}, .after = ">", .chunk_bytes = 60'000}, {kind::chunked}));
    EXPECT_TRUE(e.end);
    EXPECT_EQ(sent_by_kernel(), 0u);
    EXPECT_TRUE(e.got.text == "head\nea61\r\n<" + text.substr(0, 60'000) + "\r\n9c40\r\n" + text.substr(60'000) +
                                  "\r\n1\r\n>\r\n0\r\n\r\n");
}

// The head is 5 bytes, so what follows is the size of the first chunk.
TEST_F(file_body_test, ReadsLessAtATimeWhenMemoryIsShort) {
    memory_budget budget(8 << 20);
    const budget_scope use(budget);
    const memory_charge most(7 << 20);
    const std::string text = numbered(100'000);
    const ended e = run(pass({.file = open(text), .pieces = {{0, text.size()}}}, {kind::chunked}));
    EXPECT_TRUE(e.end);
    EXPECT_EQ(e.got.text.substr(5, 6), "1000\r\n");
    EXPECT_GT(e.got.text.size(), text.size());
}

task<std::string> collect(file_source source) {
    stream<chunk> in = std::move(source).into_stream();
    std::string text;
    while (const auto item = co_await in.next()) text += item->text();
    co_return text;
}

TEST_F(file_body_test, IsAStreamToo) {
    const std::string text = numbered(200'000);
    EXPECT_TRUE(run(collect({.file = open(text), .pieces = {{1, 199'999, "<"}}, .after = ">"})) ==
                "<" + text.substr(1) + ">");
}

TEST_F(file_body_test, WhatTheFileHasNoMoreFailsAtTheSource) {
    for (const std::size_t promised : {101'000u, 5'000u}) { // by the kernel, and with the head
        const ended e = run(pass({open(numbered(promised - 1000)), {{0, promised}}}, {kind::length, promised}));
        ASSERT_FALSE(e.end);
        EXPECT_EQ(e.end.error().code, errc::premature_close);
        EXPECT_EQ(e.end.error().where, side::source);
        EXPECT_TRUE(e.got.cut);
        EXPECT_LT(e.got.text.size(), promised);
    }
    EXPECT_FALSE(try_run(collect({open("short"), {{0, 6}}})));
}

TEST_F(file_body_test, WhatTheFileHasGainedIsNotSent) {
    const ended e = run(pass({open(numbered(90'000)), {{0, 80'000}}}, {kind::length, 80'000}));
    EXPECT_TRUE(e.end);
    EXPECT_EQ(e.got.text.size(), 80'005u);
}

TEST_F(file_body_test, FailuresHaveTheirSide) {
    for (const auto& [error, where] : {std::pair(EIO, side::source), std::pair(EPIPE, side::sink)}) {
        sim().os.fail(call::send_file, error, 1, 1);
        const ended e = run(pass({open(numbered(400'000)), {{0, 400'000}}}, {kind::length, 400'000}));
        ASSERT_FALSE(e.end);
        EXPECT_EQ(e.end.error().code.value(), error);
        EXPECT_EQ(e.end.error().where, where);
        EXPECT_TRUE(e.got.cut);
    }
}

TEST_F(file_body_test, ASlowClientIsEndedByItsPace) {
    const std::string text = numbered(3'000'000);
    const auto end_of = [&](pace_limits pace, duration pause) {
        return run(pass({open(text), {{0, text.size()}}}, {kind::length, text.size()}, pace, pause)).end;
    };
    EXPECT_TRUE(end_of({.idle = 10s, .rate_min = 1'000, .rate_grace = 5s}, 1s)) << "slow, but not that slow";
    const outcome idle = end_of({.idle = 10s}, 1min);
    ASSERT_FALSE(idle);
    EXPECT_EQ(idle.error().code, errc::idle);
    EXPECT_EQ(idle.error().where, side::sink);
    const outcome slow = end_of({.idle = 1min, .rate_min = 1'000'000, .rate_grace = 5s}, 1s);
    ASSERT_FALSE(slow);
    EXPECT_EQ(slow.error().code, errc::idle);
}

} // namespace
} // namespace headgate::http
