#include <headgate/flow/pipeline.hpp>
#include <headgate/stages/throttle.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/tools.hpp>

namespace headgate {
namespace {

using namespace std::chrono_literals;

stream<chunk> chunks(std::size_t size, int count, duration pause_before_last = 0s) {
    for (int i = 0; i < count; ++i) {
        if (i == count - 1) co_await sleep_for(pause_before_last);
        co_yield chunk(std::string(size, 'x'));
    }
}

// Notes when each item came.
struct clocked_sink {
    std::vector<duration>* times;
    time_point began = executor::current().now();
    task<> write(chunk) {
        times->push_back(executor::current().now() - began);
        co_return;
    }
    task<> finish() { co_return; }
};

class throttle_test : public testing::simulated_test {
protected:
    std::vector<duration> times(stream<chunk> in, throttle_options o) {
        std::vector<duration> t;
        EXPECT_TRUE(run(pipeline(std::move(in), throttle(o), clocked_sink{&t})));
        return t;
    }
};

TEST_F(throttle_test, LetsABurstPassAndThenTheRate) {
    const auto t = times(chunks(1000, 6), {.bytes_per_second = 10'000, .burst = 3000});
    EXPECT_EQ(t, (std::vector<duration>{0ms, 0ms, 0ms, 100ms, 200ms, 300ms}));
}

TEST_F(throttle_test, APauseFillsTheBucketUpToTheBurst) {
    const auto t = times(chunks(1000, 4, 60s), {.bytes_per_second = 10'000, .burst = 2000});
    EXPECT_EQ(t, (std::vector<duration>{0ms, 0ms, 100ms, 60'100ms}));
}

TEST_F(throttle_test, AnItemLargerThanTheBurstIsPaidForAfterwards) {
    const auto t = times(chunks(10'000, 3), {.bytes_per_second = 10'000, .burst = 1000});
    EXPECT_EQ(t, (std::vector<duration>{0ms, 1000ms, 2000ms}));
}

TEST_F(throttle_test, KeepsTheRateThoughTimersAreCoarse) {
    for (const std::uint64_t burst : {1u, 100u}) {
        const auto t = times(chunks(1, 10'001), {.bytes_per_second = 3'000, .burst = burst}); // 3 items per millisecond
        EXPECT_GE(t.back(), 3300ms);
        EXPECT_LE(t.back(), 3335ms);
    }
}

TEST_F(throttle_test, ADeadlineEndsTheWait) {
    testing::sink_log<chunk> log;
    const outcome end = run(pipeline({.timeout = 5s}, chunks(1000, 3), throttle({.bytes_per_second = 1, .burst = 1000}),
                                     testing::recording_sink<chunk>(log)));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::timed_out);
    EXPECT_EQ(log.items.size(), 1u);
    EXPECT_EQ(sim().elapsed(), 5s);
    EXPECT_EQ(sim().home.timers_armed(), 0u);
}

TEST_F(throttle_test, ARateOfNothingIsRefused) {
    EXPECT_THROW(throttle({.bytes_per_second = 0}), std::invalid_argument);
}

} // namespace
} // namespace headgate
