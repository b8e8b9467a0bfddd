#include <headgate/core/abort_watch.hpp>
#include <headgate/core/sleep.hpp>
#include <headgate/io/listener.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/suspensions.hpp>

#include <gtest/gtest.h>

#include <gateway/health_check.hpp>
#include <gateway/upstream.hpp>

namespace headgate::gateway {
namespace {

// Answers one thing per connection, and keeps what it was asked.
struct origin {
    std::string text = "HTTP/1.1 204 No Content\r\n\r\n"; // empty: nothing, ever
    std::string asked{};
    std::size_t connections = 0;
};

task<> serve_one(socket s, origin* o) {
    std::array<char, 1000> buffer;
    const auto n = co_await s.read_some(buffer);
    if (!n || *n == 0) co_return;
    o->asked = std::string(buffer.data(), *n);
    if (o->text.empty()) co_await sleep_for(forever);
    for (const char c : o->text) // in many pieces
        if (!co_await s.write_all(std::string_view(&c, 1))) co_return;
    static_cast<void>(co_await s.read_some(buffer));
}

task<> serve(origin* o, nursery* served, listener l) {
    for (;;) {
        auto a = co_await l.accept();
        if (!a) co_return;
        ++o->connections;
        served->spawn(serve_one(std::move(a->connection), o));
    }
}

listener open_at(std::uint16_t port) {
    return std::move(*listener::open(*address::parse("127.0.0.1:" + std::to_string(port))));
}

upstream_config two_endpoints(health_check_options o) {
    upstream_config c{.name = "x", .endpoints = {{.where = {"127.0.0.1", 9001}}, {.where = {"127.0.0.1", 9002}}}};
    c.options.health_check = std::move(o);
    return c;
}

class health_check_test : public testing::simulated_test {
protected:
    void start(health_check_options o) {
        stop();
        listen(0);
        listen(1);
        to_.emplace(two_endpoints(std::move(o)));
        to_->start();
    }
    void stop() {
        to_.reset();
        kill(0);
        kill(1);
    }
    void listen(std::size_t i) {
        servers_[i].spawn(serve(&origins_[i], &served_[i], open_at(static_cast<std::uint16_t>(9001 + i))));
    }
    void kill(std::size_t i) {
        servers_[i].clear();
        served_[i].clear();
    }
    std::string used() {
        std::string all;
        for (const std::uint32_t i : to_->health().usable(sim().os.now())) all += std::to_string(i);
        return all;
    }

