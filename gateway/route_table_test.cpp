#include <gtest/gtest.h>

#include <gateway/route_table.hpp>

namespace headgate::gateway {
namespace {

constexpr std::size_t none = SIZE_MAX;

struct asked {
    std::string_view host = "example.org";
    std::string_view path = "/";
    std::string_view query = {};
    std::string_view method = "GET";
    std::vector<http::header> headers = {};
};

std::size_t route_of(const route_table& table, const asked& a) {
    http::header_list headers;
    for (const http::header& h : a.headers) headers.push_back(h);
    return table.find({a.host, a.path, a.query, a.method, &headers}).value_or(none);
}

TEST(route_table_test, AnExactPathComesBeforeALongerPrefixComesBeforeAShorter) {
    const route_table table({{.path_prefix = "/"},
                             {.path_prefix = "/api"},
                             {.path_prefix = "/api/v2/"},
                             {.path = "/api/v2/users"},
                             {.path = "/api/"}});
    EXPECT_EQ(route_of(table, {.path = "/"}), 0u);
    EXPECT_EQ(route_of(table, {.path = "/apis"}), 0u);
    EXPECT_EQ(route_of(table, {.path = "/api"}), 1u);
    EXPECT_EQ(route_of(table, {.path = "/api/"}), 4u);
    EXPECT_EQ(route_of(table, {.path = "/api/v1/users"}), 1u);
    EXPECT_EQ(route_of(table, {.path = "/api/v2"}), 2u);
    EXPECT_EQ(route_of(table, {.path = "/api/v2/x/y/z"}), 2u);
    EXPECT_EQ(route_of(table, {.path = "/api/v2/users"}), 3u);
    EXPECT_EQ(route_of(table, {.path = "/api/v2/users/"}), 2u);
    EXPECT_EQ(route_of(table, {.path = "*"}), none);
}

TEST(route_table_test, HostsComeBeforePaths) {
    const route_table table({{.path = "/x"},
                             {.hosts = {"*.example.org"}, .path_prefix = "/"},
                             {.hosts = {"*.eu.example.org"}},
                             {.hosts = {"API.example.org", "other.example.com"}, .path_prefix = "/x"},
                             {.hosts = {"[2001:db8::1]"}}});
    EXPECT_EQ(route_of(table, {.host = "example.org", .path = "/x"}), 0u) << "a wildcard is one label or more";
    EXPECT_EQ(route_of(table, {.host = "www.example.org", .path = "/x"}), 1u);
    EXPECT_EQ(route_of(table, {.host = "a.b.example.org"}), 1u);
    EXPECT_EQ(route_of(table, {.host = "a.eu.EXAMPLE.org"}), 2u);
    EXPECT_EQ(route_of(table, {.host = "api.example.org", .path = "/x/y"}), 3u);
    EXPECT_EQ(route_of(table, {.host = "api.example.org", .path = "/y"}), 1u) << "no path of the exact host fits";
    EXPECT_EQ(route_of(table, {.host = "api.example.org.", .path = "/x"}), 3u);
    EXPECT_EQ(route_of(table, {.host = "OTHER.example.com", .path = "/x"}), 3u);
    EXPECT_EQ(route_of(table, {.host = "other.example.com", .path = "/y"}), none);
    EXPECT_EQ(route_of(table, {.host = "[2001:DB8::1]"}), 4u);
    EXPECT_EQ(route_of(table, {.host = "evilexample.org", .path = "/y"}), none);
    EXPECT_EQ(route_of(table, {.host = std::string(400, 'a') + ".example.org", .path = "/x"}), 0u);
}

TEST(route_table_test, ThenMethodsFieldsAndParameters) {
    const route_table table({{.path_prefix = "/"},
                             {.path_prefix = "/", .methods = {"POST", "PUT"}},
                             {.path_prefix = "/", .headers = {{"X-Canary", "yes"}}},
                             {.path_prefix = "/", .headers = {{"x-canary", "yes"}, {"X-Debug", std::nullopt}}},
                             {.path_prefix = "/", .query = {{"beta flag", "a&b"}}},
                             {.path_prefix = "/", .query = {{"v", std::nullopt}}, .priority = -1}});
    EXPECT_EQ(route_of(table, {}), 0u);
    EXPECT_EQ(route_of(table, {.method = "PUT"}), 1u);
    EXPECT_EQ(route_of(table, {.method = "put"}), 0u) << "methods are case-sensitive";
    EXPECT_EQ(route_of(table, {.headers = {{"X-CANARY", "yes"}}}), 2u);
    EXPECT_EQ(route_of(table, {.headers = {{"X-Canary", "no"}}}), 0u);
    EXPECT_EQ(route_of(table, {.headers = {{"X-Canary", "no"}, {"X-Canary", "yes"}, {"x-debug", ""}}}), 3u);
    EXPECT_EQ(route_of(table, {.method = "POST", .headers = {{"X-Canary", "yes"}}}), 1u) << "a method comes first";
    EXPECT_EQ(route_of(table, {.query = "?beta+flag=a%26b"}), 4u);
    EXPECT_EQ(route_of(table, {.query = "?x=1&%62eta%20flag=a%26b&v"}), 4u) << "by priority";
    EXPECT_EQ(route_of(table, {.query = "?x=1&v"}), 5u);
    EXPECT_EQ(route_of(table, {.query = "?beta+flag=no&beta+flag=a%26b"}), 0u) << "the first of a name decides";
    EXPECT_EQ(route_of(table, {.query = "?"}), 0u);
}

using conflict = std::tuple<std::size_t, std::size_t, bool>;
std::vector<conflict> conflicts_of(const std::vector<route_match>& routes) {
    std::vector<conflict> all;
    for (const route_conflict& c : route_table::conflicts(routes)) all.emplace_back(c.first, c.second, c.unreachable);
    return all;
}

TEST(route_table_test, RoutesThatCannotBeToldApart) {
    using all = std::vector<conflict>;
    EXPECT_EQ(conflicts_of({{.path_prefix = "/api"}, {.path_prefix = "/api/"}}), (all{{0, 1, false}}));
    EXPECT_EQ(conflicts_of({{.path = "/a/../x"}, {.path = "/x"}}), (all{{0, 1, false}}));
    EXPECT_EQ(conflicts_of({{.path_prefix = "/"}, {}}), (all{{0, 1, false}}));
    EXPECT_EQ(conflicts_of({{.path = "/x"}, {.path_prefix = "/x"}}), all{});
    EXPECT_EQ(conflicts_of({{.hosts = {"a.org"}}, {.hosts = {"b.org", "A.org"}}}), (all{{0, 1, false}}));
    EXPECT_EQ(conflicts_of({{.hosts = {"a.org"}}, {}}), all{});
    EXPECT_EQ(conflicts_of({{.methods = {"GET"}}, {.methods = {"POST"}}}), all{});
    EXPECT_EQ(conflicts_of({{.methods = {"GET", "HEAD"}}, {.methods = {"HEAD"}}}), (all{{0, 1, false}}));
    EXPECT_EQ(conflicts_of({{.headers = {{"a", "1"}}}, {.headers = {{"A", "2"}}}}), all{});
    EXPECT_EQ(conflicts_of({{.headers = {{"a", "1"}}}, {.headers = {{"b", "2"}}}}), (all{{0, 1, false}}));
    EXPECT_EQ(conflicts_of({{.headers = {{"a", "1"}}}, {.query = {{"b", "2"}}}}), all{}) << "fields come first";
}

TEST(route_table_test, APriorityTellsThemApartUnlessOneIsNeverReached) {
    using all = std::vector<conflict>;
    EXPECT_EQ(conflicts_of({{.headers = {{"a", "1"}}, .priority = 1}, {.headers = {{"b", "2"}}}}), all{});
    EXPECT_EQ(conflicts_of({{.path = "/x"}, {.path = "/x", .priority = 1}}), (all{{1, 0, true}}));
    const route_match two{.path = "/x", .extensions = {".csv"}};
    EXPECT_EQ(conflicts_of({two, {.path = "/x.csv"}}), (all{{0, 1, false}}));
    EXPECT_EQ(conflicts_of({two, {.path = "/x.json"}, {.path_prefix = "/x"}}), all{});
    EXPECT_EQ(conflicts_of({two, {.path = "/x.csv", .priority = 1}}), all{}) << "it has the other one";
    EXPECT_EQ(conflicts_of({two, {.path = "/x.csv", .priority = -1}}), (all{{0, 1, true}}));
    EXPECT_EQ(conflicts_of({{.hosts = {"a.org", "b.org"}}, {.hosts = {"a.org"}, .priority = 1}}), all{});
    EXPECT_EQ(conflicts_of({{.methods = {"GET"}, .priority = 1}, {.methods = {"GET", "PUT"}}}), all{});
    EXPECT_EQ(conflicts_of({{.methods = {"GET", "PUT"}, .priority = 1}, {.methods = {"GET"}}}), (all{{0, 1, true}}));
}

TEST(route_table_test, HostsOfRoutes) {
    for (const char* good : {"example.org", "*.example.org", "127.0.0.1", "[::1]", "a_b"})
        EXPECT_TRUE(is_route_host(good));
    for (const char* bad : {"", "*", "*.", "a.*.org", "*a.org", "example.org:80", "a b", "*.[::1]", "http://a"})
        EXPECT_FALSE(is_route_host(bad)) << bad;
}

} // namespace
} // namespace headgate::gateway
