#include <headgate/core/timer.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace headgate {
namespace {

using namespace std::chrono_literals;

constexpr time_point start{1h};

struct noted : timer {
    std::vector<int>* log = nullptr;
    int name = 0;
    noted(std::vector<int>& l, int n) : log(&l), name(n) {
        fire = [](timer& t) {
            auto& self = static_cast<noted&>(t);
            self.log->push_back(self.name);
        };
    }
};

std::vector<int> advance(timer_wheel& w, std::vector<int>& log, time_point to) {
    log.clear();
    w.advance(to, [] { return true; });
    return log;
}

TEST(timer_wheel, FiresAtTheFirstTickAtOrAfterItsTimeAndNeverBefore) {
    std::vector<int> log;
    timer_wheel w(start);
    noted a(log, 1), b(log, 2), c(log, 3);
    w.arm(a, start + 5ms);
    w.arm(b, start + 5ms + 1ns);
    w.arm(c, start + 6ms);
    EXPECT_EQ(w.armed(), 3u);
    EXPECT_EQ(advance(w, log, start + 5ms - 1ns), std::vector<int>{});
    EXPECT_EQ(advance(w, log, start + 5ms), std::vector{1});
    EXPECT_EQ(advance(w, log, start + 6ms - 1ns), std::vector<int>{});
    EXPECT_EQ(advance(w, log, start + 6ms), (std::vector{2, 3})); // one tick, in the order of arming
    EXPECT_EQ(w.armed(), 0u);
    EXPECT_EQ(w.next(), time_point::max());
}

TEST(timer_wheel, ATimeThatHasPassedFiresAtTheNextTick) {
    std::vector<int> log;
    timer_wheel w(start);
    advance(w, log, start + 100ms);
    noted a(log, 1), b(log, 2);
    w.arm(a, start);
    w.arm(b, start - 1h);
    EXPECT_EQ(advance(w, log, start + 100ms), std::vector<int>{});
    EXPECT_EQ(advance(w, log, start + 101ms), (std::vector{1, 2}));
}

TEST(timer_wheel, ArmingAgainMovesAndDestroyingDisarms) {
    std::vector<int> log;
    timer_wheel w(start);
    noted a(log, 1);
    w.arm(a, start + 10ms);
    w.arm(a, start + 20ms);
    EXPECT_EQ(w.armed(), 1u);
    {
        noted b(log, 2);
        w.arm(b, start + 15ms);
        EXPECT_EQ(w.armed(), 2u);
    }
    EXPECT_EQ(w.armed(), 1u);
    EXPECT_EQ(advance(w, log, start + 19ms), std::vector<int>{});
    a.disarm();
    EXPECT_FALSE(a.armed());
    EXPECT_EQ(advance(w, log, start + 1h), std::vector<int>{});
}

TEST(timer_wheel, TheFarFutureIsHeldAndNothingOverflows) {
    std::vector<int> log;
    timer_wheel w(start);
    noted year(log, 1), century(log, 2), end(log, 3);
    w.arm(end, time_point::max());
    w.arm(century, start + 24h * 365 * 100);
    w.arm(year, start + 24h * 365);
    EXPECT_LE(w.next(), start + 24h * 365);
    EXPECT_EQ(advance(w, log, start + 24h * 365 - 1ms), std::vector<int>{});
    EXPECT_EQ(advance(w, log, start + 24h * 365), std::vector{1});
    EXPECT_EQ(advance(w, log, start + 24h * 365 * 100), std::vector{2});
    EXPECT_TRUE(end.armed());
}

struct rearming : timer {
    timer_wheel& wheel;
    time_point now;
    int left = 5;
    explicit rearming(timer_wheel& w) : wheel(w), now(start) {
        fire = [](timer& t) {
            auto& self = static_cast<rearming&>(t);
            if (--self.left != 0) self.wheel.arm(self, self.now + 1ms);
        };
    }
};

TEST(timer_wheel, ATimerMayArmItselfInItsFire) {
    timer_wheel w(start);
    rearming t(w);
    w.arm(t, start + 1ms);
    for (int tick = 1; tick <= 4; ++tick) {
        t.now = start + tick * 1ms;
        w.advance(t.now, [] { return true; });
        EXPECT_EQ(t.left, 5 - tick);
        EXPECT_TRUE(t.armed());
    }
    w.advance(start + 10ms, [] { return true; });
    EXPECT_EQ(t.left, 0);
    EXPECT_FALSE(t.armed());
}

// A clock that stands still must not spin: what is armed in a fire is for a later tick.
TEST(timer_wheel, WhatIsArmedInAFireForThePastWaitsForTheNextTick) {
    timer_wheel w(start);
    rearming t(w);
    t.now = start - 1h;
    w.arm(t, start + 1ms);
    w.advance(start + 1ms, [] { return true; });
    EXPECT_EQ(t.left, 4);
    EXPECT_EQ(w.next(), start + 2ms);
    w.advance(start + 10ms, [] { return true; }); // the clock has jumped: each tick gets its turn
    EXPECT_EQ(t.left, 0);
}

struct cancelling : timer {
    timer* other;
    explicit cancelling(timer& o) : other(&o) {
        fire = [](timer& t) { static_cast<cancelling&>(t).other->disarm(); };
    }
};

TEST(timer_wheel, ATimerMayCancelOthersInItsFire) {
    std::vector<int> log;
    timer_wheel w(start);
    noted same_tick(log, 1), later(log, 2);
    cancelling first(same_tick), second(later);
    w.arm(first, start + 3ms);
    w.arm(same_tick, start + 3ms);
    w.arm(second, start + 3ms);
    w.arm(later, start + 200ms);
    EXPECT_EQ(advance(w, log, start + 1s), std::vector<int>{});
    EXPECT_EQ(w.armed(), 0u);
}

struct destroying : timer {
    std::unique_ptr<noted>* other;
    explicit destroying(std::unique_ptr<noted>& o) : other(&o) {
        fire = [](timer& t) { static_cast<destroying&>(t).other->reset(); };
    }
};

TEST(timer_wheel, ATimerMayDestroyOthersInItsFire) {
    std::vector<int> log;
    timer_wheel w(start);
    auto victim = std::make_unique<noted>(log, 1);
    destroying d(victim);
    w.arm(d, start + 1ms);
    w.arm(*victim, start + 1ms);
    EXPECT_EQ(advance(w, log, start + 2ms), std::vector<int>{});
}

TEST(timer_wheel, AfterEachIsCalledBetweenTimers) {
    std::vector<int> log;
    timer_wheel w(start);
    noted a(log, 1), b(log, 2);
    w.arm(a, start + 1ms);
    w.arm(b, start + 1ms);
    w.advance(start + 1ms, [&] {
        log.push_back(0);
        return true;
    });
    EXPECT_EQ(log, (std::vector{1, 0, 2, 0}));
}

// A million random operations, against a model: an ordered map from tick to names.
TEST(timer_wheel, AgreesWithAModel) {
    const auto seed = static_cast<unsigned>(std::random_device()());
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 chance(seed);
    constexpr int timers = 400;
    std::vector<int> log;
    timer_wheel w(start);
    std::vector<std::unique_ptr<noted>> all;
    for (int i = 0; i < timers; ++i) all.push_back(std::make_unique<noted>(log, i));
    std::multimap<time_point, int> model; // equal keys keep the order of insertion
    std::vector<std::multimap<time_point, int>::iterator> at(timers, model.end());
    time_point now = start;
    const auto forget = [&](int i) {
        if (at[i] != model.end()) model.erase(at[i]);
        at[i] = model.end();
    };
    for (int step = 0; step < 1'000'000; ++step) {
        const int i = static_cast<int>(chance() % timers);
        const auto what = chance() % 16;
        if (what < 9) {
            const int magnitude = static_cast<int>(chance() % 44); // from nanoseconds to hours
            const time_point when = now + duration(static_cast<std::int64_t>(chance() % (2ULL << magnitude)));
            w.arm(*all[i], when);
            forget(i);
            const time_point tick = start + std::chrono::ceil<std::chrono::milliseconds>(when - start);
            const time_point next_tick = start + std::chrono::floor<std::chrono::milliseconds>(now - start) + 1ms;
            at[i] = model.emplace(std::max(tick, next_tick), i);
        } else if (what < 12) {
            all[i]->disarm();
            forget(i);
        } else {
            const int magnitude = static_cast<int>(chance() % 40);
            now += duration(static_cast<std::int64_t>(chance() % (2ULL << magnitude)));
            log.clear();
            w.advance(now, [] { return true; });
            std::vector<int> expected;
            while (!model.empty() && model.begin()->first <= now) {
                expected.push_back(model.begin()->second);
                forget(model.begin()->second);
            }
            ASSERT_EQ(log, expected) << "step " << step;
            if (model.empty())
                ASSERT_EQ(w.next(), time_point::max());
            else
                ASSERT_TRUE(w.next() > now - 1ms && w.next() <= model.begin()->first) << "step " << step;
        }
    }
    EXPECT_EQ(w.armed(), model.size());
}

} // namespace
} // namespace headgate
