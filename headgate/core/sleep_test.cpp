#include <headgate/core/sleep.hpp>
#include <headgate/testing/fixture.hpp>

namespace headgate {
namespace {

using namespace std::chrono_literals;

class sleep_test : public testing::simulated_test {};

task<> sleep_twice() {
    co_await sleep_for(10ms);
    co_await sleep_for(5ms);
}

TEST_F(sleep_test, WaitsInVirtualTime) {
    run(sleep_twice());
    EXPECT_EQ(sim().elapsed(), 15ms);
}

task<> sleep_not_at_all() {
    co_await sleep_for(0ms);
    co_await sleep_for(-1s);
}

TEST_F(sleep_test, NothingToWaitFor) {
    run(sleep_not_at_all());
    EXPECT_EQ(sim().elapsed(), 0ms);
}

task<> sleep_long(duration d) { co_await sleep_for(d); }

TEST_F(sleep_test, ForeverIsADeadlock) {
    const auto end = try_run(sleep_long(forever));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, std::errc::resource_deadlock_would_occur);
}

TEST_F(sleep_test, ADroppedSleepLeavesNoTimer) {
    nursery n;
    n.spawn(sleep_long(1h));
    EXPECT_EQ(sim().home.timers_armed(), 1u);
    n.clear();
    EXPECT_EQ(sim().home.timers_armed(), 0u);
}

task<> note_turns(std::vector<int>* log, int who) {
    for (int i = 0; i < 3; ++i) {
        log->push_back(who);
        co_await next_turn();
    }
}

TEST_F(sleep_test, NextTurnIsFair) {
    std::vector<int> log;
    nursery n;
    n.spawn(note_turns(&log, 1));
    n.spawn(note_turns(&log, 2));
    sim().advance(1ms);
    EXPECT_EQ(log, (std::vector{1, 2, 1, 2, 1, 2}));
    EXPECT_TRUE(n.empty());
}

} // namespace
} // namespace headgate
