#include <headgate/core/sleep.hpp>
#include <headgate/testing/fixture.hpp>

#include <gateway/proxy.hpp>

// The end of listeners: what waits at them is served, not reset.
namespace headgate::gateway {
namespace {

std::shared_ptr<const snapshot> answering(std::string_view at, std::string body) {
    config c;
    c.listeners.push_back({.name = "web", .listen = *address::parse(at)});
    c.routes.push_back({.name = "all", .action = respond_action{.body = std::move(body)}});
    return std::make_shared<snapshot>(std::move(c));
}

class worker_test : public testing::simulated_test {
protected:
    worker_test() {
        server_options o;
        o.access_log.enabled = false;
        on.emplace(sim().home, o, nullptr);
    }
    void open(std::string_view at) {
        on->config().apply(answering(at, "first"));
        auto l = listener::open(*address::parse(at));
        ASSERT_TRUE(l);
        web.emplace(*on, std::string(at));
        on->start(std::move(*l), *web);
    }
    void TearDown() override {
        on.reset();
        web.reset();
        simulated_test::TearDown();
    }

    std::optional<worker> on;
    std::optional<proxy> web;
};

// What comes back for a request that was sent before `then` happens, when the worker has not yet seen the connection.
task<std::string> ask_before(std::string_view at, std::string_view request, void (*then)(worker&, proxy&), worker* on,
                             proxy* web) {
    kernel& os = loop::current().os();
    const address to = *address::parse(at);
    auto connecting = co_await connect(to);
    if (!connecting) co_return connecting.error().message();
    const iovec bytes{const_cast<char*>(request.data()), request.size()};
    os.write(connecting->fd(), &bytes, 1);
    then(*on, *web);
    std::string got;
    std::array<char, 4096> buffer;
    for (;;) {
        const auto n = co_await connecting->read_some(buffer, 10s);
        if (!n) co_return got + "|" + n.error().message();
        if (*n == 0) co_return got + "|end";
        got.append(buffer.data(), *n);
    }
}

constexpr std::string_view here = "127.0.0.1:80";
constexpr std::string_view get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

void drain(worker& on, proxy&) { on.drain(); }
void remove_listener(worker& on, proxy& web) {
    on.stop(web);
    on.config().apply(answering("127.0.0.1:81", "second"));
}

TEST_F(worker_test, WhatWaitsWhenItDrainsIsServed) {
    open(here);
    const auto got = sim().run(ask_before(here, get, &drain, &*on, &*web));
    ASSERT_TRUE(got);
    EXPECT_TRUE(got->contains("200 OK") && got->contains("Connection: close") && got->ends_with("first|end")) << *got;
}

TEST_F(worker_test, WhatWaitsAtAListenerThatIsRemovedIsServedByWhatWas) {
    open(here);
    const auto got = sim().run(ask_before(here, get, &remove_listener, &*on, &*web));
    ASSERT_TRUE(got);
    EXPECT_TRUE(got->contains("200 OK") && got->contains("Connection: close") && got->ends_with("first|end")) << *got;
    EXPECT_EQ(web->last, nullptr) << "nobody needs it any more";
}

TEST_F(worker_test, WhoSaysNothingIsLetGoSoon) {
    open(here);
    const time_point before = sim().home.now();
    const auto got = sim().run(ask_before(here, {}, &remove_listener, &*on, &*web));
    ASSERT_TRUE(got);
    EXPECT_EQ(*got, "|end");
    EXPECT_LE(sim().home.now() - before, 2s);
}

TEST_F(worker_test, RoutesThatStayTheSameKeepTheirLives) {
    config c;
    c.listeners.push_back({.name = "web", .listen = *address::parse(here)});
    c.upstreams.push_back({.name = "a", .endpoints = {{.where = {"h", 1}}}});
    c.upstreams.push_back({.name = "b", .endpoints = {{.where = {"h", 2}}}});
    const auto to = [](std::string upstream) { return proxy_action{.upstreams = {{std::move(upstream), 1}}}; };
    c.routes.push_back({.name = "one", .match = {.path_prefix = "/1"}, .action = to("a")});
    c.routes.push_back({.name = "two", .match = {.path_prefix = "/2"}, .action = to("a")});
    on->config().apply(std::make_shared<snapshot>(c));
    const auto before = on->config().now();

    c.routes[1].action = to("b");
    c.routes[0].name = "uno";
    std::get<proxy_action>(c.routes[0].action).options.request_body_max = 1;
    c.upstreams[0].endpoints[0].where.port = 3;
    std::swap(c.routes[0], c.routes[1]);
    on->config().apply(std::make_shared<snapshot>(c));
    const auto after = on->config().now();

    EXPECT_EQ(after->lives[1], before->lives[0]);
    EXPECT_NE(after->lives[0], before->lives[1]);
    const auto ended = [&] { return before->lives[1]->ended().aborted(); };
    EXPECT_FALSE(ended());
    ASSERT_TRUE(sim().run([](duration d) -> task<> { co_await sleep_for(d); }(on->options().drain_timeout)));
    EXPECT_TRUE(ended());
    EXPECT_FALSE(before->lives[0]->ended().aborted());
}

} // namespace
} // namespace headgate::gateway
