#include <headgate/flow/buffered.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/tools.hpp>

#include <string>
#include <vector>

namespace headgate {
namespace {

using namespace std::chrono_literals;
using testing::manual_source;
using testing::recording_sink;
using testing::sink_log;
using testing::slow_sink;

class buffered_test : public testing::simulated_test {
protected:
    nursery n;
};

task<> ignore(task<outcome> work) { (void)co_await std::move(work); }

// Makes `n` items of ten bytes, ready at once, and counts them.
stream<std::string> tens(std::size_t* made, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
        ++*made;
        co_yield std::string(10, static_cast<char>('a' + i % 26));
    }
}

TEST_F(buffered_test, ReadsAheadUpToItsLimitAndThenPauses) {
    std::size_t made = 0;
    list_node watchers;
    n.spawn(
        ignore(pipeline({.watchers = &watchers}, tens(&made, 1000), buffered(100), slow_sink<std::string>(10, 1s))));
    std::size_t most = 0;
    for (int second = 0; second < 20; ++second) {
        sim().advance(1s);
        const auto parts = static_cast<live_pipeline&>(*watchers.next).report(sim().home.now());
        EXPECT_LE(parts[1].held_max, 100u);
        EXPECT_EQ(parts[1].limit, 100u);
        most = std::max(most, parts[1].held_max);
        // In the buffer 10, one beside it that waits for room, one or two in the sink, and what the sink has taken.
        EXPECT_LE(made, 10u + 1 + 2 + static_cast<std::size_t>(second) + 1);
    }
    EXPECT_EQ(most, 100u);
    EXPECT_GT(made, 20u);
    n.clear();
}

TEST_F(buffered_test, KeepsOrderAndEnds) {
    std::size_t made = 0;
    sink_log<std::string> log;
    const outcome end = run(pipeline(tens(&made, 1000), buffered(35), buffered(7), recording_sink<std::string>(log)));
    ASSERT_TRUE(end);
    ASSERT_EQ(log.items.size(), 1000u);
    for (std::size_t i = 0; i < 1000; ++i) ASSERT_EQ(log.items[i], std::string(10, static_cast<char>('a' + i % 26)));
}

TEST_F(buffered_test, TheSourceRunsWhileTheConsumerIsBusy) {
    const outcome end = run(pipeline(testing::paced_source(std::vector<int>(10), 10ms), buffered(1000),
                                     slow_sink<int>(sizeof(int) - 1, 10ms)));
    ASSERT_TRUE(end);
    EXPECT_EQ(sim().elapsed(), 110ms); // and not 200
}

TEST_F(buffered_test, TheSourceIsReleasedWhileItsItemsWait) {
    manual_source<int> source;
    for (int i = 0; i < 5; ++i) source.push(i);
    source.end();
    n.spawn(ignore(pipeline(source.open(), buffered(1000), slow_sink<int>(sizeof(int), 1s))));
    sim().advance(1ms);
    EXPECT_FALSE(source.alive());
    EXPECT_FALSE(n.empty());
    sim().advance(10s);
    EXPECT_TRUE(n.empty());
}

TEST_F(buffered_test, AFailureOfTheSourceIsTheSources) {
    manual_source<int> source;
    sink_log<int> log;
    source.push(1);
    source.fail(errc::protocol);
    const outcome end = run(pipeline(source.open(), buffered(1000), recording_sink<int>(log)));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().where, side::source);
    EXPECT_EQ(end.error().stage, 0);
}

struct failing_later {
    task<> write(int) {
        co_await sleep_for(5ms);
        co_await fail(errc::refused);
    }
    task<> finish() { co_return; }
};

TEST_F(buffered_test, TheSourceDoesNotRunAfterTheSinkHasFailed) {
    manual_source<int> source;
    source.push(1);
    source.push(2);
    const outcome end = run(pipeline(source.open(), buffered(1000), failing_later{}));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().where, side::sink);
    EXPECT_FALSE(source.alive());
    EXPECT_EQ(source.pulls(), 3u); // two items and the wait for a third
}

stream<int> recovering(stream<int> in) {
    for (;;) {
        auto item = co_await in.try_next();
        if (!item) {
            co_yield -1;
            co_return;
        }
        if (!*item) co_return;
        co_await sleep_for(20ms);
        co_yield **item;
    }
}

// The buffer's source fails while nobody pulls the buffer: the stage behind it hears of it with its next try.
TEST_F(buffered_test, AStageBehindTheBufferRecovers) {
    sink_log<int> log;
    struct broken {
        static stream<int> source() {
            for (int i = 0; i < 3; ++i) {
                co_await sleep_for(5ms);
                co_yield i;
            }
            co_await fail(errc::premature_close);
        }
    };
    const outcome end = run(pipeline(broken::source(), buffered(1000), recovering, recording_sink<int>(log)));
    ASSERT_TRUE(end);
    ASSERT_FALSE(log.items.empty());
    EXPECT_EQ(log.items.back(), -1);
    EXPECT_EQ(log.items.front(), 0);
}

task<int> pull_one(stream<int>* in) {
    auto item = co_await in->next();
    co_return item ? *item : -1;
}
stream<int> head_in_an_attempt(stream<int> in) {
    const auto head = co_await attempt(pull_one(&in));
    if (!head) co_await fail(head.error().code);
    co_await sleep_for(1s); // the source fails meanwhile
    ADD_FAILURE() << "the chain went on after its source had failed";
    co_yield *head;
}

// The first item is taken in an attempt, which has ended when the source fails in the buffer: that fails the chain.
TEST_F(buffered_test, ASourceThatFailsAfterAnAttemptHasPulledTheBuffer) {
    manual_source<int> source;
    sink_log<int> log;
    source.push(1);
    nursery feeding;
    struct feed {
        static task<> fail_later(manual_source<int>* source) {
            co_await sleep_for(100ms);
            source->fail(errc::protocol);
        }
    };
    feeding.spawn(feed::fail_later(&source));
    const outcome end = run(pipeline(source.open(), buffered(1000), head_in_an_attempt, recording_sink<int>(log)));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::protocol);
    EXPECT_EQ(end.error().where, side::source);
    EXPECT_EQ(sim().elapsed(), 100ms);
}

task<> through_two_buffers() {
    std::size_t made = 0;
    const outcome end = co_await pipeline(tens(&made, 20), buffered(30), buffered(50), slow_sink<std::string>(20, 2ms));
    EXPECT_TRUE(end);
}

TEST_F(buffered_test, IsDroppedAtEveryTurn) {
    const auto report = testing::drop_at_every_turn([](testing::simulation&) { return through_two_buffers(); });
    EXPECT_EQ(report.problem, "");
    EXPECT_GT(report.turns, 15u);
}

} // namespace
} // namespace headgate
