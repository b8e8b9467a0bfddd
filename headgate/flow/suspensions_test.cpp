#include <headgate/core/race.hpp>
#include <headgate/flow/buffered.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/testing/suspensions.hpp>
#include <headgate/testing/tools.hpp>

#include <gtest/gtest.h>

// Flows of the library, ended in every way at every point: see testing/suspensions.hpp.
namespace headgate {
namespace {

using namespace std::chrono_literals;
using testing::at_every_suspension;
using testing::paced_source;
using testing::slow_sink;
using testing::trial;

stream<chunk> passing(stream<chunk> in) {
    while (auto c = co_await in.next()) co_yield std::move(*c);
}

TEST(suspensions_test, SourceStageSink) {
    const auto report = at_every_suspension([](trial& t) {
        return pipeline({.abort = t.abort(), .timeout = t.timeout()},
                        t.finished(t.source(paced_source(1, 1000, 100, 2ms))), passing, t.stage(),
                        t.sink(slow_sink<chunk>(200, 3ms)));
    });
    EXPECT_TRUE(report.ok()) << report;
    EXPECT_GT(report.points, 15u);
    EXPECT_GT(report.runs, 5 * report.points);
}

TEST(suspensions_test, Buffered) {
    const auto report = at_every_suspension([](trial& t) {
        return pipeline({.abort = t.abort(), .timeout = t.timeout()},
                        t.finished(t.source(paced_source(1, 1000, 100, 1ms))), buffered(250), t.stage(), buffered(150),
                        t.sink(slow_sink<chunk>(100, 3ms)));
    });
    EXPECT_TRUE(report.ok()) << report;
}

TEST(suspensions_test, FinishedInTheMiddle) {
    const auto report = at_every_suspension([](trial& t) {
        return pipeline({.abort = t.abort(), .timeout = t.timeout()},
                        t.finished(passing(t.finished(t.source(paced_source(1, 500, 100, 1ms))))), t.stage(),
                        t.sink(slow_sink<chunk>(100, 3ms)));
    });
    EXPECT_TRUE(report.ok()) << report;
}

// A pipeline inside a stage of another one: what ends the outer one ends the inner one.
stream<chunk> with_a_side_flow(stream<chunk> in) {
    while (auto c = co_await in.next()) {
        const outcome side = co_await pipeline(paced_source(2, 20, 10, 1ms), slow_sink<chunk>(10, 1ms));
        if (!side) co_await fail(side.error().code);
        co_yield std::move(*c);
    }
}

TEST(suspensions_test, NestedPipelines) {
    const auto report = at_every_suspension([](trial& t) {
        return pipeline({.abort = t.abort(), .timeout = t.timeout()},
                        t.finished(t.source(paced_source(1, 300, 100, 1ms))), with_a_side_flow, t.stage(),
                        t.sink(slow_sink<chunk>(100, 3ms)));
    });
    EXPECT_TRUE(report.ok()) << report;
}

// Tries the first stream and, if it fails, goes on with the second.
stream<chunk> either(stream<chunk> first, stream<chunk> second) {
    for (;;) {
        auto c = co_await first.try_next();
        if (!c) break;
        if (!*c) co_return;
        co_yield std::move(**c);
    }
    while (auto c = co_await second.next()) co_yield std::move(*c);
}

TEST(suspensions_test, RecoveryFromAFailedSource) {
    testing::suspension_options recovers;
    recovers.names_cause = false;
    const auto report = at_every_suspension(
        [](trial& t) {
            return pipeline(
                {.abort = t.abort(), .timeout = t.timeout()},
                either(t.finished(t.source(paced_source(1, 300, 100, 1ms))), paced_source(2, 300, 100, 1ms)), t.stage(),
                t.sink(slow_sink<chunk>(100, 3ms)));
        },
        recovers);
    // After the source's failure the rest is taken from the second stream.
    EXPECT_TRUE(report.ok()) << report;
}

task<outcome> first_of(task<outcome> a, task<outcome> b) {
    auto first = co_await race(std::move(a), std::move(b));
    co_return std::visit([](outcome& o) { return std::move(o); }, first);
}
task<outcome> sum_of(task<outcome> a, task<outcome> b) {
    auto [x, y] = co_await all(std::move(a), std::move(b));
    if (!x) co_return x;
    if (!y) co_return y;
    co_return transfer{x->items + y->items, x->bytes + y->bytes, {}};
}

TEST(suspensions_test, ARaceOfPipelines) {
    const auto report = at_every_suspension([](trial& t) {
        auto slow = pipeline(t.finished(paced_source(1, 300, 10, 2ms)), slow_sink<chunk>(100, 3ms));
        return first_of(pipeline({.abort = t.abort(), .timeout = t.timeout()},
                                 t.finished(t.source(paced_source(1, 300, 100, 2ms))), t.stage(),
                                 t.sink(slow_sink<chunk>(100, 3ms))),
                        std::move(slow));
    });
    EXPECT_TRUE(report.ok()) << report;
}

TEST(suspensions_test, PipelinesSideBySide) {
    const auto report = at_every_suspension([](trial& t) {
        auto other = pipeline(t.finished(paced_source(1, 300, 50, 2ms)), buffered(60), slow_sink<chunk>(100, 1ms));
        return sum_of(pipeline({.abort = t.abort(), .timeout = t.timeout()},
                               t.finished(t.source(paced_source(1, 300, 100, 2ms))), t.stage(),
                               t.sink(slow_sink<chunk>(100, 3ms))),
                      std::move(other));
    });
    EXPECT_TRUE(report.ok()) << report;
}

} // namespace
} // namespace headgate
