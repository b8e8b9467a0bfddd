#include <headgate/core/race.hpp>
#include <headgate/flow/buffered.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/tools.hpp>

#include <memory>
#include <string>
#include <vector>

namespace headgate {
namespace {

using namespace std::chrono_literals;
using testing::counting_source;
using testing::manual_source;
using testing::paced_source;
using testing::recording_sink;
using testing::sink_log;
using testing::slow_sink;

using ints = std::vector<std::size_t>;

class pipeline_test : public testing::simulated_test {
protected:
    manual_source<std::size_t> source;
    sink_log<std::size_t> log;
    recording_sink<std::size_t> sink() { return recording_sink<std::size_t>(log); }

    // What every failed pipeline must come to: all parts are gone.
    void expect_gone() {
        EXPECT_FALSE(source.alive());
        EXPECT_FALSE(log.alive);
        EXPECT_FALSE(log.finished);
    }
};

stream<std::size_t> doubled(stream<std::size_t> in) {
    while (auto i = co_await in.next()) co_yield *i * 2;
}

TEST_F(pipeline_test, MovesEverythingAndSaysWhat) {
    const outcome end = run(pipeline(paced_source(ints{1, 2, 3}, 10ms), doubled, doubled, sink()));
    ASSERT_TRUE(end);
    EXPECT_EQ(end->items, 3u);
    EXPECT_EQ(end->bytes, 3 * sizeof(std::size_t));
    EXPECT_EQ(end->elapsed, 30ms);
    EXPECT_EQ(log.items, (ints{4, 8, 12}));
    EXPECT_TRUE(log.finished);
    EXPECT_FALSE(log.alive);
}

TEST_F(pipeline_test, AnEmptySourceIsASuccess) {
    const outcome end = run(pipeline(counting_source(0), sink()));
    ASSERT_TRUE(end);
    EXPECT_EQ(end->items, 0u);
    EXPECT_TRUE(log.finished);
}

// --- first causes

TEST_F(pipeline_test, ASourceThatFailsIsNamed) {
    source.push(1);
    source.fail(std::make_error_code(std::errc::io_error));
    const outcome end = run(pipeline(source.open(), doubled, sink()));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, std::errc::io_error);
    EXPECT_EQ(end.error().where, side::source);
    EXPECT_EQ(end.error().stage, 0);
    EXPECT_EQ(log.items, ints{2});
    expect_gone();
}

TEST_F(pipeline_test, AStageThatFailsIsNamed) {
    for (std::size_t i = 0; i < 5; ++i) source.push(i);
    const outcome end = run(pipeline(source.open(), doubled, testing::fail_after{2, errc::protocol}, doubled, sink()));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::protocol);
    EXPECT_EQ(end.error().where, side::stage);
    EXPECT_EQ(end.error().stage, 2);
    EXPECT_EQ(end.error().message(), "protocol error at stage 2 (stage)");
    EXPECT_EQ(source.pulls(), 2u) << "the source ran after the stage had failed";
    expect_gone();
}

// A sink that fails, or throws, at an item or at the end.
struct failing_sink {
    std::size_t writes;
    bool throws = false;
    duration delay{};

    task<> write(std::size_t) {
        co_await sleep_for(delay);
        if (writes-- == 0) co_await give_up();
    }
    task<> finish() { co_await give_up(); }
    task<> give_up() {
        if (throws) throw std::system_error(EDQUOT, std::system_category());
        co_await fail(errc::limit_exceeded, "sink");
    }
};

TEST_F(pipeline_test, ASinkThatFailsIsNamed) {
    for (std::size_t i = 0; i < 5; ++i) source.push(i);
    const outcome end = run(pipeline(source.open(), doubled, failing_sink{2}));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::limit_exceeded);
    EXPECT_EQ(end.error().where, side::sink);
    EXPECT_EQ(end.error().stage, 2);
    EXPECT_EQ(end.error().detail, "sink");
    EXPECT_EQ(source.pulls(), 3u);
    EXPECT_FALSE(source.alive());
}

TEST_F(pipeline_test, ASinkThatFailsToFinishIsNamed) {
    for (const bool throws : {false, true}) {
        const outcome end = run(pipeline(counting_source(3), failing_sink{10, throws, 1ms}));
        ASSERT_FALSE(end);
        EXPECT_EQ(end.error().where, side::sink);
        EXPECT_EQ(end.error().stage, 1);
        if (throws) EXPECT_EQ(end.error().code.value(), EDQUOT);
    }
}

