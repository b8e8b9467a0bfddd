#include <headgate/core/race.hpp>
#include <headgate/flow/buffered.hpp>
#include <headgate/flow/finished.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/tools.hpp>

#include <optional>
#include <string>
#include <vector>

namespace headgate {
namespace {

using namespace std::chrono_literals;
using testing::manual_source;
using testing::paced_source;
using testing::recording_sink;
using testing::sink_log;

class finished_test : public testing::simulated_test {
protected:
    manual_source<int> source;
    sink_log<int> log;
    nursery n;
};

// Notes each end it is told of.
task<> note_end(task<outcome> end, std::vector<std::string>* ends) {
    const outcome o = co_await std::move(end);
    ends->push_back(o ? std::to_string(o->items) + " items" : o.error().message());
}
task<> ignore(task<outcome> work) { (void)co_await std::move(work); }

TEST_F(finished_test, TellsOfTheEnd) {
    std::vector<std::string> ends;
    auto [in, end] = finished(source.open());
    n.spawn(note_end(std::move(end), &ends));
    n.spawn(ignore(pipeline(std::move(in), recording_sink<int>(log))));
    source.push(1);
    source.push(2);
    sim().advance(1ms);
    EXPECT_TRUE(ends.empty());
    source.end();
    sim().advance(1ms);
    EXPECT_EQ(ends, std::vector<std::string>{"2 items"});
    EXPECT_TRUE(n.empty());
}

TEST_F(finished_test, TellsOfTheErrorOfItsFlow) {
    std::vector<std::string> ends;
    auto [in, end] = finished(source.open());
    n.spawn(note_end(std::move(end), &ends));
    n.spawn(ignore(pipeline(std::move(in), recording_sink<int>(log))));
    source.fail(errc::refused);
    sim().advance(1ms);
    EXPECT_EQ(ends, std::vector<std::string>{"refused at stage 0 (source)"});
}

TEST_F(finished_test, TellsOfTheAbortWhileItIsPulled) {
    std::vector<std::string> ends;
    abort_source abort;
    auto [in, end] = finished(source.open());
    n.spawn(note_end(std::move(end), &ends));
    n.spawn(ignore(pipeline({.abort = abort.signal()}, std::move(in), recording_sink<int>(log))));
    abort.abort();
    sim().advance(1ms);
    EXPECT_EQ(ends, std::vector<std::string>{"aborted by the caller"});
}

TEST_F(finished_test, TellsOfItsDestruction) {
    std::vector<std::string> ends;
    nursery others;
    {
        auto [in, end] = finished(source.open()); // never pulled
        n.spawn(note_end(std::move(end), &ends));
    }
    {
        auto [in, end] = finished(source.open());
        n.spawn(note_end(std::move(end), &ends));
        others.spawn(ignore(pipeline(std::move(in), recording_sink<int>(log))));
        EXPECT_TRUE(source.waiting());
        others.clear();
    }
    sim().advance(1ms);
    const std::string dropped = "premature close by the caller: destroyed before its end";
    EXPECT_EQ(ends, (std::vector<std::string>{dropped, dropped}));
    EXPECT_TRUE(n.empty());
}

TEST_F(finished_test, TellsWhoAsksLater) {
    std::vector<std::string> ends;
    std::optional<task<outcome>> kept;
    {
        auto [in, end] = finished(paced_source(std::vector{1, 2, 3}, 1ms));
        run(ignore(pipeline(std::move(in), recording_sink<int>(log))));
        kept.emplace(std::move(end));
    }
    n.spawn(note_end(std::move(*kept), &ends));
    EXPECT_EQ(ends, std::vector<std::string>{"3 items"});
    sim().advance(0ms);
    kept.reset();
}

TEST_F(finished_test, TheWaiterMayBeDroppedFirst) {
    {
        auto [in, end] = finished(source.open());
        {
            const task<outcome> dropped = std::move(end); // not even begun
        }
        n.spawn(ignore(pipeline(std::move(in), recording_sink<int>(log))));
        source.end();
        sim().advance(1ms);
    }
    manual_source<int> second;
    std::vector<std::string> ends;
    auto [in, end] = finished(second.open());
    nursery waiters;
    waiters.spawn(note_end(std::move(end), &ends));
    waiters.clear();
    n.spawn(ignore(pipeline(std::move(in), recording_sink<int>(log))));
    second.end();
    sim().advance(1ms);
    EXPECT_TRUE(ends.empty());
}

TEST_F(finished_test, TheWaiterMayBeDroppedBetweenTheEndAndItsTurn) {
    std::vector<std::string> ends;
    nursery waiters;
    {
        auto [in, end] = finished(source.open());
        waiters.spawn(note_end(std::move(end), &ends));
    }
    waiters.clear();
    sim().advance(1ms);
    EXPECT_TRUE(ends.empty());
}

task<> try_until_error(stream<int> in) {
    while (auto item = co_await in.try_next())
        if (!*item) co_return;
}

TEST_F(finished_test, TellsOfTheErrorAlsoWhenItIsRecoveredFrom) {
    std::vector<std::string> ends;
    auto [in, end] = finished(source.open());
    n.spawn(note_end(std::move(end), &ends));
    n.spawn(try_until_error(std::move(in)));
    source.push(1);
    source.fail(errc::protocol);
    sim().advance(1ms);
    EXPECT_EQ(ends, std::vector<std::string>{"protocol error by the caller"});
    EXPECT_TRUE(n.empty());
}

TEST_F(finished_test, IsDroppedWhileItIsTried) {
    std::vector<std::string> ends;
    auto [in, end] = finished(source.open());
    n.spawn(note_end(std::move(end), &ends));
    nursery others;
    others.spawn(try_until_error(std::move(in)));
    others.clear();
    sim().advance(1ms);
    EXPECT_EQ(ends.size(), 1u);
}

TEST_F(finished_test, InTheMiddleOfAChainItTellsOfItsOwnPart) {
    struct watch_here {
        nursery* n;
        std::vector<std::string>* ends;
        stream<int> operator()(stream<int> in) const {
            auto [watched, end] = finished(std::move(in));
            n->spawn(note_end(std::move(end), ends));
            return std::move(watched);
        }
    };
    std::vector<std::string> ends;
    n.spawn(ignore(pipeline(paced_source(std::vector{1, 2, 3}, 1ms), watch_here{&n, &ends}, buffered(1000),
                            testing::slow_sink<int>(sizeof(int), 1s))));
    sim().advance(10ms);
    EXPECT_EQ(ends, std::vector<std::string>{"3 items"}) << "the part before the buffer has ended";
    EXPECT_FALSE(n.empty());
    sim().advance(10s);
    EXPECT_TRUE(n.empty());
}

} // namespace
} // namespace headgate
