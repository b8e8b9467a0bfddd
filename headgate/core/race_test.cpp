#include <headgate/core/race.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/stack_meter.hpp>
#include <headgate/testing/tools.hpp>

#include <string>

#include <gmock/gmock.h>

namespace headgate {
namespace {

using namespace std::chrono_literals;

class race_test : public testing::simulated_test {};

struct noted_end {
    std::string* log;
    std::string name;
    noted_end(std::string* l, std::string n) : log(l), name(std::move(n)) {}
    noted_end(const noted_end&) = delete;
    ~noted_end() { *log += name + " dropped, "; }
};

task<int> value_after(duration d, int value, std::string* log) {
    const noted_end end(log, std::to_string(value));
    co_await sleep_for(d);
    *log += std::to_string(value) + " done, ";
    co_return value;
}
task<> nothing_after(duration d) { co_await sleep_for(d); }
task<> fail_after(duration d, std::error_code why) {
    co_await sleep_for(d);
    co_await fail(why);
}

task<std::string> race_three(std::string* log) {
    const auto first = co_await race(value_after(30ms, 30, log), value_after(10ms, 10, log), nothing_after(20ms));
    *log += "returned, ";
    co_return std::to_string(first.index()) + " " + std::to_string(std::get<1>(first));
}

TEST_F(race_test, TheFirstWinsAndTheOthersAreDroppedBeforeItReturns) {
    std::string log;
    EXPECT_EQ(run(race_three(&log)), "1 10");
    EXPECT_EQ(log, "10 done, 10 dropped, 30 dropped, returned, ");
    EXPECT_EQ(sim().elapsed(), 10ms);
}

task<std::size_t> race_ready(std::string* log) {
    const auto first = co_await race(value_after(1h, 1, log), value_after(0s, 2, log), value_after(0s, 3, log));
    co_return first.index();
}

TEST_F(race_test, OneThatIsReadyWinsAndTheRestDoNotBegin) {
    std::string log;
    EXPECT_EQ(run(race_ready(&log)), 1u);
    EXPECT_EQ(log, "2 done, 2 dropped, 1 dropped, ");
}

task<> race_failing(std::string* log) {
    co_await race(value_after(20ms, 1, log), fail_after(10ms, errc::refused));
    ADD_FAILURE() << "returned though one has failed";
}

TEST_F(race_test, AFailureFailsTheFlowAndDropsTheRest) {
    std::string log;
    const auto end = try_run(race_failing(&log));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::refused);
    EXPECT_EQ(log, "1 dropped, ");
}

task<std::string> all_three(std::string* log) {
    const auto [a, b, c] = co_await all(value_after(30ms, 30, log), nothing_after(5ms), value_after(0s, 10, log));
    static_assert(std::is_same_v<decltype(b), const std::monostate>);
    co_return std::to_string(a) + " " + std::to_string(c);
}

TEST_F(race_test, AllWaitsForAll) {
    std::string log;
    EXPECT_EQ(run(all_three(&log)), "30 10");
    EXPECT_EQ(log, "10 done, 10 dropped, 30 done, 30 dropped, ");
    EXPECT_EQ(sim().elapsed(), 30ms);
}

task<> all_failing(std::string* log, duration when) {
    co_await all(value_after(20ms, 1, log), fail_after(when, errc::refused), value_after(30ms, 2, log));
    ADD_FAILURE() << "returned though one has failed";
}

TEST_F(race_test, AllDropsTheRestWhenOneFails) {
    std::string log;
    ASSERT_FALSE(try_run(all_failing(&log, 10ms)));
    EXPECT_THAT(log, ::testing::AnyOf("2 dropped, 1 dropped, ", "1 dropped, 2 dropped, "));
    EXPECT_EQ(sim().elapsed(), 10ms);
    log.clear();
    ASSERT_FALSE(try_run(all_failing(&log, 0ms)));
    EXPECT_EQ(log, "1 dropped, ") << "what stands behind the failure does not begin";
}

task<> all_of_none() { co_await all(); }

TEST_F(race_test, AllOfNoneIsReady) { run(all_of_none()); }

// Both are due in the same tick: the second must not be resumed after the first has won.
TEST_F(race_test, TwoThatEndInTheSameTurn) {
    struct two {
        static task<std::size_t> same_tick(std::string* log) {
            co_return (co_await race(value_after(10ms, 1, log), value_after(10ms, 2, log))).index();
        }
    };
    std::string log;
    EXPECT_EQ(run(two::same_tick(&log)), 0u);
    EXPECT_EQ(log, "1 done, 1 dropped, 2 dropped, ");
}

task<> nested(std::string* log) {
    co_await race(all_failing(log, 10ms), nothing_after(5ms));
    *log += "won";
}

TEST_F(race_test, ALoserThatIsATreeIsDroppedWhole) {
    std::string log;
    run(nested(&log));
    EXPECT_THAT(log, ::testing::AnyOf("2 dropped, 1 dropped, won", "1 dropped, 2 dropped, won"));
}

task<> race_for(duration d, std::string* log) { co_await race(value_after(1h, 1, log), nothing_after(d)); }

TEST_F(race_test, IsDroppedAtEveryTurn) {
    std::string log;
    struct work {
        static task<> tree(std::string* log) {
            co_await all(race_for(10ms, log), race_for(20ms, log), nothing_after(15ms));
        }
    };
    const auto report = testing::drop_at_every_turn([&](testing::simulation&) { return work::tree(&log); });
    EXPECT_EQ(report.problem, "");
    EXPECT_GT(report.turns, 3u);
}

task<std::size_t> looked(testing::stack_meter* stack, std::size_t n) {
    stack->look();
    co_return n;
}
task<std::size_t> many(testing::stack_meter* stack, std::size_t n) {
    std::size_t sum = 0;
    for (std::size_t i = 0; i < n; ++i) {
        sum += std::get<0>(co_await race(looked(stack, 1), looked(stack, 2)));
        sum += std::get<1>(co_await all(looked(stack, 1), looked(stack, 2)));
    }
    co_return sum;
}

TEST_F(race_test, ManyReadyOnesDoNotGrowTheStack) {
    testing::stack_meter stack;
    EXPECT_EQ(run(many(&stack, 100'000)), 300'000u);
    EXPECT_LT(stack.spread(), 8192u);
}

} // namespace
} // namespace headgate
