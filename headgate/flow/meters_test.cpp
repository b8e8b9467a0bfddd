#include <headgate/flow/buffered.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/tools.hpp>

#include <string>
#include <vector>

namespace headgate {
namespace {

using namespace std::chrono_literals;
using testing::paced_source;
using testing::paced_stage;
using testing::slow_sink;

task<> ignore(task<outcome> work) { (void)co_await std::move(work); }

class meters_test : public testing::simulated_test {
protected:
    // Starts a chain of a source, a stage and a sink that take so long for each item; without a buffer.
    void start(duration source, duration stage, duration sink) {
        n.spawn(ignore(pipeline({.watchers = &watchers}, paced_source(std::vector<int>(1000), source),
                                paced_stage{stage}, slow_sink<int>(sizeof(int) - 1, sink))));
    }
    live_pipeline& live() { return static_cast<live_pipeline&>(*watchers.next); }
    std::vector<stage_report> report() { return live().report(sim().home.now()); }

    list_node watchers;
    nursery n;
};

TEST_F(meters_test, ClocksAddUp) {
    start(1ms, 2ms, 3ms);
    sim().advance(60ms); // ten rounds
    const auto parts = report();
    ASSERT_EQ(parts.size(), 3u);
    EXPECT_EQ(parts[0].working, 10ms);
    EXPECT_EQ(parts[0].waiting_for_source, 0ms);
    EXPECT_EQ(parts[0].waiting_for_consumer, 50ms);
    EXPECT_EQ(parts[1].waiting_for_source, 10ms);
    EXPECT_EQ(parts[1].working, 20ms);
    EXPECT_EQ(parts[1].waiting_for_consumer, 30ms);
    EXPECT_EQ(parts[2].waiting_for_source, 30ms);
    EXPECT_EQ(parts[2].working, 30ms);
    for (const auto& p : parts) {
        EXPECT_EQ(p.waiting_for_source + p.working + p.waiting_for_consumer, 60ms) << p.name;
        EXPECT_EQ(p.items, 10u);
        EXPECT_EQ(p.bytes, 10 * sizeof(int));
    }
    EXPECT_EQ(std::string(parts[1].name), "paced");
    EXPECT_EQ(std::string(parts[2].name), "slow sink");
    EXPECT_EQ(parts[2].where, side::sink);
}

TEST_F(meters_test, AWaitThatLastsIsCounted) {
    start(1s, 1ms, 1ms);
    sim().advance(500ms);
    const auto parts = report();
    EXPECT_EQ(parts[0].working, 500ms);
    EXPECT_EQ(parts[1].waiting_for_source, 500ms);
    EXPECT_EQ(parts[2].waiting_for_source, 500ms);
    EXPECT_EQ(parts[2].items, 0u);
}

TEST_F(meters_test, TheBottleneckIsNamed) {
    start(5ms, 1ms, 1ms);
    sim().advance(100ms);
    EXPECT_EQ(live().bottleneck(sim().home.now()), 0u);
    n.clear();
    start(1ms, 5ms, 1ms);
    sim().advance(100ms);
    EXPECT_EQ(live().bottleneck(sim().home.now()), 1u);
    n.clear();
    start(1ms, 1ms, 5ms);
    sim().advance(100ms);
    EXPECT_EQ(live().bottleneck(sim().home.now()), 2u);
}

// With a buffer between, the parts work at the same time; the slowest is still the one that is named.
TEST_F(meters_test, TheBottleneckBehindAndBeforeABuffer) {
    for (const auto& [source, sink, slowest] : {std::tuple(5ms, 1ms, 0u), std::tuple(1ms, 5ms, 2u)}) {
        n.spawn(ignore(pipeline({.watchers = &watchers}, paced_source(std::vector<int>(1000), source), buffered(100),
                                slow_sink<int>(sizeof(int) - 1, sink))));
        sim().advance(500ms);
        EXPECT_EQ(live().bottleneck(sim().home.now()), slowest);
        n.clear();
    }
}

TEST_F(meters_test, TheListHoldsOnlyLivePipelines) {
    EXPECT_FALSE(watchers.linked());
    start(1ms, 1ms, 1ms);
    EXPECT_TRUE(watchers.linked());
    EXPECT_EQ(live().started, sim().home.now());
    n.clear();
    EXPECT_FALSE(watchers.linked());
}

} // namespace
} // namespace headgate
