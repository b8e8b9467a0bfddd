#include <headgate/io/networks.hpp>

#include <atomic>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include <gateway/policy/policies.hpp>

namespace headgate::gateway {
namespace {

using namespace std::chrono_literals;

const time_point start = time_point() + 1000h;

rate_limiter::key ip(std::string_view text) { return key_of_client(*parse_ip(text)); }

TEST(RateLimit, ABurstAndThenTheRate) {
    rate_limiter l({.requests = 10, .per = 1s, .burst = 3});
    const auto k = ip("192.0.2.1");
    time_point now = start;
    for (const std::uint64_t left : {2, 1, 0}) {
        const auto v = l.take(k, now);
        EXPECT_TRUE(v.admitted);
        EXPECT_EQ(v.remaining, left);
    }
    auto v = l.take(k, now);
    EXPECT_FALSE(v.admitted);
    EXPECT_EQ(v.next, 100ms);
    EXPECT_EQ(v.full, 300ms);
    v = l.take(k, now += 99ms);
    EXPECT_FALSE(v.admitted) << "refusals cost nothing, and bring nothing";
    EXPECT_EQ(v.next, 1ms);
    EXPECT_TRUE(l.take(k, now += 1ms).admitted);
    EXPECT_FALSE(l.take(k, now).admitted);
    EXPECT_TRUE(l.take(ip("192.0.2.2"), now).admitted) << "another's bucket is another";
    now += 1h;
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(l.take(k, now).admitted) << "it holds no more than a burst";
    EXPECT_FALSE(l.take(k, now).admitted);
}

TEST(RateLimit, InTheLongRunTheRateIsKept) {
    rate_limiter l({.requests = 7, .per = 1s, .burst = 5});
    int admitted = 0;
    for (int i = 0; i < 100'000; ++i) admitted += l.take(ip("::1"), start + i * 1ms).admitted ? 1 : 0;
    EXPECT_NEAR(admitted, 700 + 5, 1);
}

TEST(RateLimit, WithoutABurstThereIsAWholeLoadOfRequests) {
    rate_limiter l({.requests = 5, .per = 60s});
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(l.take(ip("::1"), start).admitted);
    EXPECT_EQ(l.take(ip("::1"), start).next, 12s);
}

TEST(RateLimit, AClientIsAnAddressOrANetworkOf64Bits) {
    EXPECT_EQ(ip("2001:db8::1"), ip("2001:db8::ffff:1"));
    EXPECT_NE(ip("2001:db8::1"), ip("2001:db8:0:1::1"));
    EXPECT_NE(ip("192.0.2.1"), ip("192.0.2.2"));
    EXPECT_NE(rate_limiter::key_of("a"), rate_limiter::key_of("b"));
}

TEST(RateLimit, IsBoundedAndForgetsWhoHasUsedTheLeast) {
    rate_limiter l({.requests = 100, .per = 1s, .keys_max = 16});
    EXPECT_EQ(l.keys_max(), 16u);
    const auto heavy = ip("192.0.2.200");
    while (l.take(heavy, start).admitted) {
    }
    for (int i = 0; i < 100; ++i)
        EXPECT_TRUE(l.take(ip("192.0.2." + std::to_string(i)), start).admitted) << "there is room for new ones";
    EXPECT_FALSE(l.take(heavy, start).admitted) << "who has used up his own is remembered";
    EXPECT_EQ(l.take(ip("192.0.2.0"), start).remaining, 99u) << "who has not may be forgotten";
}

TEST(RateLimit, IsOneForAllThreads) {
    rate_limiter l({.requests = 1000, .per = 3600s, .burst = 1000});
    std::atomic<int> admitted = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
            for (int i = 0; i < 1000; ++i) admitted += l.take(ip("::1"), start).admitted ? 1 : 0;
        });
    for (std::thread& t : threads) t.join();
    EXPECT_EQ(admitted, 1000);
}

TEST(RateLimit, SaysWhatItIs) {
    EXPECT_EQ(rate_limit_policy_field({.requests = 100, .per = 60s}), R"("default";q=100;w=60)");
    EXPECT_EQ(rate_limit_field({true, 12, 0s, 1500ms}), R"("default";r=12;t=2)");
    EXPECT_EQ(seconds_of(0s), 1u);
    EXPECT_EQ(seconds_of(1s), 1u);
    EXPECT_EQ(seconds_of(1s + 1ns), 2u);
}

TEST(RoutePolicies, GoOnCountingIfTheyHaveNotChanged) {
    const route_policies_config c{.requests_max = 1, .rate_limit = {.requests = 1, .per = 60s}};
    route_policies_config other = c;
    other.rate_limit.requests = 2;
    other.requests_max = 2;
    const route_policies first(c, nullptr);
    const request_permit one(*first.requests, first.requests_max);
    EXPECT_TRUE(one);
    EXPECT_TRUE(first.rate_limiter->take(ip("::1"), start).admitted);

    const route_policies same(c, &first);
    EXPECT_FALSE(request_permit(*same.requests, same.requests_max));
    EXPECT_FALSE(same.rate_limiter->take(ip("::1"), start).admitted);

    const route_policies changed(other, &same);
    EXPECT_TRUE(request_permit(*changed.requests, changed.requests_max)) << "of two, one";
    EXPECT_EQ(changed.requests->now(), 1u);
    EXPECT_TRUE(changed.rate_limiter->take(ip("::1"), start).admitted) << "a new limit begins anew";
}

TEST(RequestPermit, CountsAsLongAsItLives) {
    request_count count;
    {
        request_permit a(count, 2);
        request_permit b(count, 2);
        const request_permit refused(count, 2);
        EXPECT_TRUE(a && b && !refused);
        const request_permit moved(std::move(a));
        EXPECT_EQ(count.now(), 2u);
    }
    EXPECT_EQ(count.now(), 0u);
}

} // namespace
} // namespace headgate::gateway
