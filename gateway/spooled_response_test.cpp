#include <headgate/core/sleep.hpp>
#include <headgate/io/spool.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/limits.hpp>
#include <headgate/testing/temporary_folder.hpp>
#include <headgate/testing/tools.hpp>

#include <gateway/observe/flow_survey.hpp>
#include <gateway/proxy.hpp>

// Responses that are read ahead of their clients: when the upstream has given its last byte its connection is free.
namespace headgate::gateway {
namespace {

using testing::body_bytes;

constexpr std::string_view here_text = "127.0.0.1:80";
constexpr std::size_t kib = 1024;
constexpr std::size_t large = 1'500'000; // more than sockets take

std::string whole(const std::string& fields, std::size_t bytes) {
    return "HTTP/1.1 200 OK\r\n" + fields + "\r\n" + body_bytes(1, 0, bytes);
}
std::string with_length(std::size_t bytes) { return whole("Content-Length: " + std::to_string(bytes) + "\r\n", bytes); }
std::string chunked(std::size_t bytes) {
    std::string out = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n";
    for (std::size_t at = 0; at < bytes; at += 4096) out += "1000\r\n" + body_bytes(1, at, 4096) + "\r\n";
    return out + "0\r\nX-Sum: 7\r\n\r\n";
}

task<> look(const flow_registry* at, flow_page* seen) { *seen = co_await survey(at, {}); }

class spooled_response_test : public testing::simulated_test {
protected:
    spooled_response_test() {
        server_options o;
        o.access_log.enabled = false;
        on.emplace(sim().home, o, nullptr);
        apply();
        auto l = listener::open(*address::parse(here_text));
        web.emplace(*on, std::string(here_text));
        on->start(std::move(*l), *web);
        origin.emplace(*listener::open(*address::parse("127.0.0.1:9000")));
    }
    void TearDown() override {
        everybody.clear();
        on.reset();
        web.reset();
        origin.reset();
        simulated_test::TearDown();
    }

    // What is served from now on, by one connection at a time to the upstream.
    void apply(void (*change)(config&) = [](config&) {}) {
        config c;
        c.server.spool.directory = folder / "";
        c.listeners.push_back({.name = "web", .listen = *address::parse(here_text)});
        c.upstreams.push_back({.name = "u", .endpoints = {{.where = {"127.0.0.1", 9000}}}});
        c.upstreams[0].options.connections_max = 1;
        proxy_action a{.upstreams = {{.upstream = "u"}}};
        a.options.response = {.buffering = response_buffering::spool, .spool_memory = 64 * kib, .spool_disk = 4 << 20};
        c.routes.push_back({.name = "all", .action = std::move(a)});
        change(c);
        on->config().apply(
            std::make_shared<snapshot>(std::move(c), on->config().now() ? &*on->config().now()->shared : nullptr));
    }

    // Gives these answers, on any connection; each one whole before it hears of another request.
    void answer(std::vector<std::string> texts, bool then_closes = false) {
        answers = std::move(texts);
        everybody.spawn(serve(this, then_closes));
    }
    static task<> serve(spooled_response_test* t, bool closes) {
        std::size_t next = 0;
        while (next < t->answers.size()) {
            auto a = co_await t->origin->accept();
            if (!a) co_return;
            ++t->connected;
            std::array<char, 10'000> buffer;
            while (next < t->answers.size()) {
                const auto n = co_await a->connection.read_some(buffer);
                if (!n || *n == 0) {
                    t->origin_end = n ? "end" : n.error().message();
                    break;
                }
                const auto said = co_await a->connection.write_all(t->answers[next]);
                if (!said) t->origin_end = said.error().message();
                ++next;
                if (closes || !said) break;
            }
            if (!closes && a->connection) {
                const auto n = co_await a->connection.read_some(buffer);
                t->origin_end = n ? "end" : n.error().message();
            }
        }
    }