enum class what { code, memory, text, number };
template <what What>
stream<std::size_t> throwing(stream<std::size_t> in) {
    while (auto i = co_await in.next()) {
        if (*i == 2) {
            if constexpr (What == what::code) throw std::system_error(ENOSPC, std::system_category(), "disk");
            if constexpr (What == what::memory) throw std::bad_alloc();
            if constexpr (What == what::text) throw std::logic_error("broken");
            if constexpr (What == what::number) throw 5;
        }
        co_yield *i;
    }
}

TEST_F(pipeline_test, ExceptionsBecomeErrorsOfTheirStage) {
    const auto error = [this](auto stage) {
        const outcome end = run(pipeline(counting_source(10), doubled, stage, sink()));
        EXPECT_FALSE(end);
        EXPECT_EQ(end.error().where, side::stage);
        EXPECT_EQ(end.error().stage, 2);
        expect_gone();
        return end.error();
    };
    EXPECT_EQ(error(throwing<what::code>).code, std::errc::no_space_on_device);
    EXPECT_EQ(error(throwing<what::memory>).code, std::errc::not_enough_memory);
    EXPECT_EQ(error(throwing<what::text>).code, errc::failed);
    EXPECT_EQ(error(throwing<what::text>).detail, "broken");
    EXPECT_EQ(error(throwing<what::number>).code, errc::failed);
}

// A stage whose end provokes others: it fires the abort, and its destructor too; the first cause is reported.
struct aborts_when_destroyed {
    abort_source* also;
    ~aborts_when_destroyed() { also->abort(errc::overloaded); }
};
template <bool FailItself>
struct firing {
    abort_source* source;
    stream<std::size_t> operator()(stream<std::size_t> in) const { return run(std::move(in), source); }
    static stream<std::size_t> run(stream<std::size_t> in, abort_source* source) {
        const aborts_when_destroyed later{source};
        co_await in.next();
        if constexpr (FailItself) co_await fail(errc::protocol, "first");
        source->abort(errc::idle);
        co_await in.next(); // must not run the source any more
        ADD_FAILURE() << "a stage was resumed after the chain had begun to fail";
    }
};

TEST_F(pipeline_test, TheFirstCauseWins) {
    source.push(1);
    abort_source abort;
    const outcome end = run(pipeline({.abort = abort.signal()}, source.open(), firing<true>{&abort}, sink()));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::protocol);
    EXPECT_EQ(end.error().detail, "first");
    expect_gone();
}

TEST_F(pipeline_test, AStageThatFiresTheAbortAndPullsAgainDoesNotRunTheSource) {
    source.push(1);
    source.push(2);
    abort_source abort;
    const outcome end = run(pipeline({.abort = abort.signal()}, source.open(), firing<false>{&abort}, sink()));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::idle);
    EXPECT_EQ(end.error().where, side::caller);
    EXPECT_EQ(source.pulls(), 1u);
    expect_gone();
}

// The same, but it yields or ends after the abort instead of pulling.
template <bool Yield>
struct firing_and_going_on {
    abort_source* source;
    stream<std::size_t> operator()(stream<std::size_t> in) const { return run(std::move(in), source); }
    static stream<std::size_t> run(stream<std::size_t> in, abort_source* source) {
        co_await in.next();
        source->abort();
        if constexpr (Yield) co_yield 1;
    }
};

TEST_F(pipeline_test, NothingReachesTheSinkAfterTheAbort) {
    const auto check = [this](auto stage, abort_source& abort) {
        manual_source<std::size_t> one;
        one.push(1);
        const outcome end = run(pipeline({.abort = abort.signal()}, one.open(), stage, sink()));
        EXPECT_FALSE(end);
        EXPECT_EQ(log.items, ints{});
        expect_gone();
    };
    abort_source first, second;
    check(firing_and_going_on<true>{&first}, first);
    check(firing_and_going_on<false>{&second}, second);
}

// --- ends from outside

