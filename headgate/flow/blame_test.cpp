#include <headgate/flow/blame.hpp>
#include <headgate/flow/buffered.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/tools.hpp>

#include <array>
#include <string>
#include <vector>

namespace headgate {
namespace {

using namespace std::chrono_literals;
using testing::manual_source;
using testing::paced_source;
using testing::paced_stage;
using testing::slow_sink;

task<> ignore(task<outcome> work) { (void)co_await std::move(work); }

class blame_test : public testing::simulated_test {
protected:
    template <class... Parts>
    void start(Parts... parts) {
        n.spawn(ignore(pipeline({.watchers = &watchers}, std::move(parts)...)));
    }
    std::optional<blame> verdict() {
        const auto& live = static_cast<live_pipeline&>(*watchers.next);
        const time_point now = sim().home.now();
        return judge(live.report(now), now - live.started);
    }

    list_node watchers;
    nursery n;
};

TEST_F(blame_test, NobodyIsToBlameForAChainThatHasTakenNoTime) {
    manual_source<int> source;
    start(source.open(), slow_sink<int>(100, 1ms));
    EXPECT_FALSE(verdict());
    n.clear(); // before its source
}

TEST_F(blame_test, ASinkThatStallsIsBlamedAtOnceHoweverLongTheSourceTookBefore) {
    start(paced_source(std::vector<int>(3), 10s), slow_sink<int>(2 * sizeof(int), 1h)); // has room for two
    sim().advance(29s);
    ASSERT_TRUE(verdict());
    EXPECT_EQ(verdict()->stage, 0u);
    sim().advance(1s + 2s);
    ASSERT_TRUE(verdict());
    EXPECT_EQ(verdict()->stage, 1u);
    EXPECT_EQ(verdict()->stalled, 2s);
    EXPECT_NEAR(verdict()->share, 2.0 / 32, 0.001);
}

TEST_F(blame_test, ASourceThatStallsIsBlamedThroughAllStages) {
    manual_source<int> source;
    start(source.open(), paced_stage{10ms}, buffered(100), slow_sink<int>(1, 20ms));
    source.push(1);
    sim().advance(5s);
    ASSERT_TRUE(verdict());
    EXPECT_EQ(verdict()->stage, 0u);
    EXPECT_EQ(verdict()->stalled, 5s - 10ms); // since it was asked for another
    source.push(2);
    sim().advance(100ms);
    EXPECT_EQ(verdict()->stage, 0u);
    EXPECT_EQ(verdict()->stalled, 0s) << "it moves again";
    n.clear();
}

TEST_F(blame_test, AStageIsBlamedForItsOwnWorkAlone) {
    start(paced_source(std::vector<int>(1000), 1ms), paced_stage{8ms}, slow_sink<int>(1, 1ms));
    sim().advance(1s);
    ASSERT_TRUE(verdict());
    EXPECT_EQ(verdict()->stage, 1u);
    EXPECT_NEAR(verdict()->share, 0.8, 0.01);
    EXPECT_EQ(verdict()->stalled, 0s);
}

TEST_F(blame_test, ABufferBetweenDoesNotHideWhoIsWaitedFor) {
    start(paced_source(std::vector<int>(100000), 1ms), buffered(100000), slow_sink<int>(1, 5ms));
    sim().advance(1s);
    ASSERT_TRUE(verdict());
    EXPECT_EQ(verdict()->stage, 2u);
    n.clear();
    start(paced_source(std::vector<int>(1000), 5ms), buffered(1000), slow_sink<int>(1, 1ms));
    sim().advance(1s);
    ASSERT_TRUE(verdict());
    EXPECT_EQ(verdict()->stage, 0u);
    EXPECT_GT(verdict()->share, 0.9);
}

TEST_F(blame_test, AtItsEndAChainIsReportedWithNothingHeld) {
    struct list : list_node {
        std::size_t held_max = 0, held = 1, parts = 0;
    } watched;
    pipe_options o{.watchers = &watched};
    o.ended = [](list_node& l, const live_pipeline& p) noexcept {
        auto& to = static_cast<list&>(l);
        std::array<stage_report, 8> room;
        to.held = 0;
        for (const stage_report& r : p.report(p.started, room)) {
            ++to.parts;
            to.held += r.held;
            to.held_max += r.held_max;
        }
    };
    n.spawn(ignore(pipeline(o, paced_source(std::vector<int>(1000), 1ms), buffered(1000), slow_sink<int>(1, 1h))));
    sim().advance(1s);
    EXPECT_EQ(watched.parts, 0u);
    n.clear(); // dropped in the middle
    EXPECT_EQ(watched.parts, 3u);
    EXPECT_EQ(watched.held, 0u);
    EXPECT_GE(watched.held_max, 1000u);
}

TEST(waited_for_test, FromTheSinkToTheSource) {
    using enum stage_state;
    const auto of = [](std::vector<stage_state> states) {
        std::vector<stage_report> parts(states.size());
        for (std::size_t i = 0; i < states.size(); ++i) parts[i].state = states[i];
        return waited_for(parts);
    };
    EXPECT_EQ(of({waiting_for_consumer, waiting_for_consumer, working}), 2u);
    EXPECT_EQ(of({waiting_for_consumer, working, waiting_for_source}), 1u);
    EXPECT_EQ(of({working, waiting_for_source, waiting_for_source}), 0u);
    EXPECT_EQ(of({done, working, waiting_for_source}), 1u);
    EXPECT_EQ(of({done, working, working}), 2u);
    EXPECT_FALSE(of({waiting_for_consumer, waiting_for_consumer, waiting_for_source}));
    EXPECT_FALSE(of({done, done, done}));
}

} // namespace
} // namespace headgate
