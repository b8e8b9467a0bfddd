#include <headgate/http/parser.hpp>
#include <headgate/testing/fixture.hpp>

#include <array>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include <gateway/balancing.hpp>
#include <gateway/upstream.hpp>

namespace headgate::gateway {
namespace {

constexpr std::size_t nobody = SIZE_MAX;

using weights = std::array<std::uint32_t, 3>;

std::string turns(round_robin& r, const weights& w, std::vector<std::uint32_t> usable, int n,
                  std::size_t not_this = nobody) {
    std::string all;
    while (n-- != 0)
        all += static_cast<char>('a' + r.pick(usable, not_this, [&](std::size_t e) { return double(w[e]); }));
    return all;
}

TEST(round_robin_test, TurnsAreSpreadEvenly) {
    round_robin a(3), b(3);
    EXPECT_EQ(turns(a, {1, 1, 1}, {0, 1, 2}, 7), "abcabca");
    EXPECT_EQ(turns(b, {5, 1, 1}, {0, 1, 2}, 14), "aabacaaaabacaa");
}

TEST(round_robin_test, OnlyUsableOnesHaveTurns) {
    round_robin r(3);
    EXPECT_EQ(turns(r, {1, 1, 1}, {0, 2}, 4), "acac");
    EXPECT_EQ(turns(r, {1, 1, 1}, {0, 1, 2}, 3, 1).find('b'), std::string::npos);
}

TEST(hash_ring_test, AKeyStaysWhenAnotherEndpointGoes) {
    const std::array<std::string_view, 4> names{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"};
    const std::array<std::uint32_t, 4> weights{1, 1, 1, 1};
    const hash_ring ring(names, weights);
    std::array<int, 4> before{}, moved_to{};
    for (int i = 0; i < 10'000; ++i) {
        const std::uint64_t key = stable_hash("client " + std::to_string(i));
        const std::size_t home = *ring.find(key, [](std::size_t) { return true; });
        const std::size_t then = *ring.find(key, [](std::size_t e) { return e != 1; });
        ++before[home];
        if (home != 1)
            EXPECT_EQ(then, home);
        else
            ++moved_to[then];
    }
    for (const int n : before) EXPECT_NEAR(n, 2500, 600);
    EXPECT_EQ(moved_to[1], 0);
    for (const std::size_t e : {0u, 2u, 3u}) EXPECT_GT(moved_to[e], before[1] / 6) << "its keys are spread";
    EXPECT_EQ(ring.find(1, [](std::size_t) { return false; }), std::nullopt);
}

TEST(hash_ring_test, AnEndpointMoreTakesFewKeys) {
    const std::array<std::string_view, 5> names{"a:1", "b:1", "c:1", "d:1", "e:1"};
    const std::array<std::uint32_t, 5> weights{1, 1, 1, 1, 1};
    const hash_ring four(std::span(names).first(4), std::span(weights).first(4)), five(names, weights);
    int moved_between = 0;
    for (int i = 0; i < 10'000; ++i) {
        const std::uint64_t key = stable_hash(std::to_string(i));
        const auto any = [](std::size_t) { return true; };
        const std::size_t now = *five.find(key, any);
        moved_between += now != 4 && now != *four.find(key, any);
    }
    EXPECT_LT(moved_between, 1000) << "each has fewer points now, but at the same places";
}

TEST(hash_ring_test, WeightsAreKept) {
    const std::array<std::string_view, 2> names{"a:1", "b:1"};
    const std::array<std::uint32_t, 2> weights{3, 1};
    const hash_ring ring(names, weights);
    int first = 0;
    for (int i = 0; i < 10'000; ++i)
        first += *ring.find(stable_hash(std::to_string(i)), [](std::size_t) { return true; }) == 0;
    EXPECT_NEAR(first, 7500, 600);
}

pick_key key(hash_source on, std::string name, const std::string& fields, std::string_view client = "1.2.3.4") {
    const balancing_options b{.policy = balancing_policy::consistent_hash, .hash_on = on, .hash_name = std::move(name)};
    const std::string text = "GET / HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n";
    http::request_parser p;
    EXPECT_EQ(p.parse(text).state, http::parse_state::complete);
    return key_of(b, &p.head(), client);
}

TEST(pick_key_test, IsOfWhatIsAskedFor) {
    using enum hash_source;
    EXPECT_EQ(key(header, "X-User", "x-user: alice\r\n").hash, stable_hash("alice"));
    EXPECT_EQ(key(header, "X-User", "X-Users: alice\r\n").hash, std::nullopt);
    EXPECT_EQ(key(cookie, "sid", "Cookie: xsid=1; sid=two; sid=3\r\n").hash, stable_hash("two"));
    EXPECT_EQ(key(cookie, "sid", "Cookie: a=b\r\nCookie: sid=\r\n").hash, stable_hash(""));
    EXPECT_EQ(key(cookie, "sid", "Cookie: sid; =; ;;\r\n").hash, std::nullopt);
    EXPECT_EQ(key(client_address, "", "").hash, stable_hash("1.2.3.4"));
    EXPECT_EQ(key_of({}, nullptr, "1.2.3.4").hash, std::nullopt) << "another policy";
}

class balancing_test : public testing::simulated_test {
protected:
    // How many of a thousand picks each endpoint has.
    std::map<std::string, int> share(upstream& u, const endpoint_pool* not_this = nullptr) {
        std::map<std::string, int> shares;
        for (int i = 0; i < 1000; ++i) ++shares[std::string(u.pick({stable_hash(std::to_string(i))}, not_this).name())];
        return shares;
    }
    upstream_config three(balancing_policy p) {
        upstream_config c{.name = "x",
                          .endpoints = {{.where = {"a", 1}, .weight = 2},
                                        {.where = {"b", 1}, .weight = 1},
                                        {.where = {"c", 1}, .weight = 1},
                                        {.where = {"none", 1}, .weight = 0}}};
        c.options.balancing.policy = p;
        return c;
    }
};

constexpr balancing_policy policies[] = {balancing_policy::least_request, balancing_policy::round_robin,
                                         balancing_policy::random, balancing_policy::consistent_hash};

TEST_F(balancing_test, EveryPolicyHonoursWeightsHealthAndExclusion) {
    for (const balancing_policy p : policies) {
        SCOPED_TRACE(static_cast<int>(p));
        upstream u(three(p));
        auto shares = share(u);
        EXPECT_EQ(shares.size(), 3u);
        EXPECT_GT(shares["a:1"], shares["b:1"]);
        EXPECT_GT(shares["a:1"], shares["c:1"]);
        u.health().checked(0, false);
        shares = share(u);
        EXPECT_EQ(shares["a:1"], 0);
        EXPECT_GT(shares["b:1"], 300);
        EXPECT_GT(shares["c:1"], 300);
        endpoint_pool& b = u.pick({7}, nullptr);
        shares = share(u, &b);
        EXPECT_EQ(shares.size(), 1u);
        EXPECT_EQ(shares[std::string(b.name())], 0);
        u.health().checked(1, false);
        u.health().checked(2, false);
        EXPECT_EQ(share(u).size(), 3u) << "all are down, so all are used";
    }
}

TEST_F(balancing_test, TheOnlyOneIsGivenAlthoughItIsExcluded) {
    for (const balancing_policy p : policies) {
        upstream u(three(p));
        u.health().checked(1, false);
        u.health().checked(2, false);
        endpoint_pool& only = u.pick();
        EXPECT_EQ(&u.pick({}, &only), &only);
        EXPECT_EQ(&u.pick({123}, &only), &only);
    }
}

TEST_F(balancing_test, WithoutAKeyAHashIsRandom) {
    upstream u(three(balancing_policy::consistent_hash));
    std::map<std::string, int> shares;
    for (int i = 0; i < 1000; ++i) ++shares[std::string(u.pick().name())];
    EXPECT_EQ(shares.size(), 3u);
}

TEST_F(balancing_test, ACookieBringsAClientHome) {
    upstream_config c = three(balancing_policy::round_robin);
    c.options.sticky_cookie.name = "home";
    upstream u(c, {.key = {1, 2}});
    for (int i = 0; i < 3; ++i) {
        const endpoint_pool& e = u.pick();
        for (int n = 0; n < 5; ++n) EXPECT_EQ(&u.pick({.home = e.token()}), &e);
        EXPECT_EQ(u.cookie_for({.home = e.token()}, e, false), "");
        EXPECT_EQ(u.cookie_for({}, e, false), make_cookie(c.options.sticky_cookie, e.token(), false));
        EXPECT_NE(&u.pick({.home = e.token()}, &e), &e) << "it was excluded";
        u.health().checked(e.place(), false);
        EXPECT_NE(&u.pick({.home = e.token()}), &e) << "it is down";
        u.health().checked(e.place(), true);
    }
}

TEST_F(balancing_test, WhoComesBackBeginsWithATenthOfItsWeight) {
    for (const balancing_policy p :
         {balancing_policy::least_request, balancing_policy::round_robin, balancing_policy::random}) {
        SCOPED_TRACE(static_cast<int>(p));
        upstream_config c{.name = "x", .endpoints = {{.where = {"a", 1}}, {.where = {"b", 1}}}};
        c.options.balancing.policy = p;
        c.options.slow_start = 30s;
        upstream u(c);
        EXPECT_NEAR(share(u)["b:1"], 500, 60) << "all of them are new";
        u.health().checked(1, false, sim().os.now());
        sim().advance(1min);
        u.health().checked(1, true, sim().os.now());
        const bool by_weight = p != balancing_policy::least_request; // that compares loads, of which there are none
        const auto part = [&] { return share(u)["b:1"]; };
        const int at_first = part();
        if (by_weight) EXPECT_NEAR(at_first, 1000 * 0.1 / 1.1, 40);
        EXPECT_LT(at_first, 140);
        sim().advance(15s);
        if (by_weight) EXPECT_NEAR(part(), 1000 * 0.5 / 1.5, 60);
        sim().advance(15s);
        EXPECT_NEAR(part(), 500, 60);
    }
}

endpoint_target at(const std::string& host, std::uint32_t weight = 1, std::uint32_t priority = 0) {
    return {.where = {host, 1}, .authority = "x:1", .server_name = "x", .weight = weight, .priority = priority};
}

TEST_F(balancing_test, EndpointsComeAndGo) {
    for (const balancing_policy p : policies) {
        SCOPED_TRACE(static_cast<int>(p));
        upstream_config c{.name = "x", .endpoints = {{.where = {"name", 1}}, {.where = {"fixed", 1}}}};
        c.options.balancing.policy = p;
        upstream u(c);
        EXPECT_EQ(share(u).size(), 2u);
        u.replace(0, {at("1.1.1.1"), at("2.2.2.2", 2)});
        auto shares = share(u);
        EXPECT_EQ(shares.size(), 3u);
        EXPECT_EQ(shares["name:1"], 0);
        EXPECT_GT(shares["2.2.2.2:1"], shares["1.1.1.1:1"]);
        sim().advance(1ms);
        EXPECT_EQ(u.leaving(), 0u) << "nobody used it";
        for (int i = 0; i < 5; ++i) u.health().report(1, verdict::failure, sim().os.now());
        const std::size_t ejected = u.health().ejected();
        u.replace(0, {at("3.3.3.3"), at("1.1.1.1")});
        EXPECT_EQ(u.health().ejected(), ejected) << "who stays keeps its health";
        EXPECT_EQ(u.endpoints(), 3u);
        EXPECT_EQ(share(u).count("2.2.2.2:1"), 0u);
        u.replace(0, {});
        EXPECT_EQ(share(u)["fixed:1"], 1000);
    }
}

TEST_F(balancing_test, TheNextPriorityIsForWhenTheFirstIsGone) {
    upstream_config c{.name = "x", .endpoints = {{.where = {"name", 1}}}};
    upstream u(c);
    u.replace(0, {at("1.1.1.1", 1, 10), at("2.2.2.2", 1, 10), at("3.3.3.3", 1, 20)});
    EXPECT_EQ(share(u).size(), 2u);
    u.health().checked(0, false);
    EXPECT_EQ(share(u)["2.2.2.2:1"], 1000);
    u.health().checked(1, false);
    EXPECT_EQ(share(u)["3.3.3.3:1"], 1000);
    u.health().checked(2, false);
    EXPECT_EQ(share(u).size(), 3u) << "all are down, so all are used";
    u.health().checked(0, true);
    EXPECT_EQ(share(u)["1.1.1.1:1"], 1000);
}

} // namespace
} // namespace headgate::gateway