task<> abort_at(abort_source* abort, duration when) {
    co_await sleep_for(when);
    abort->abort();
}
task<outcome> aborted_at(abort_source* abort, task<outcome> work, duration when) {
    auto both = co_await all(std::move(work), abort_at(abort, when));
    co_return std::get<0>(std::move(both));
}

TEST_F(pipeline_test, AnAbortEndsASilentChain) {
    abort_source abort;
    const outcome end =
        run(aborted_at(&abort, pipeline({.abort = abort.signal()}, source.open(), doubled, sink()), 50ms));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::aborted);
    EXPECT_EQ(end.error().where, side::caller);
    EXPECT_EQ(sim().elapsed(), 50ms);
    expect_gone();
}

struct counted_source {
    int* made;
    stream<std::size_t> into_stream() && {
        ++*made;
        return counting_source(3);
    }
    const char* name() const noexcept { return "counted"; }
};

TEST_F(pipeline_test, AnAbortThatFiredBeforeStartsNothing) {
    abort_source abort;
    abort.abort(errc::overloaded);
    int made = 0;
    const outcome end = run(pipeline({.abort = abort.signal()}, counted_source{&made}, doubled, sink()));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::overloaded);
    EXPECT_EQ(made, 0);
    EXPECT_EQ(log.items, ints{});
    expect_gone();
}

TEST_F(pipeline_test, AnAbortThatFiresBetweenTheCallAndTheStart) {
    abort_source abort;
    int made = 0;
    auto work = pipeline({.abort = abort.signal()}, counted_source{&made}, doubled, sink());
    abort.abort();
    EXPECT_FALSE(run(std::move(work)));
    EXPECT_EQ(made, 0);
    expect_gone();
}

TEST_F(pipeline_test, TheTimeoutIsForTheWhole) {
    const outcome end = run(pipeline({.timeout = 35ms}, paced_source(ints{1, 2, 3, 4, 5}, 10ms), doubled, sink()));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::timed_out);
    EXPECT_EQ(end.error().where, side::caller);
    EXPECT_EQ(log.items, (ints{2, 4, 6}));
    EXPECT_EQ(sim().elapsed(), 35ms);
    expect_gone();
}

TEST_F(pipeline_test, TheTimeoutAlsoEndsASlowSink) {
    const outcome end = run(pipeline({.timeout = 35ms}, counting_source(100), slow_sink<std::size_t>(8, 10ms)));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::timed_out);
    EXPECT_EQ(sim().elapsed(), 35ms);
}

// Items of growing distance: 10, 20, 30... ms.
stream<std::size_t> slowing() {
    for (std::size_t i = 1;; ++i) {
        co_await sleep_for(i * 10ms);
        co_yield i;
    }
}

TEST_F(pipeline_test, IdleIsMeasuredFromTheLastItemThatReachedTheSink) {
    const outcome end = run(pipeline({.idle = 45ms}, slowing(), sink()));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::idle);
    EXPECT_EQ(log.items, (ints{1, 2, 3, 4})); // the last one at 100 ms
    EXPECT_EQ(sim().elapsed(), 145ms);
    expect_gone();
}

stream<std::size_t> swallow(stream<std::size_t> in) {
    while (auto i = co_await in.next())
        if (*i == 0) co_yield *i;
}

TEST_F(pipeline_test, ItemsThatDoNotReachTheSinkDoNotCount) {
    const outcome end = run(pipeline({.idle = 45ms}, paced_source(ints(100, 1), 10ms), swallow, sink()));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::idle);
    EXPECT_EQ(sim().elapsed(), 45ms);
}

TEST_F(pipeline_test, IdleAlsoEndsAWriteThatHangs) {
    const outcome end = run(pipeline({.idle = 45ms}, counting_source(3), failing_sink{10, false, 1h}));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::idle);
    EXPECT_EQ(sim().elapsed(), 45ms);
}

// --- a sink that goes away

TEST_F(pipeline_test, ASinkThatGoesAwayIsNoticedWhileTheSourceIsSilent) {
    abort_source gone;
    const outcome end =
        run(aborted_at(&gone, pipeline(source.open(), doubled, recording_sink<std::size_t>(log, gone.signal())), 10ms));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::aborted); // what closed() gave
    EXPECT_EQ(end.error().where, side::sink);
    EXPECT_EQ(end.error().stage, 2);
    EXPECT_EQ(sim().elapsed(), 10ms);
    expect_gone();
}

