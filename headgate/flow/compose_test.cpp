#include <headgate/core/race.hpp>
#include <headgate/flow/compose.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/tools.hpp>

#include <string>
#include <vector>

namespace headgate {
namespace {

using namespace std::chrono_literals;
using testing::recording_sink;
using testing::sink_log;

class compose_test : public testing::simulated_test {};

stream<int> incremented(stream<int> in) {
    while (auto i = co_await in.next()) co_yield *i + 1;
}
struct times {
    int by;
    stream<int> operator()(stream<int> in) const { return run(std::move(in), by); }
    static stream<int> run(stream<int> in, int by) {
        while (auto i = co_await in.next()) co_yield *i* by;
    }
    const char* name() const noexcept { return "times"; }
};
stream<std::string> as_text(stream<int> in) {
    while (auto i = co_await in.next()) co_yield std::to_string(*i);
}

task<std::vector<std::string>> run_through(auto recipe, std::vector<int> items) {
    sink_log<std::string> log;
    const outcome end =
        co_await pipeline(testing::paced_source(std::move(items), 1ms), recipe, recording_sink<std::string>(log));
    if (!end) co_await fail(end.error().code);
    co_return std::move(log.items);
}

TEST_F(compose_test, ARecipeIsUsedAnyNumberOfTimes) {
    const auto recipe = compose(&incremented, times{10}, &as_text);
    const auto copy = recipe;
    EXPECT_EQ(run(run_through(recipe, {1, 2})), (std::vector<std::string>{"20", "30"}));
    EXPECT_EQ(run(run_through(copy, {3})), (std::vector<std::string>{"40"}));
    EXPECT_EQ(run(run_through(compose(times{2}, recipe), {1})), (std::vector<std::string>{"30"}));
}

task<std::vector<std::vector<std::string>>> three_at_once() {
    const auto recipe = compose(&incremented, times{10}, &as_text);
    auto [a, b, c] = co_await all(run_through(recipe, {1, 2}), run_through(recipe, {3}), run_through(recipe, {}));
    co_return std::vector{a, b, c};
}

TEST_F(compose_test, ThreePipelinesAtOnceDoNotDisturbEachOther) {
    EXPECT_EQ(run(three_at_once()), (std::vector<std::vector<std::string>>{{"20", "30"}, {"40"}, {}}));
}

TEST_F(compose_test, NothingComposedPassesAll) {
    EXPECT_EQ(run(run_through(compose(compose(), &as_text, compose()), {5})), (std::vector<std::string>{"5"}));
}

task<std::string> parts_of(auto recipe) {
    list_node watchers;
    testing::manual_source<int> source;
    sink_log<std::string> log;
    auto work = pipeline({.watchers = &watchers}, source.open(), recipe, recording_sink<std::string>(log));
    struct ignore {
        static task<> run(task<outcome> p) { (void)co_await std::move(p); }
    };
    std::string parts;
    {
        nursery n;
        n.spawn(ignore::run(std::move(work)));
        EXPECT_TRUE(watchers.linked());
        for (const stage_report& r : static_cast<live_pipeline&>(*watchers.next).report(executor::current().now()))
            parts += std::string(to_string(r.where)) + ":" + r.name + " ";
    }
    EXPECT_FALSE(watchers.linked());
    co_return parts;
}

TEST_F(compose_test, AllStagesOfNestedRecipesAreSeen) {
    const auto inner = compose(&incremented, times{10});
    EXPECT_EQ(run(parts_of(compose(inner, times{2}, compose(compose(times{3}, &as_text))))),
              "source:source stage:stage stage:times stage:times stage:times stage:stage sink:recording sink ");
}

task<outcome> failing_inside() {
    sink_log<int> log;
    co_return co_await pipeline(testing::paced_source(std::vector{1, 2}, 1ms), &incremented,
                                compose(times{2}, compose(testing::fail_after{1, errc::protocol})),
                                recording_sink<int>(log));
}

TEST_F(compose_test, AnErrorNamesTheStageInside) {
    const outcome end = run(failing_inside());
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().stage, 3);
    EXPECT_EQ(end.error().where, side::stage);
}

} // namespace
} // namespace headgate
