#include <headgate/flow/buffered.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/stages/csv.hpp>
#include <headgate/stages/gzip.hpp>
#include <headgate/stages/json.hpp>
#include <headgate/stages/lines.hpp>
#include <headgate/testing/suspensions.hpp>
#include <headgate/testing/tools.hpp>

#include <array>

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

stream<row_batch> rows(int n) {
    const std::array columns{column{.name = "id", .type = value_type::integer}, column{.name = "tags"}};
    const column_set set(columns);
    for (int i = 0; i < n; ++i) {
        co_await sleep_for(1ms);
        row_batch b(set, i == 3 ? 100'000 : 1000); // one has a value of several steps
        const std::string tags = "{" + std::string(i == 3 ? 70'000 : 1, 'x') + ",\"a b\"}";
        b.begin_row(tags.size() + 1);
        b.add(value_type::integer, "1");
        b.add(value_type::array, tags);
        co_yield std::move(b);
    }
}

TEST(stages_suspensions_test, CsvAndJson) {
    const auto csv = at_every_suspension([](trial& t) {
        return pipeline({.abort = t.abort(), .timeout = t.timeout()}, t.finished(t.source(rows(12))), format_csv(),
                        gzip(), t.stage(), t.sink(slow_sink<chunk>(10'000, 1ms)));
    });
    EXPECT_TRUE(csv.ok()) << csv;
    EXPECT_GT(csv.points, 10u);
    const auto json = at_every_suspension([](trial& t) {
        return pipeline({.abort = t.abort(), .timeout = t.timeout()}, t.finished(t.source(rows(12))),
                        format_json_array(), t.stage(), t.sink(slow_sink<chunk>(10'000, 1ms)));
    });
    EXPECT_TRUE(json.ok()) << json;
    EXPECT_GT(json.points, 10u);
}

} // namespace
} // namespace headgate