struct gone_sink {
    task<> write(std::size_t) { co_return; }
    task<> finish() { co_return; }
    task<std::error_code> closed() { co_return std::error_code(); }
};

TEST_F(pipeline_test, ASinkThatIsGoneFromTheBeginningRunsNothing) {
    const outcome end = run(pipeline(source.open(), gone_sink{}));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::premature_close);
    EXPECT_EQ(end.error().where, side::sink);
    EXPECT_EQ(source.pulls(), 0u);
    expect_gone();
}

// --- ownership

TEST_F(pipeline_test, AnExhaustedSourceIsReleasedBeforeTheSinkHasDrained) {
    source.push(1);
    source.push(2);
    source.end();
    nursery n;
    struct work {
        static task<> drained(task<outcome> p) { EXPECT_TRUE(co_await std::move(p)); }
    };
    n.spawn(work::drained(pipeline(source.open(), doubled, slow_sink<std::size_t>(1000, 1s))));
    EXPECT_FALSE(source.alive());
    EXPECT_FALSE(n.empty());
    sim().advance(1500ms);
    EXPECT_FALSE(n.empty());
    sim().advance(1s);
    EXPECT_TRUE(n.empty());
}

// Tells of its end in a log that it shares with others.
struct noted_part {
    std::string* ends;
    const char* label;
    noted_part(std::string* e, const char* l) : ends(e), label(l) {}
    noted_part(noted_part&& o) noexcept : ends(std::exchange(o.ends, nullptr)), label(o.label) {}
    noted_part& operator=(noted_part&&) = delete;
    ~noted_part() {
        if (ends) *ends += std::string(label) + " ";
    }
};
stream<std::size_t> noted_source(noted_part) {
    for (std::size_t i = 0;; ++i) {
        co_await sleep_for(1ms);
        co_yield i;
    }
}
struct noted_stage {
    std::string* ends;
    stream<std::size_t> operator()(stream<std::size_t> in) const { return run(std::move(in), {ends, "stage"}); }
    static stream<std::size_t> run(stream<std::size_t> in, noted_part) {
        while (auto i = co_await in.next()) co_yield *i;
    }
};
struct noted_sink : noted_part {
    using noted_part::noted_part;
    task<> write(std::size_t) { co_return; }
    task<> finish() { co_return; }
};

TEST_F(pipeline_test, PartsAreDestroyedFromTheSinkToTheSource) {
    std::string ends;
    EXPECT_FALSE(run(
        pipeline({.timeout = 10ms}, noted_source({&ends, "source"}), noted_stage{&ends}, noted_sink{&ends, "sink"})));
    EXPECT_EQ(ends, "sink stage source ");
    ends.clear();
    { // not started
        auto unstarted = pipeline(noted_source({&ends, "source"}), noted_sink{&ends, "sink"});
    }
    EXPECT_NE(ends.find("source"), std::string::npos);
    EXPECT_NE(ends.find("sink"), std::string::npos);
}

struct throwing_source : noted_part {
    using noted_part::noted_part;
    stream<std::size_t> into_stream() && { throw std::system_error(EMFILE, std::system_category()); }
};
struct throwing_stage {
    stream<std::size_t> operator()(stream<std::size_t>) const { throw std::logic_error("wiring"); }
    const char* name() const noexcept { return "throwing"; }
};

TEST_F(pipeline_test, AFailureWhileWiringReleasesEverythingAndNamesTheStage) {
    std::string ends;
    outcome end = run(pipeline(noted_source({&ends, "source"}), doubled, compose(doubled, throwing_stage{}), doubled,
                               noted_sink{&ends, "sink"}));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::failed);
    EXPECT_EQ(end.error().detail, "wiring");
    EXPECT_EQ(end.error().where, side::stage);
    EXPECT_EQ(end.error().stage, 3);
    EXPECT_EQ(ends, "source sink ");
    ends.clear();
    end = run(pipeline(throwing_source{&ends, "source"}, doubled, noted_sink{&ends, "sink"}));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code.value(), EMFILE);
    EXPECT_EQ(end.error().where, side::source);
    EXPECT_EQ(end.error().stage, 0);
    EXPECT_NE(ends.find("source"), std::string::npos);
    EXPECT_NE(ends.find("sink"), std::string::npos);
}

