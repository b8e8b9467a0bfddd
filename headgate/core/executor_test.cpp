#include <headgate/core/executor.hpp>

#include <optional>
#include <vector>

#include <gtest/gtest.h>

namespace headgate {
namespace {

using namespace std::chrono_literals;

// An executor that a test drives by hand.
struct hand final : executor {
    hand() : executor(time_point(1h)) {}
    time_point now() const noexcept override { return clock; }
    time_point clock{1h};
    using executor::has_ready;
    using executor::next_timer;
    using executor::run_next;
    using executor::run_ready;
    using executor::run_timers;
};

struct step : ready {
    std::vector<int>& log;
    int name;
    ready* then_post = nullptr;
    ready* then_next = nullptr;
    std::optional<step>* then_destroy = nullptr;

    step(std::vector<int>& l, int n) : log(l), name(n) {
        run = [](ready& r) {
            auto& self = static_cast<step&>(r);
            self.log.push_back(self.name);
            if (self.then_post) executor::current().post(*self.then_post);
            if (self.then_next) executor::current().post_next(*self.then_next);
            if (self.then_destroy) self.then_destroy->reset();
        };
    }
};

TEST(executor, RunsInTheOrderOfPosting) {
    hand e;
    std::vector<int> log;
    step a(log, 1), b(log, 2), c(log, 3);
    e.post(b);
    e.post(a);
    e.post(b); // it is queued already
    e.post(c);
    e.run_ready();
    EXPECT_EQ(log, (std::vector{2, 1, 3}));
    EXPECT_FALSE(e.has_ready());
}

TEST(executor, WhatIsPostedMeanwhileWaitsForTheNextTurn) {
    hand e;
    std::vector<int> log;
    step a(log, 1), b(log, 2);
    a.then_post = &a; // for ever
    e.post(a);
    e.post(b);
    e.run_ready();
    EXPECT_EQ(log, (std::vector{1, 2}));
    EXPECT_TRUE(e.has_ready());
    e.run_ready();
    EXPECT_EQ(log, (std::vector{1, 2, 1}));
}

TEST(executor, WhatIsPostedNextComesBeforeEverythingElse) {
    hand e;
    std::vector<int> log;
    step a(log, 1), b(log, 2), c(log, 3), d(log, 4);
    a.then_next = &c;
    c.then_next = &d;
    e.post(a);
    e.post(b);
    e.run_ready();
    EXPECT_EQ(log, (std::vector{1, 3, 4, 2}));
}

TEST(executor, TheLastOneThatIsPostedNextComesFirst) {
    hand e;
    std::vector<int> log;
    step a(log, 1), b(log, 2), c(log, 3);
    e.post(c);
    e.post_next(a);
    e.post_next(b);
    e.post_next(c); // leaves the other queue
    e.run_next();
    EXPECT_EQ(log, (std::vector{3, 2, 1}));
    EXPECT_FALSE(e.has_ready());
}

TEST(executor, WhatIsDestroyedIsTakenBack) {
    hand e;
    std::vector<int> log;
    step a(log, 1);
    std::optional<step> b(std::in_place, log, 2);
    a.then_destroy = &b;
    e.post(a);
    e.post(*b);
    e.run_ready();
    EXPECT_EQ(log, std::vector{1});
    EXPECT_FALSE(e.has_ready());
}

struct posting_timer : timer {
    step* next;
    explicit posting_timer(step& s) : next(&s) {
        fire = [](timer& t) { executor::current().post_next(*static_cast<posting_timer&>(t).next); };
    }
};

TEST(executor, WhatATimerPostsNextRunsBeforeTheNextTimer) {
    hand e;
    std::vector<int> log;
    step a(log, 1), b(log, 2);
    posting_timer first(a), second(b);
    e.arm(first, 5ms);
    e.arm(second, 5ms);
    step killer(log, 3);
    EXPECT_EQ(e.timers_armed(), 2u);
    EXPECT_EQ(e.next_timer(), e.clock + 5ms);
    e.run_timers(e.clock + 5ms);
    EXPECT_EQ(log, (std::vector{1, 2}));
    EXPECT_EQ(e.turn_time(), time_point(1h + 5ms));
}

TEST(executor, ForeverDisarmsAndLongDurationsDoNotOverflow) {
    hand e;
    std::vector<int> log;
    step a(log, 1);
    posting_timer t(a);
    e.arm(t, 5ms);
    e.arm(t, forever);
    EXPECT_FALSE(t.armed());
    e.arm(t, forever - 1ns);
    EXPECT_TRUE(t.armed());
    e.run_timers(e.clock + 24h * 365 * 10);
    EXPECT_TRUE(t.armed());
}

TEST(executor, TheLastOneConstructedIsCurrent) {
    hand outer;
    EXPECT_EQ(&executor::current(), &outer);
    {
        hand inner;
        EXPECT_EQ(&executor::current(), &inner);
    }
    EXPECT_EQ(&executor::current(), &outer);
}

} // namespace
} // namespace headgate
