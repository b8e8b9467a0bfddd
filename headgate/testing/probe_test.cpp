#include <headgate/flow/buffered.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/probe.hpp>
#include <headgate/testing/tools.hpp>

#include <sstream>

namespace headgate::testing {
namespace {

using namespace std::chrono_literals;

class probe_test : public simulated_test {};

task<outcome> discard(task<outcome> work) { co_return co_await std::move(work); }

TEST_F(probe_test, ASlowSinkHoldsTheProducerBack) {
    probe queue;
    ASSERT_TRUE(run(pipeline(queue.producer(counting_source(100)), slow_sink<std::size_t>(16, 10ms, queue))));
    EXPECT_TRUE(queue.held_back(16)) << queue;
    EXPECT_EQ(queue.items, 100u);
    EXPECT_EQ(queue.items_held, 0u);
    EXPECT_EQ(queue.items_held_max, 3u); // two in the queue, one on its way to it
    EXPECT_EQ(queue.pause_max, 10ms);
    EXPECT_GE(queue.pauses, 90u);
}

TEST_F(probe_test, ASlowProducerShowsNothing) {
    probe queue;
    ASSERT_TRUE(
        run(pipeline(queue.producer(paced_source(std::vector{1, 2, 3}, 10ms)), slow_sink<int>(64, 1ms, queue))));
    EXPECT_TRUE(queue.within(sizeof(int))) << queue; // the sink notices with the next write what is gone
    EXPECT_EQ(queue.pauses, 0u);
    EXPECT_FALSE(queue.held_back(64)) << queue;
}

// A stage that breaks the rule: it takes everything before it gives anything.
stream<std::size_t> hoard(stream<std::size_t> in) {
    std::vector<std::size_t> all;
    while (auto i = co_await in.next()) all.push_back(*i);
    for (const std::size_t i : all) co_yield i;
}

TEST_F(probe_test, AStageThatTakesEverythingIsFoundOut) {
    probe queue;
    ASSERT_TRUE(run(pipeline(queue.producer(counting_source(100)), hoard, slow_sink<std::size_t>(16, 1ms, queue))));
    EXPECT_FALSE(queue.held_back(16)) << queue;
    EXPECT_EQ(queue.items_held_max, 100u);
}

TEST_F(probe_test, AStageIsMeasuredBetweenItsTwoEnds) {
    probe queue;
    ASSERT_TRUE(
        run(discard(pipeline(counting_source(100), queue.around(buffered(40)), slow_sink<std::size_t>(8, 10ms)))));
    EXPECT_TRUE(queue.held_back(40)) << queue;
    EXPECT_EQ(queue.items_held_max, 6u); // five in the buffer, one read and not in yet
}

TEST_F(probe_test, TellsWhatItSaw) {
    probe queue;
    ASSERT_TRUE(run(pipeline(queue.producer(counting_source(3)), slow_sink<std::size_t>(8, 10ms, queue))));
    std::ostringstream text;
    text << queue;
    EXPECT_EQ(text.str(),
              "3 items (24 bytes) passed; at most 2 items (16 bytes) were held; the producer paused 2 times, "
              "20 ms in all, 10 ms at the longest");
}

TEST_F(probe_test, APacedBodyChecksItself) {
    sink_log<chunk> log;
    ASSERT_TRUE(run(pipeline(paced_source(7, 100, 30, 1ms), recording_sink<chunk>(log))));
    std::string all;
    for (const chunk& c : log.items) all += c.text();
    EXPECT_EQ(all, body_bytes(7, 0, 100));
    EXPECT_EQ(log.items.size(), 4u);
    EXPECT_EQ(sim().elapsed(), 4ms);
    EXPECT_NE(body_bytes(7, 0, 8), body_bytes(8, 0, 8));
    EXPECT_NE(body_bytes(7, 0, 8), body_bytes(7, 8, 8));
}

} // namespace
} // namespace headgate::testing
