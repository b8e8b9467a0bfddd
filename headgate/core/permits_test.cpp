#include <headgate/core/abort_watch.hpp>
#include <headgate/core/nursery.hpp>
#include <headgate/core/permits.hpp>
#include <headgate/core/race.hpp>
#include <headgate/core/sleep.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/suspensions.hpp>

#include <memory>
#include <string>

#include <gtest/gtest.h>

namespace headgate {
namespace {

using namespace std::chrono_literals;

using permits_test = testing::simulated_test;

// Holds a permit for a while; tells in `log` when it began, or why it could not.
task<> use(permit_queue* limit, int who, duration d, std::string* log, duration patience = 5s) {
    const auto permit = co_await limit->admit(patience);
    if (!permit) {
        *log += std::to_string(who) + (permit.error() == errc::timed_out ? " late " : " full ");
        co_return;
    }
    *log += std::to_string(who) + " ";
    co_await sleep_for(d);
}

TEST_F(permits_test, WhoWaitsIsServedInTheOrderOfArrival) {
    permit_queue limit(2, 10);
    nursery users;
    std::string log;
    for (int i = 1; i <= 6; ++i) users.spawn(use(&limit, i, 1s, &log));
    EXPECT_EQ(log, "1 2 ");
    EXPECT_EQ(limit.waiting(), 4u);
    sim().advance(1100ms);
    EXPECT_EQ(log, "1 2 3 4 ");
    sim().advance(1s);
    EXPECT_EQ(log, "1 2 3 4 5 6 ");
    sim().advance(1s);
    EXPECT_EQ(limit.taken(), 0u);
    EXPECT_EQ(limit.waiting(), 0u);
}

TEST_F(permits_test, NobodyOvertakesWhoWasServedAndHasNotRunYet) {
    permit_queue limit(1, 10);
    nursery first, rest;
    std::string log;
    first.spawn(use(&limit, 1, 1h, &log));
    rest.spawn(use(&limit, 2, 1s, &log));
    first.clear(); // 2 has the permit now, and runs in the next turn
    rest.spawn(use(&limit, 3, 1s, &log));
    EXPECT_EQ(log, "1 ");
    sim().advance(3s);
    EXPECT_EQ(log, "1 2 3 ");
}

TEST_F(permits_test, TheQueueIsBoundedInLengthAndTime) {
    permit_queue limit(1, 2);
    nursery users;
    std::string log;
    for (int i = 1; i <= 4; ++i) users.spawn(use(&limit, i, 1min, &log));
    EXPECT_EQ(log, "1 4 full ");
    sim().advance(4900ms);
    EXPECT_EQ(log, "1 4 full ");
    sim().advance(200ms);
    EXPECT_EQ(log, "1 4 full 2 late 3 late ");
    EXPECT_EQ(limit.waiting(), 0u);
}

TEST_F(permits_test, WithoutAQueueWhoComesTooLateIsRefusedAtOnce) {
    permit_queue limit(1, 0);
    nursery users;
    std::string log;
    for (int i = 1; i <= 2; ++i) users.spawn(use(&limit, i, 1min, &log));
    EXPECT_EQ(log, "1 2 full ");
}

TEST_F(permits_test, WhoIsDroppedLeavesTheQueueAtOnce) {
    permit_queue limit(1, 1);
    nursery first, second, third;
    std::string log;
    first.spawn(use(&limit, 1, 1s, &log));
    second.spawn(use(&limit, 2, 1s, &log));
    second.clear();
    EXPECT_EQ(limit.waiting(), 0u);
    third.spawn(use(&limit, 3, 1s, &log)); // has the place
    sim().advance(3s);
    EXPECT_EQ(log, "1 3 ");
}

TEST_F(permits_test, AServedOneThatIsDroppedBeforeItRunsPassesItsPermitOn) {
    permit_queue limit(1, 10);
    nursery first, second, third;
    std::string log;
    first.spawn(use(&limit, 1, 1h, &log));
    second.spawn(use(&limit, 2, 1s, &log));
    third.spawn(use(&limit, 3, 1s, &log));
    first.clear();
    second.clear();
    sim().advance(100ms);
    EXPECT_EQ(log, "1 3 ");
    sim().advance(3s);
    EXPECT_EQ(limit.taken(), 0u);
}

task<outcome> use_all(testing::trial* t, std::unique_ptr<permit_queue> limit) {
    place& at = co_await here();
    const abort_watch watch(t->abort(), at);
    std::string log;
    const auto one = [&](int who) { return use(limit.get(), who, 1s, &log, 2500ms); };
    co_await all(one(1), one(2), one(3), one(4), one(5));
    if (log != "1 5 full 2 3 4 late ") co_await fail(errc::failed, log);
    co_return transfer{};
}

TEST(permits_suspensions_test, NothingIsLeftOfAQueue) {
    const auto report = testing::at_every_suspension(
        [](testing::trial& t) { return use_all(&t, std::make_unique<permit_queue>(1, 3)); });
    EXPECT_TRUE(report.ok()) << report;
    EXPECT_GT(report.points, 5u);
}

} // namespace
} // namespace headgate