stream<chunk> chunks(std::size_t n, duration every) {
    for (std::size_t i = 0; i < n; ++i) {
        co_await sleep_for(every);
        chunk c(std::size_t{1000});
        co_yield std::move(c);
    }
}
stream<chunk> halves(stream<chunk> in) {
    while (auto c = co_await in.next()) {
        co_yield c->slice(0, c->size() / 2);
        co_yield c->slice(c->size() / 2, c->size() - c->size() / 2);
    }
}
task<> pipe_chunks(abort_signal abort) {
    const outcome end = co_await pipeline({.abort = abort, .timeout = 1h, .idle = 1h}, chunks(5, 3ms), halves,
                                          buffered(2000), halves, slow_sink<chunk>(1000, 2ms));
    EXPECT_TRUE(end);
}

TEST_F(pipeline_test, IsDroppedAtEveryTurn) {
    abort_source abort;
    const auto report = testing::drop_at_every_turn([&](testing::simulation&) { return pipe_chunks(abort.signal()); });
    EXPECT_EQ(report.problem, "");
    EXPECT_GT(report.turns, 20u);
}

// The same with the abort fired instead: the pipeline has ended and is gone in the same turn.
task<> pipe_until_aborted(abort_signal abort, bool* ended) {
    const outcome end = co_await pipeline({.abort = abort}, chunks(5, 3ms), halves, buffered(2000), halves,
                                          slow_sink<chunk>(1000, 2ms));
    *ended = true;
    if (!end) EXPECT_EQ(end.error().code, errc::aborted);
}

TEST_F(pipeline_test, IsAbortedAtEveryTurn) {
    for (std::size_t turns = 0;; ++turns) {
        restart({.events_at_once = 1});
        abort_source abort;
        bool ended = false;
        nursery n;
        n.spawn(pipe_until_aborted(abort.signal(), &ended));
        for (std::size_t i = 0; i < turns && !ended; ++i) static_cast<void>(sim().home.turn());
        if (ended) {
            EXPECT_GT(turns, 20u);
            break;
        }
        abort.abort();
        static_cast<void>(sim().home.turn(false));
        EXPECT_TRUE(ended) << "after " << turns << " turns";
        EXPECT_TRUE(n.empty());
        EXPECT_EQ(sim().leftovers(), "");
    }
}

TEST_F(pipeline_test, PipelinesNest) {
    struct inner_sink {
        sink_log<std::size_t>* log;
        task<> write(std::size_t n) {
            const outcome end = co_await pipeline(counting_source(n), recording_sink<std::size_t>(*log));
            if (!end) co_await fail(end.error().code);
        }
        task<> finish() { co_return; }
    };
    sink_log<std::size_t> inner;
    EXPECT_TRUE(run(pipeline(counting_source(4), inner_sink{&inner})));
    EXPECT_EQ(inner.items, (ints{0, 0, 1, 0, 1, 2}));
}

stream<std::size_t> endless() {
    for (;;) co_yield 1;
}
struct discard {
    std::size_t* n;
    task<> write(std::size_t) {
        ++*n;
        co_return;
    }
    task<> finish() { co_return; }
};
task<> abort_next_turn(abort_source* abort) {
    co_await next_turn();
    abort->abort();
}

// A chain whose parts are always ready must let others have their turn, or nothing could end it.
TEST_F(pipeline_test, AChainThatNeverWaitsIsStillInterrupted) {
    std::size_t n = 0;
    abort_source abort;
    nursery others;
    others.spawn(abort_next_turn(&abort));
    const outcome end = run(pipeline({.abort = abort.signal()}, endless(), doubled, discard{&n}));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::aborted);
    EXPECT_GT(n, 0u);
    EXPECT_LE(n, 10'000u);
}

TEST_F(pipeline_test, ManyReadyItemsPass) {
    struct counting_sink {
        std::size_t* n;
        task<> write(std::size_t) {
            ++*n;
            co_return;
        }
        task<> finish() { co_return; }
    };
    std::size_t n = 0;
    const outcome end = run(pipeline(counting_source(300'000), doubled, counting_sink{&n}));
    ASSERT_TRUE(end);
    EXPECT_EQ(n, 300'000u);
    EXPECT_EQ(end->items, 300'000u);
}

} // namespace
} // namespace headgate
