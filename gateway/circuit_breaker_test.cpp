#include <vector>

#include <gtest/gtest.h>

#include <gateway/circuit_breaker.hpp>

namespace headgate::gateway {
namespace {

using state = circuit_breaker::state;

struct breaker {
    circuit_breaker b;
    time_point now = time_point(std::chrono::hours(1));

    explicit breaker(const circuit_breaker_options& o) : b(o) {}
    bool ask(bool success) {
        circuit_pass p = b.enter(now);
        if (!p) return false;
        p.report(success, now);
        return true;
    }
    void ask(int n, bool success) {
        while (n-- > 0) EXPECT_TRUE(ask(success));
    }
    state is() { return b.now_is(now); }
};

TEST(CircuitBreaker, WithoutConditionsItNeverOpens) {
    breaker b({});
    EXPECT_FALSE(b.b.enabled());
    b.ask(1000, false);
    EXPECT_EQ(b.is(), state::closed);
}

TEST(CircuitBreaker, OpensAfterSoManyFailuresInARow) {
    breaker b({.consecutive_failures = 3});
    for (int i = 0; i < 5; ++i) {
        b.ask(2, false);
        b.ask(1, true);
    }
    EXPECT_EQ(b.is(), state::closed);
    b.ask(3, false);
    EXPECT_EQ(b.is(), state::open);
    EXPECT_FALSE(b.ask(true));
    EXPECT_EQ(b.b.open_for(b.now), 5s);
    b.now += 4s;
    EXPECT_FALSE(b.ask(true));
    EXPECT_EQ(b.b.open_for(b.now), 1s);
}

TEST(CircuitBreaker, OpensWhenAShareOfEnoughRequestsFails) {
    breaker b({.failure_percent = 50, .min_requests = 10, .window = 10s});
    b.ask(9, false);
    EXPECT_EQ(b.is(), state::closed) << "too few to tell";
    b.now += 11s; // they are forgotten
    b.ask(6, true);
    b.ask(5, false);
    EXPECT_EQ(b.is(), state::closed) << "5 of 11";
    b.ask(1, false);
    EXPECT_EQ(b.is(), state::open) << "6 of 12";
}

TEST(CircuitBreaker, TheWindowSlides) {
    breaker b({.failure_percent = 50, .min_requests = 10, .window = 10s});
    b.ask(20, true);
    b.now += 5s;
    b.ask(9, false);
    EXPECT_EQ(b.is(), state::closed);
    b.now += 5s; // the successes leave it, the failures do not
    b.ask(1, false);
    EXPECT_EQ(b.is(), state::open);
}

TEST(CircuitBreaker, HalfOpenOnlySoManyPass) {
    breaker b({.consecutive_failures = 1, .open_time = 5s, .half_open_probes = 2});
    b.ask(1, false);
    b.now += 5s;
    EXPECT_EQ(b.is(), state::half_open);
    circuit_pass first = b.b.enter(b.now), second = b.b.enter(b.now);
    EXPECT_TRUE(first && second);
    EXPECT_FALSE(b.b.enter(b.now));
    EXPECT_FALSE(b.b.lets_pass(b.now));
    first.report(true, b.now);
    EXPECT_FALSE(b.b.lets_pass(b.now)) << "so many in all, not at a time";
    second.report(true, b.now);
    EXPECT_EQ(b.is(), state::closed);
    b.ask(10, true);
}

TEST(CircuitBreaker, AProbeThatFailsOpensItAgain) {
    breaker b({.consecutive_failures = 1, .open_time = 5s, .half_open_probes = 2});
    b.ask(1, false);
    b.now += 5s;
    circuit_pass late = b.b.enter(b.now);
    b.ask(1, false);
    EXPECT_EQ(b.is(), state::open);
    EXPECT_EQ(b.b.open_for(b.now), 5s);
    EXPECT_EQ(b.b.times_opened(), 2u);
    b.now += 5s;
    late.report(true, b.now); // of the time before
    EXPECT_EQ(b.is(), state::half_open);
    b.ask(1, true);
    EXPECT_EQ(b.is(), state::half_open) << "one of two";
    b.ask(1, true);
    EXPECT_EQ(b.is(), state::closed);
}

TEST(CircuitBreaker, AProbeWithoutAWordLeavesItsPlace) {
    breaker b({.consecutive_failures = 1, .half_open_probes = 1});
    b.ask(1, false);
    b.now += 5s;
    for (int i = 0; i < 10; ++i) {
        const circuit_pass p = b.b.enter(b.now);
        EXPECT_TRUE(p);
    }
    b.ask(1, true);
    EXPECT_EQ(b.is(), state::closed);
}

TEST(CircuitBreaker, WhatBeganBeforeItOpenedTellsNothing) {
    breaker b({.consecutive_failures = 1, .open_time = 5s});
    std::vector<circuit_pass> before;
    for (int i = 0; i < 3; ++i) before.push_back(b.b.enter(b.now));
    before[0].report(false, b.now);
    before[1].report(false, b.now + 1s);
    EXPECT_EQ(b.b.open_for(b.now), 5s);
    b.now += 5s;
    before[2].report(true, b.now);
    EXPECT_EQ(b.is(), state::half_open);
}

} // namespace
} // namespace headgate::gateway
