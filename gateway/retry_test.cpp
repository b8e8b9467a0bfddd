#include <gtest/gtest.h>

#include <gateway/retry.hpp>
#include <gateway/units.hpp>

namespace headgate::gateway {
namespace {

retry_conditions on(std::initializer_list<std::string_view> names) {
    retry_conditions c;
    for (const std::string_view n : names) EXPECT_TRUE(add_retry_condition(c, n)) << n;
    return c;
}

TEST(RetryConditions, EachTakesItsOwnEnds) {
    const cause connects[] = {cause::upstream_refused, cause::upstream_unreachable, cause::upstream_connect_timeout};
    const cause resets[] = {cause::upstream_closed, cause::upstream_reset, cause::upstream_protocol};
    const cause timeouts[] = {cause::upstream_timeout, cause::upstream_idle};
    const struct {
        retry_conditions c;
        bool connect, reset, timeout;
    } cases[] = {{on({}), false, false, false},
                 {on({"connect_failure"}), true, false, false},
                 {on({"reset"}), false, true, false},
                 {on({"timeout"}), false, false, true},
                 {on({"gateway_error"}), true, true, true},
                 {on({"5xx"}), true, true, true},
                 {on({"503"}), false, false, false}};
    for (const auto& [c, connect, reset, timeout] : cases) {
        for (const cause w : connects) EXPECT_EQ(asks_for_retry(c, w), connect) << to_string(w);
        for (const cause w : resets) EXPECT_EQ(asks_for_retry(c, w), reset) << to_string(w);
        for (const cause w : timeouts) EXPECT_EQ(asks_for_retry(c, w), timeout) << to_string(w);
        for (const cause w : {cause::upstream_busy, cause::overloaded, cause::client_reset, cause::drained})
            EXPECT_FALSE(asks_for_retry(c, w)) << to_string(w);
    }
}

TEST(RetryConditions, Statuses) {
    const auto taken = [](const retry_conditions& c) {
        std::string all;
        for (const int s : {200, 404, 429, 500, 502, 503, 504, 505, 599})
            if (asks_for_retry(c, s)) all += std::to_string(s) + " ";
        return all;
    };
    EXPECT_EQ(taken(on({})), "");
    EXPECT_EQ(taken(on({"connect_failure", "reset", "timeout"})), "");
    EXPECT_EQ(taken(on({"gateway_error"})), "502 503 504 ");
    EXPECT_EQ(taken(on({"5xx"})), "500 502 503 504 505 599 ");
    EXPECT_EQ(taken(on({"429", "500-502"})), "429 500 502 ");
}

TEST(RetryConditions, AreWrittenAsTheyAreRead) {
    const std::vector<std::string> names{"connect_failure", "reset", "timeout", "gateway_error", "5xx", "429",
                                         "500-502"};
    retry_conditions c;
    for (const std::string& n : names) EXPECT_TRUE(add_retry_condition(c, n));
    EXPECT_EQ(format_retry_conditions(c), names);
    for (const std::string_view wrong : {"", "4xx", "200", "600", "503-502", "5xx "})
        EXPECT_FALSE(add_retry_condition(c, wrong)) << wrong;
}

TEST(BackOff, IsAnyPartOfATimeThatDoublesUpToItsLimit) {
    const retry_options o{.base_interval = 100ms, .max_interval = 350ms};
    choice chance(1);
    const struct {
        std::uint32_t n;
        duration longest;
    } cases[] = {{1, 100ms}, {2, 200ms}, {3, 350ms}, {4, 350ms}, {1'000'000, 350ms}};
    for (const auto& [n, longest] : cases) {
        duration least = forever, most{};
        for (int i = 0; i < 1000; ++i) {
            const duration d = back_off(o, n, chance);
            least = std::min(least, d);
            most = std::max(most, d);
        }
        EXPECT_LT(least, longest / 20) << n;
        EXPECT_GT(most, longest * 19 / 20) << n;
        EXPECT_LE(most, longest) << n;
    }
}

std::optional<duration> said(std::string_view value) {
    http::response_head head;
    head.headers.emplace_back("Retry-After", value, http::lookup_field("retry-after"));
    return retry_after(head);
}

TEST(RetryAfter, SecondsOrADate) {
    EXPECT_EQ(said("2"), 2s);
    EXPECT_EQ(said("0"), 0s);
    EXPECT_EQ(said("Sun, 06 Nov 1994 08:49:37 GMT"), 0s);
    EXPECT_GT(said("Fri, 31 Dec 2100 23:59:59 GMT"), 24h);
    for (const std::string_view wrong : {"", "soon", "-1", "2s", "99999999999", "Sun, 06 Nov 1994 08:49:37 GMT+1"})
        EXPECT_EQ(said(wrong), std::nullopt) << wrong;
    EXPECT_EQ(retry_after(http::response_head()), std::nullopt);
}

TEST(RetryBudget, IsAShareOfWhatIsInProgressButAlwaysSome) {
    retry_budget b({.budget_percent = 20, .min_retry_concurrency = 2});
    std::vector<std::unique_ptr<retry_budget::share>> all;
    const auto retries = [&] {
        for (const auto& s : all) s->begin_retry();
        return b.retries();
    };
    for (int i = 0; i < 10; ++i) all.push_back(std::make_unique<retry_budget::share>(b));
    EXPECT_EQ(retries(), 2u);
    for (int i = 0; i < 10; ++i) all.push_back(std::make_unique<retry_budget::share>(b));
    EXPECT_EQ(retries(), 4u);
    EXPECT_TRUE(all.front()->begin_retry()) << "it is one already";
    EXPECT_FALSE(all.back()->begin_retry());
    all.front()->end_retry();
    EXPECT_TRUE(all.back()->begin_retry());
    all.clear();
    EXPECT_EQ(b.active(), 0u);
    EXPECT_EQ(b.retries(), 0u);
}

TEST(RetryBudget, ARequestThatGoesElsewhereCountsThere) {
    retry_budget a({}), b({});
    {
        retry_budget::share s(a);
        EXPECT_TRUE(s.begin_retry());
        s.move_to(b);
        EXPECT_EQ(a.active() + a.retries() + b.retries(), 0u);
        EXPECT_EQ(b.active(), 1u);
    }
    EXPECT_EQ(b.active(), 0u);
}

} // namespace
} // namespace headgate::gateway
