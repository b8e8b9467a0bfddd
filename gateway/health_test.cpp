#include <gtest/gtest.h>

#include <gateway/health.hpp>

namespace headgate::gateway {
namespace {

// An upstream's health with a clock.
struct bench : upstream_health {
    explicit bench(std::size_t endpoints, ejection_options o = {}) : upstream_health(o, endpoints) {}

    void fails(std::size_t endpoint, int times = 1) {
        while (times-- != 0) report(endpoint, verdict::failure, now);
    }
    void succeeds(std::size_t endpoint) { report(endpoint, verdict::success, now); }
    std::vector<std::uint32_t> used() {
        const auto u = usable(now);
        return {u.begin(), u.end()};
    }
    time_point now{1h};
};
using list = std::vector<std::uint32_t>;

TEST(health_test, AnEndpointThatFailsInARowIsEjectedForAWhile) {
    bench b(3);
    b.fails(1, 4);
    EXPECT_EQ(b.used(), (list{0, 1, 2}));
    b.fails(1);
    EXPECT_EQ(b.used(), (list{0, 2}));
    EXPECT_FALSE(b.is_usable(1, b.now));
    b.now += 30s - 1ms;
    EXPECT_EQ(b.used(), (list{0, 2}));
    b.now += 1ms;
    EXPECT_EQ(b.used(), (list{0, 1, 2}));
    EXPECT_TRUE(b.is_usable(1, b.now));
}

TEST(health_test, ASuccessEndsTheRow) {
    bench b(2);
    for (int i = 0; i < 10; ++i) {
        b.fails(0, 4);
        b.succeeds(0);
    }
    EXPECT_EQ(b.used(), (list{0, 1}));
}

TEST(health_test, OnesFailuresAreNotAnothers) {
    bench b(3);
    b.fails(0, 3);
    b.fails(1, 3);
    b.fails(2, 3);
    EXPECT_EQ(b.used(), (list{0, 1, 2}));
}

TEST(health_test, WhoFailsAgainIsEjectedAtOnceForLongerUpToALimit) {
    bench b(2);
    b.fails(0, 5);
    for (int n = 1; n <= 20; ++n) {
        const duration d = std::min<duration>(30s * n, 300s);
        b.now += d - 1ms;
        EXPECT_EQ(b.used(), (list{1})) << n;
        b.now += 1ms;
        EXPECT_EQ(b.used(), (list{0, 1})) << n;
        b.fails(0);
    }
    b.now += 300s;
    b.succeeds(0); // and all is as in the beginning
    b.fails(0, 4);
    EXPECT_EQ(b.used(), (list{0, 1}));
    b.fails(0);
    b.now += 30s;
    EXPECT_EQ(b.used(), (list{0, 1}));
}

TEST(health_test, WhatRequestsFromBeforeSayDoesNotCount) {
    bench b(2);
    b.fails(0, 5);
    b.fails(0, 50);
    b.succeeds(0);
    EXPECT_EQ(b.used(), (list{1}));
    b.now += 30s;
    EXPECT_EQ(b.used(), (list{0, 1}));
}

TEST(health_test, NoMoreThanAPartIsEjected) {
    for (const auto& [endpoints, percent, most] : {std::tuple(10u, 50u, 5u),
                                                   {4u, 50u, 2u},
                                                   {3u, 50u, 1u},
                                                   {2u, 50u, 1u},
                                                   {2u, 0u, 1u},
                                                   {10u, 25u, 2u},
                                                   {1u, 100u, 0u},
                                                   {5u, 100u, 5u}}) {
        bench b(endpoints, {.max_ejection_percent = percent});
        for (std::size_t e = 0; e < endpoints; ++e) b.fails(e, 7);
        EXPECT_EQ(b.ejected(), most) << percent << " % of " << endpoints;
    }
}

TEST(health_test, WhenAnotherIsBackTheNextMayBeEjected) {
    bench b(2);
    b.fails(0, 5);
    b.fails(1, 5);
    EXPECT_EQ(b.used(), (list{1}));
    b.now += 30s;
    EXPECT_EQ(b.used(), (list{0, 1}));
    b.fails(1);
    EXPECT_EQ(b.used(), (list{0}));
}

TEST(health_test, WhenAllAreEjectedAllAreUsedAndASuccessBringsOneBack) {
    bench b(3, {.max_ejection_percent = 100});
    for (std::size_t e = 0; e < 3; ++e) b.fails(e, 5);
    EXPECT_EQ(b.ejected(), 3u);
    EXPECT_EQ(b.used(), (list{0, 1, 2}));
    b.fails(0);
    EXPECT_EQ(b.ejected(), 3u);
    b.succeeds(1);
    EXPECT_EQ(b.used(), (list{1}));
    b.now += 30s;
    EXPECT_EQ(b.used(), (list{0, 1, 2}));
    EXPECT_EQ(b.ejected(), 0u);
}

TEST(health_test, ServerErrorsCountOnlyIfTheyAreToldTo) {
    bench b(2), c(2, {.consecutive_5xx = 3});
    for (int i = 0; i < 100; ++i) b.report(0, verdict::server_error, b.now);
    EXPECT_EQ(b.used(), (list{0, 1}));
    c.report(0, verdict::server_error, c.now);
    c.fails(0);
    EXPECT_EQ(c.used(), (list{0, 1}));
    c.report(0, verdict::server_error, c.now); // the third in a row that is no success
    EXPECT_EQ(c.used(), (list{1}));
}

TEST(health_test, AnAnswerOfAnyKindEndsARowOfFailures) {
    bench b(2);
    b.fails(0, 4);
    b.report(0, verdict::server_error, b.now);
    b.fails(0, 4);
    EXPECT_EQ(b.used(), (list{0, 1}));
}

TEST(health_test, EjectionCanBeSwitchedOff) {
    bench b(2, {.consecutive_failures = 0});
    b.fails(0, 1000);
    EXPECT_EQ(b.used(), (list{0, 1}));
}

TEST(health_test, WhatIsDownIsNotUsedUnlessAllIs) {
    bench b(3);
    b.checked(0, false);
    EXPECT_EQ(b.used(), (list{1, 2}));
    b.fails(1, 5);
    EXPECT_EQ(b.used(), (list{2}));
    b.checked(2, false);
    EXPECT_EQ(b.used(), (list{0, 1, 2}));
    b.checked(0, true);
    EXPECT_EQ(b.used(), (list{0}));
}

TEST(upstream_health_events, AreToldOnce) {
    upstream_health h({.consecutive_failures = 1, .base_ejection_time = 10s}, 3);
    std::string told;
    h.on_change(
        [](void* to, std::size_t e, health_event what) noexcept {
            *static_cast<std::string*>(to) += std::to_string(e) + "ERDU"[static_cast<int>(what)];
        },
        &told);
    const time_point t = time_point(1h);
    h.checked(2, true, t);
    h.checked(2, false, t);
    h.checked(2, false, t);
    h.checked(2, true, t + 1s);
    EXPECT_EQ(told, "2D2U");
    told.clear();
    h.report(1, verdict::failure, t);
    h.report(1, verdict::failure, t);
    EXPECT_EQ(h.usable(t + 11s).size(), 3u);
    EXPECT_EQ(told, "1E1R");
    EXPECT_EQ(h.well_since(0), time_point::min());
    EXPECT_EQ(h.well_since(1), t + 11s);
    EXPECT_EQ(h.well_since(2), t + 1s);
    EXPECT_EQ(h.last_return(), t + 11s);
}

} // namespace
} // namespace headgate::gateway