    origin origins_[2];
    nursery served_[2];
    nursery servers_[2];
    std::optional<upstream> to_;
};

constexpr auto http = health_check_type::http;
constexpr auto tcp = health_check_type::tcp;

TEST_F(health_check_test, AnEndpointIsUpUntilSeveralChecksHaveFailedAndDownUntilSeveralHavePassed) {
    for (const auto type : {http, tcp}) {
        start({.type = type});
        kill(1);
        sim().advance(10s + 2ms); // one check
        EXPECT_EQ(used(), "01");
        sim().advance(10s);
        EXPECT_EQ(used(), "01");
        sim().advance(10s);
        EXPECT_EQ(used(), "0");
        listen(1);
        sim().advance(10s);
        EXPECT_EQ(used(), "0");
        sim().advance(10s);
        EXPECT_EQ(used(), "01");
    }
}

TEST_F(health_check_test, WhatIsAsked) {
    start({.type = http, .path = "/healthy?", .host = "api.example.org"});
    sim().advance(10s + 2ms);
    EXPECT_EQ(origins_[0].asked, "GET /healthy? HTTP/1.1\r\nHost: api.example.org\r\nUser-Agent: headgate\r\n"
                                 "Connection: close\r\n\r\n");
    start({.type = http});
    sim().advance(10s + 2ms);
    EXPECT_TRUE(origins_[1].asked.starts_with("GET / HTTP/1.1\r\nHost: 127.0.0.1:9002\r\n")) << origins_[1].asked;
}

TEST_F(health_check_test, WhatPassesAndWhatDoesNot) {
    const struct {
        std::string text;
        bool passes;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", true},
        {"HTTP/1.1 399 Odd\r\nContent-Length: 0\r\n\r\n", true},
        {"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", true},
        {"HTTP/1.1 400 Bad Request\r\n\r\n", false},
        {"HTTP/1.1 503 Service Unavailable\r\n\r\n", false},
        {"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 500 No\r\n\r\n", false},
        {"SSH-2.0-OpenSSH_9.2\r\n", false},
        {"HTTP/1.1 200 OK\r\n" + std::string(100'000, 'x'), false},
        {"", false}, // never
    };
    for (const auto& c : cases) {
        origins_[1].text = c.text;
        start({.type = http, .unhealthy_threshold = 1});
        sim().advance(13s);
        EXPECT_EQ(used(), c.passes ? "01" : "0") << c.text.substr(0, 60);
    }
}

TEST_F(health_check_test, TheStatusesAreTheOperators) {
    origins_[1].text = "HTTP/1.1 401 Unauthorized\r\n\r\n";
    start({.type = http, .expected_statuses = {200, 401}, .unhealthy_threshold = 1});
    sim().advance(20s);
    EXPECT_EQ(used(), "01");
}

TEST_F(health_check_test, AnAnswerThatIsTooLateIsNone) {
    start({.type = http, .timeout = 2s, .unhealthy_threshold = 1});
    sim().os.options().latency_to_listener = sim().os.options().latency_to_connector = 600ms; // 1.8 s in all
    sim().advance(15s);
    EXPECT_EQ(used(), "01");
    sim().os.options().latency_to_listener = sim().os.options().latency_to_connector = 750ms;
    sim().advance(15s);
    sim().os.options().latency_to_listener = sim().os.options().latency_to_connector = 0ms;
    EXPECT_EQ(to_->health().usable(sim().os.now()).size(), 2u) << "all are down, so all are used";
    EXPECT_FALSE(to_->health().well(0));
    EXPECT_FALSE(to_->health().well(1));
}

TEST_F(health_check_test, OurOwnWantOfDescriptorsSaysNothingAboutAnEndpoint) {
    start({.type = tcp, .unhealthy_threshold = 1});
    sim().os.fail(call::socket, EMFILE, 4);
    sim().advance(1min);
    EXPECT_GT(sim().os.calls(call::socket), 4u);
    EXPECT_TRUE(to_->health().well(0));
    sim().os.fail(call::connect, ENETUNREACH, 1000);
    sim().advance(1min);
    EXPECT_FALSE(to_->health().well(0));
}

TEST_F(health_check_test, ChecksAreSpreadAndEndWithRetirement) {
    start({.type = tcp});
    sim().advance(10s + 2ms);
    EXPECT_EQ(origins_[0].connections, 1u);
    sim().advance(90s);
    EXPECT_GE(origins_[0].connections, 9u);
    EXPECT_LE(origins_[0].connections, 11u);
    to_->retire();
    const std::size_t until = origins_[0].connections;
    sim().advance(10min);
    EXPECT_EQ(origins_[0].connections, until);
}

// The flow's surroundings, owned by it.
struct checked {
    explicit checked(health_check_options o) : to(two_endpoints(std::move(o))) {}
    listener doors[2] = {open_at(9001), open_at(9002)};
    upstream to;
};

task<> answer_once(listener* l, origin* o) {
    auto a = co_await l->accept();
    if (!a) co_return;
    co_await serve_one(std::move(a->connection), o);
}

task<outcome> until_checked(testing::trial* t, std::unique_ptr<checked> c) {
    place& at = co_await here();
    const abort_watch watch(t->abort(), at);
    c->to.start();
    for (int i = 0; i < 20'000 && (c->to.health().well(0) || c->to.health().well(1)); ++i) co_await sleep_for(1ms);
    if (c->to.health().well(0)) co_await fail(errc::failed, "never checked");
    co_return transfer{};
}

TEST(health_check_suspensions_test, NothingIsLeftOfAChecker) {
    static origin sorry{.text = "HTTP/1.1 503 No\r\n\r\n"};
    testing::suspension_options o;
    o.names_cause = false; // a check for which there is no memory is followed by another
    const auto report = testing::at_every_suspension(
        [](testing::trial& t) {
            auto c = std::make_unique<checked>(
                health_check_options{.type = http, .interval = 20ms, .timeout = 5ms, .unhealthy_threshold = 1});
            t.beside(answer_once(&c->doors[0], &sorry)); // the other never answers
            return until_checked(&t, std::move(c));
        },
        o);
    EXPECT_TRUE(report.ok()) << report;
    EXPECT_GT(report.points, 10u);
}

} // namespace
} // namespace headgate::gateway
