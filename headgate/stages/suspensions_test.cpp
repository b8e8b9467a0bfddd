#include <headgate/flow/buffered.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/stages/gzip.hpp>
#include <headgate/stages/lines.hpp>
#include <headgate/testing/suspensions.hpp>
#include <headgate/testing/tools.hpp>

#include <gtest/gtest.h>

// The library's stages, ended in every way at every point: see testing/suspensions.hpp.
namespace headgate {
namespace {

using namespace std::chrono_literals;
using testing::at_every_suspension;
using testing::slow_sink;
using testing::trial;

stream<chunk> text_lines(int n) {
    for (int i = 0; i < n; ++i) {
        co_await sleep_for(1ms);
        co_yield chunk("a line that is cut in two by the end of the chunk, and\nthe rest of it; ");
    }
}

TEST(stages_suspensions_test, Gzip) {
    const auto report = at_every_suspension([](trial& t) {
        return pipeline({.abort = t.abort(), .timeout = t.timeout()},
                        t.finished(t.source(testing::paced_source(1, 100'000, 10'000, 1ms))), gzip(), t.stage(),
                        t.sink(slow_sink<chunk>(10'000, 1ms)));
    });
    EXPECT_TRUE(report.ok()) << report;
    EXPECT_GT(report.points, 10u);
}

TEST(stages_suspensions_test, GzipThatFlushes) {
    const auto report = at_every_suspension([](trial& t) {
        return pipeline({.abort = t.abort(), .timeout = t.timeout()},
                        t.finished(t.source(testing::paced_source(1, 100'000, 10'000, 1ms))),
                        gzip({.flush_when_idle = true}), t.stage(), t.sink(slow_sink<chunk>(5'000, 1ms)));
    });
    EXPECT_TRUE(report.ok()) << report;
    EXPECT_GT(report.points, 10u);
}

TEST(stages_suspensions_test, LinesThroughABuffer) {
    const auto report = at_every_suspension([](trial& t) {
        return pipeline({.abort = t.abort(), .timeout = t.timeout()}, t.finished(t.source(text_lines(10))), lines(),
                        buffered(200), t.stage(), t.sink(slow_sink<chunk>(100, 2ms)));
    });
    EXPECT_TRUE(report.ok()) << report;
    EXPECT_GT(report.points, 10u);
}

} // namespace
} // namespace headgate
