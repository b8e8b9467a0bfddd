#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <gateway/config/load.hpp>

namespace headgate::gateway {
namespace {

using ::testing::ElementsAre;

config_surroundings nothing_around() {
    return {.variable = [](const std::string&) { return std::nullopt; },
            .file = [](const std::string&) -> std::expected<std::string, std::string> {
                return std::unexpected("there are no files");
            }};
}

config read(std::string_view text) {
    auto c = read_config(text, "test.yaml", nothing_around());
    if (!c) ADD_FAILURE() << format_errors(c.error());
    return c ? std::move(c->value) : config{};
}

std::string errors_of(std::string_view text) {
    const auto c = read_config(text, "test.yaml", nothing_around());
    return c ? "no errors" : format_errors(c.error());
}

constexpr std::string_view shortest = R"(listeners: [{name: web, address: ":8080"}]
routes: [{match: {path_prefix: /api/}, proxy: {upstream: api}}]
upstreams: {api: {endpoints: ["127.0.0.1:9001", "127.0.0.1:9002"]}}
)";

TEST(LoadConfig, TakesTheShortestFile) {
    const config c = read(shortest);
    ASSERT_EQ(c.listeners.size(), 1u);
    EXPECT_EQ(c.listeners[0].name, "web");
    EXPECT_EQ(c.listeners[0].listen.text(), "0.0.0.0:8080");
    EXPECT_EQ(c.listeners[0].protocol, listener_protocol::http);
    ASSERT_EQ(c.routes.size(), 1u);
    EXPECT_EQ(c.routes[0].name, "route-1");
    EXPECT_EQ(c.routes[0].match.path_prefix, "/api/");
    const auto& p = std::get<proxy_action>(c.routes[0].action);
    EXPECT_THAT(p.upstreams, ElementsAre(weighted_upstream{"api", 1}));
    ASSERT_EQ(c.upstreams.size(), 1u);
    EXPECT_EQ(c.upstreams[0].name, "api");
    ASSERT_EQ(c.upstreams[0].endpoints.size(), 2u);
    EXPECT_EQ(c.upstreams[0].endpoints[1].where.text(), "127.0.0.1:9002");
    EXPECT_GE(c.server.workers, 1u);
}

TEST(LoadConfig, DefaultsAreThoseOfTheStructsThenOfTheFileThenOwn) {
    const config c = read(R"(
server: {drain_timeout: 3s, access_log: false, stream_buffer: 128KiB}
defaults:
  listener: {header_timeout: 5s, head_bytes_max: 32KiB}
  proxy: {first_byte_timeout: 10s, upgrades: [websocket], request_body_max: 1MiB}
  upstream: {connect_timeout: 1s}
listeners:
  - {name: a, address: ":1"}
  - {name: b, address: ":2", header_timeout: 500ms}
routes:
  - {listeners: [a], proxy: {upstream: x}}
  - {listeners: [b], proxy: {upstreams: [x, {upstream: y, weight: 3}], first_byte_timeout: 2m, request_body_max: none,
     upgrades: []}}
upstreams:
  x: {endpoints: ["[::1]:80"]}
  y: {endpoints: [{address: "host.example:80", weight: 5}], connect_timeout: 2s, idle_max: 0}
)");
    EXPECT_EQ(c.server.drain_timeout, 3s);
    EXPECT_FALSE(c.server.access_log.enabled);
    EXPECT_EQ(c.server.stream_buffer, 128u * 1024);
    EXPECT_EQ(c.server.splice_pipes_max, server_options{}.splice_pipes_max);
    EXPECT_EQ(c.server.alive.unconfirmed_max, 60s) << "the longest idle timeout";
    EXPECT_EQ(c.listeners[0].http.header_timeout, 5s);
    EXPECT_EQ(c.listeners[1].http.header_timeout, 500ms);
    EXPECT_EQ(c.listeners[1].http.heads.head_bytes_max, 32u * 1024);
    EXPECT_EQ(c.listeners[1].http.keep_alive_timeout, http_options{}.keep_alive_timeout);
    const auto& a = std::get<proxy_action>(c.routes[0].action);
    EXPECT_EQ(a.options.first_byte_timeout, 10s);
    EXPECT_EQ(a.options.request_body_max, 1u << 20);
    EXPECT_THAT(a.options.upgrades, ElementsAre("websocket"));
    const auto& b = std::get<proxy_action>(c.routes[1].action);
    EXPECT_EQ(b.options.first_byte_timeout, 2min);
    EXPECT_EQ(b.options.request_body_max, unlimited);
    EXPECT_THAT(b.options.upgrades, ElementsAre());
    EXPECT_THAT(b.upstreams, ElementsAre(weighted_upstream{"x", 1}, weighted_upstream{"y", 3}));
    EXPECT_EQ(c.upstreams[0].options.connect_timeout, 1s);
    EXPECT_EQ(c.upstreams[1].options.connect_timeout, 2s);
    EXPECT_EQ(c.upstreams[1].options.idle_max, 0u);
    EXPECT_EQ(c.upstreams[1].endpoints[0].weight, 5u);
}

TEST(LoadConfig, TellsAllThatIsWrongWithItsPlace) {
    const std::string all = errors_of(R"(listeners:
  - {name: web, adress: ":8080"}
routes:
  - match: {path_prefix: api}
    proxy: {upstrem: api, first_byte_timeout: 30}
upstreams:
  api: {endpoints: []}
)");
    EXPECT_EQ(all, R"(test.yaml:2:5: a listener needs the key 'address'
  2 |   - {name: web, adress: ":8080"}
    |     ^
test.yaml:2:17: 'adress' is not a key of a listener; did you mean 'address'?
  2 |   - {name: web, adress: ":8080"}
    |                 ^
test.yaml:4:26: 'api' is not a path, which begins with a slash and has no query, for example /api/
  4 |   - match: {path_prefix: api}
    |                          ^
test.yaml:5:12: proxy needs either of the keys 'upstream' or 'upstreams'
  5 |     proxy: {upstrem: api, first_byte_timeout: 30}
    |            ^
test.yaml:5:13: 'upstrem' is not a key of proxy; did you mean 'upstream'?
  5 |     proxy: {upstrem: api, first_byte_timeout: 30}
    |             ^
test.yaml:5:47: '30' needs a unit: write 30s, or ms, m or h
  5 |     proxy: {upstrem: api, first_byte_timeout: 30}
    |                                               ^
test.yaml:7:20: 'endpoints' is empty; it needs at least one item
  7 |   api: {endpoints: []}
    |                    ^
)");
}

} // namespace
} // namespace headgate::gateway