    // A client that asks, and reads when it is told to; then to the end of the connection.
    struct visitor {
        std::string got{};
        std::string end{};
        bool leaves = false; // when it is told to read
        abort_source reads{};
    };
    void ask(visitor& v, std::string text = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") {
        everybody.spawn(visit(&v, std::move(text)));
        sim().advance(10ms);
    }
    static task<> visit(visitor* v, std::string text) {
        auto s = co_await connect(*address::parse(here_text));
        if (!s || !co_await s->write_all(text)) co_return;
        co_await v->reads.signal().wait();
        if (v->leaves) co_return s->reset();
        std::array<char, 50'000> buffer;
        for (;;) {
            const auto n = co_await s->read_some(buffer);
            if (!n || *n == 0) {
                v->end = n ? "end" : n.error().message();
                break;
            }
            v->got.append(buffer.data(), *n);
        }
    }
    std::string_view body_of(const visitor& v) { return std::string_view(v.got).substr(v.got.find("\r\n\r\n") + 4); }

    live_counts live() { return on->live(); }
    std::size_t on_disk() { return on->config().now()->shared->spool_levels()[0].used; }

    testing::temporary_folder folder;
    std::optional<worker> on;
    std::optional<proxy> web;
    std::optional<listener> origin;
    std::vector<std::string> answers;
    std::size_t connected = 0;
    std::string origin_end;
    nursery everybody;
};

TEST_F(spooled_response_test, TheUpstreamIsFreeWhileTheClientStandsStill) {
    answer({with_length(large), with_length(3000), with_length(large)});
    visitor slow, quick, last;
    ask(slow);
    sim().advance(1s);
    EXPECT_EQ(live().requests, 1u);
    EXPECT_EQ(live().upstream_busy, 0u);
    EXPECT_EQ(live().upstream_idle, 1u);
    EXPECT_GT(on_disk(), 500'000u);
    const auto levels = on->config().now()->shared->spool_levels();
    ASSERT_EQ(levels.size(), 2u);
    EXPECT_EQ(levels[1].route, "all");
    EXPECT_EQ(levels[1].used, levels[0].used);
    EXPECT_EQ(levels[1].limit, unlimited);
    EXPECT_EQ(on->config().now()->upstreams[0]->budget().active(), 0u);
    flow_page seen;
    nursery looking;
    looking.spawn(look(&on->flows, &seen));
    sim().advance(10ms);
    ASSERT_EQ(seen.flows.size(), 1u);
    EXPECT_FALSE(seen.flows[0].holding);
    EXPECT_LT(*seen.flows[0].hold, 500ms);
    EXPECT_GT(seen.flows[0].age, 900ms);
    EXPECT_GT(seen.flows[0].held.held, 500'000u);

    ask(quick);
    quick.reads.abort();
    sim().advance(1s);
    EXPECT_EQ(body_of(quick), body_bytes(1, 0, 3000)) << "by the upstream's only connection";
    slow.reads.abort();
    sim().advance(10s);
    EXPECT_EQ(slow.end, "end");
    EXPECT_EQ(body_of(slow), body_bytes(1, 0, large));
    ask(last);
    last.reads.abort();
    sim().advance(10s);
    EXPECT_EQ(body_of(last), body_bytes(1, 0, large));
    EXPECT_EQ(connected, 1u);
    EXPECT_EQ(on_disk(), 0u);
    EXPECT_EQ(live().requests, 0u);
    EXPECT_EQ(live().buffer_bytes, 0u);
}

TEST_F(spooled_response_test, ChunksKeepTheirTrailers) {
    answer({chunked(409'600), with_length(10)});
    visitor v, other;
    ask(v, "GET / HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nConnection: close\r\n\r\n");
    sim().advance(1s);
    EXPECT_EQ(live().upstream_idle, 1u);
    v.reads.abort();
    sim().advance(1s);
    EXPECT_TRUE(v.got.ends_with("\r\n0\r\nX-Sum: 7\r\n\r\n")) << v.got.substr(v.got.size() - 50);
    EXPECT_EQ(v.end, "end");
    ask(other);
    other.reads.abort();
    sim().advance(1s);
    EXPECT_EQ(body_of(other), body_bytes(1, 0, 10));
    EXPECT_EQ(connected, 1u);
}

TEST_F(spooled_response_test, AResponseThatEndsWithItsConnection) {
    answer({whole("", large)}, true);
    visitor v;
    ask(v);
    sim().advance(1s);
    EXPECT_EQ(live().upstream_busy + live().upstream_idle, 0u);
    EXPECT_EQ(live().requests, 1u);
    v.reads.abort();
    sim().advance(10s);
    EXPECT_EQ(v.end, "end");
    EXPECT_EQ(body_of(v), body_bytes(1, 0, large));
}

// With its head alone, after which nothing comes for a while.
TEST_F(spooled_response_test, TheHeadDoesNotWaitForTheBody) {
    answer({"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"});
    visitor v;
    v.reads.abort();
    ask(v);
    sim().advance(1s);
    EXPECT_TRUE(v.got.starts_with("HTTP/1.1 200 OK\r\n") && v.got.ends_with("\r\n\r\n")) << v.got;
    EXPECT_EQ(live().upstream_busy, 1u);
}

TEST_F(spooled_response_test, ResponsesWithoutABody) {
    answer({"HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"});
    const std::string get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    const std::string head = "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n";
    visitor v;
    v.reads.abort();
    ask(v, get + get + head + head + "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    sim().advance(1s);
    std::size_t answered = 0;
    for (std::size_t at = 0; (at = v.got.find("HTTP/1.1 ", at)) != std::string::npos; ++at) ++answered;
    EXPECT_EQ(answered, 5u) << v.got;
    EXPECT_TRUE(v.got.ends_with("\r\n\r\n"));
    EXPECT_EQ(v.end, "end");
    EXPECT_EQ(connected, 1u);
}

TEST_F(spooled_response_test, CompressedOnTheWay) {
    apply([](config& c) { std::get<proxy_action>(c.routes[0].action).options.compression.algorithms = {"gzip"}; });
    answer({whole("Content-Type: text/plain\r\nContent-Length: 1500000\r\n", large)});
    visitor v;
    ask(v, "GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n");
    sim().advance(1s);
    EXPECT_EQ(live().upstream_idle, 1u);
    EXPECT_EQ(live().requests, 1u);
    v.reads.abort();
    sim().advance(10s);
    EXPECT_TRUE(v.got.contains("Content-Encoding: gzip"));
    EXPECT_TRUE(v.got.ends_with("\r\n0\r\n\r\n"));
}

TEST_F(spooled_response_test, WhatAnUpstreamBreaksIsBrokenForTheClient) {
    answer({whole("Content-Length: 2000000\r\n", large)}, true);
    visitor v;
    ask(v);
    sim().advance(1s);
    EXPECT_EQ(live().upstream_busy + live().requests, 0u) << "at once, whatever the client does";
    EXPECT_EQ(on_disk(), 0u);
    v.reads.abort();
    sim().advance(1s);
    EXPECT_NE(v.end, "end") << "it is a reset";
    EXPECT_LT(body_of(v).size(), large);
}

TEST_F(spooled_response_test, AClientThatLeavesEndsTheUpstreamAtOnce) {
    answer({whole("Content-Length: 100000000\r\n", large)});
    visitor v;
    v.leaves = true;
    ask(v);
    sim().advance(1s);
    EXPECT_EQ(live().upstream_busy, 1u);
    EXPECT_GT(on_disk(), 0u);
    EXPECT_EQ(origin_end, "");
    v.reads.abort();
    sim().advance(10ms);
    EXPECT_EQ(live().upstream_busy + live().requests, 0u);
    EXPECT_EQ(on_disk(), 0u);
    EXPECT_EQ(origin_end, std::error_code(ECONNRESET, std::system_category()).message());
}

TEST_F(spooled_response_test, AClientThatLeavesAfterTheUpstreamCostsThatNothing) {
    answer({with_length(large), with_length(10)});
    visitor v, other;
    v.leaves = true;
    ask(v);
    sim().advance(1s);
    v.reads.abort();
    sim().advance(10ms);
    EXPECT_EQ(live().requests, 0u);
    EXPECT_EQ(live().upstream_idle, 1u);
    EXPECT_EQ(on_disk(), 0u);
    ask(other);
    other.reads.abort();
    sim().advance(1s);
    EXPECT_EQ(body_of(other), body_bytes(1, 0, 10));
    EXPECT_EQ(connected, 1u);
}

TEST_F(spooled_response_test, AClientThatStandsStillIsReset) {
    answer({with_length(large)});
    visitor v;
    ask(v);
    sim().advance(59s);
    EXPECT_EQ(live().requests, 1u);
    sim().advance(30s);
    EXPECT_EQ(live().requests, 0u);
    EXPECT_EQ(on_disk(), 0u);
    v.reads.abort();
    sim().advance(1s);
    EXPECT_NE(v.end, "end");
}

TEST_F(spooled_response_test, AReloadInTheMiddleChangesNothingForWhatHasBegun) {
    answer({with_length(large)});
    visitor v;
    ask(v);
    sim().advance(1s);
    const std::size_t before = on_disk();
    EXPECT_GT(before, 0u);
    apply([](config& c) {
        c.upstreams[0].endpoints[0].where.port = 9001;
        std::get<proxy_action>(c.routes[0].action).options.response.buffering = response_buffering::none;
    });
    EXPECT_EQ(on_disk(), before) << "it is still counted";
    sim().advance(1s);
    v.reads.abort();
    sim().advance(10s);
    EXPECT_EQ(v.end, "end");
    EXPECT_EQ(body_of(v), body_bytes(1, 0, large));
    EXPECT_EQ(on_disk(), 0u);
}

TEST_F(spooled_response_test, WhatDrainsHasItsTimeAndIsThenReset) {
    answer({with_length(large), with_length(large)});
    visitor v;
    ask(v);
    sim().advance(1s);
    on->drain();
    EXPECT_EQ(live().requests, 1u);
    on->abort();
    sim().advance(1ms);
    EXPECT_EQ(live().requests, 0u);
    EXPECT_EQ(on_disk(), 0u);
    v.reads.abort();
    sim().advance(1s);
    EXPECT_NE(v.end, "end");
}

TEST_F(spooled_response_test, ADiskThatIsFullAndAQuotaThatIsHoldTheUpstreamBack) {
    answer({with_length(large), with_length(large), with_length(large)});
    for (const int which : {0, 1, 2}) {
        std::optional<testing::file_size_limit> full_disk;
        std::optional<testing::descriptors_left> no_descriptors;
        if (which == 0) full_disk.emplace(1000);
        if (which == 1) no_descriptors.emplace(0);
        if (which == 2) apply([](config& c) { c.routes[0].spool_disk_limit = 100 * kib; });
        visitor v;
        ask(v);
        sim().advance(5s);
        EXPECT_EQ(live().upstream_busy, 1u) << "its last byte has not come";
        EXPECT_LE(on_disk(), which == 2 ? 100 * kib : 4 * kib);
        EXPECT_LT(live().buffer_bytes, 300 * kib);
        full_disk.reset();
        no_descriptors.reset();
        v.reads.abort();
        sim().advance(10s);
        EXPECT_EQ(v.end, "end");
        EXPECT_EQ(body_of(v), body_bytes(1, 0, large));
        EXPECT_EQ(on_disk(), 0u);
    }
}

TEST_F(spooled_response_test, ALimitOfTheRateIsTheClients) {
    apply([](config& c) { std::get<proxy_action>(c.routes[0].action).options.response_rate_max = 100'000; });
    answer({with_length(500'000)});
    visitor v;
    v.reads.abort();
    ask(v);
    sim().advance(1s);
    EXPECT_EQ(live().upstream_idle, 1u);
    EXPECT_NEAR(static_cast<double>(body_of(v).size()), 100'000, 20'000);
    sim().advance(5s);
    EXPECT_EQ(body_of(v), body_bytes(1, 0, 500'000));
}

TEST_F(spooled_response_test, AnUploadThatGoesOnKeepsItsConnection) {
    answer({with_length(large)});
    visitor v;
    ask(v, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nthe beginning");
    sim().advance(1s);
    EXPECT_EQ(live().upstream_busy, 1u);
    v.reads.abort();
    sim().advance(5s);
    EXPECT_EQ(body_of(v), body_bytes(1, 0, large));
    EXPECT_EQ(live().upstream_busy + live().upstream_idle, 0u);
}

} // namespace
} // namespace headgate::gateway
