#include <headgate/testing/suspensions.hpp>
#include <headgate/testing/tools.hpp>

#include <gmock/gmock.h>

// Flows that break a rule each: at_every_suspension must find them out.
namespace headgate::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::HasSubstr;

auto paced(trial& t) { return t.source(paced_source(1, 300, 100, 2ms)); }
auto ending_sink(trial& t) { return t.sink(slow_sink<chunk>(100, 3ms)); }

task<outcome> wired(trial& t) {
    return pipeline({.abort = t.abort(), .timeout = t.timeout()}, t.finished(paced(t)), t.stage(), ending_sink(t));
}

TEST(at_every_suspension_test, FindsNothingInAGoodFlow) {
    const auto report = at_every_suspension(&wired);
    EXPECT_TRUE(report.ok()) << report;
    EXPECT_GT(report.frames, 10u);
    EXPECT_GE(report.runs, 1 + 5 * report.points + report.frames);
}

chunk kept;
stream<chunk> keeping(stream<chunk> in) {
    while (auto c = co_await in.next()) {
        kept = *c;
        co_yield std::move(*c);
    }
    kept = chunk();
}

TEST(at_every_suspension_test, FindsBytesThatAreKept) {
    const auto report = at_every_suspension([](trial& t) {
        kept = chunk();
        return pipeline({.abort = t.abort()}, paced(t), keeping, ending_sink(t));
    });
    EXPECT_THAT(report.problems, Contains(HasSubstr("1024 chunk byte(s) more")));
    EXPECT_THAT(report.problems, Contains(HasSubstr("dropped at point")));
    kept = chunk();
}

std::vector<task<>> detached;
task<> long_sleep() { co_await sleep_for(1h); }
task<outcome> detaching() {
    detached.push_back(long_sleep());
    co_await sleep_for(1ms);
    detached.clear();
    co_return transfer{};
}

TEST(at_every_suspension_test, FindsFramesThatNobodyOwns) {
    const auto report = at_every_suspension([](trial&) { return detaching(); });
    EXPECT_THAT(report.problems, Contains(HasSubstr("coroutine frame(s) more")));
    detached.clear();
}

task<outcome> hiding(task<outcome> inner) {
    const outcome hidden = co_await std::move(inner);
    static_cast<void>(hidden);
    co_return transfer{};
}
task<outcome> translating(task<outcome> inner) {
    outcome o = co_await std::move(inner);
    if (!o) o = std::unexpected(flow_error{errc::refused, o.error().where, o.error().stage, {}});
    co_return o;
}

TEST(at_every_suspension_test, FindsErrorsThatAreHidden) {
    const auto report = at_every_suspension([](trial& t) { return hiding(wired(t)); });
    EXPECT_THAT(report.problems, Contains(HasSubstr("source fails at point 0 of ")));
    EXPECT_THAT(report.problems, Contains(HasSubstr("it says that all went well")));
}

TEST(at_every_suspension_test, FindsErrorsThatAreChanged) {
    const auto report = at_every_suspension([](trial& t) { return translating(wired(t)); });
    EXPECT_THAT(report.problems, Contains(HasSubstr("it names another cause: refused at stage")));
}

task<outcome> going_on(stream<chunk> in) {
    while (co_await in.next()) {
    }
    co_return transfer{};
}

TEST(at_every_suspension_test, FindsAFlowThatNeverEnds) {
    suspension_options o;
    o.points_max = 50;
    const auto report = at_every_suspension([](trial&) { return going_on(paced_source(1, 1'000'000, 10, 1ms)); }, o);
    EXPECT_THAT(report.problems, Contains(HasSubstr("it does not end")));
}

task<outcome> waiting(abort_signal never) {
    co_await never.wait();
    co_return transfer{};
}

TEST(at_every_suspension_test, FindsAFlowThatHangs) {
    const auto report = at_every_suspension([](trial&) { return waiting({}); });
    EXPECT_THAT(report.problems, Contains(HasSubstr("it hangs")));
    EXPECT_EQ(report.runs, 1u);
}

TEST(at_every_suspension_test, TriesFaultsAndChecksOfTheFlowsOwn) {
    std::size_t struck = 0;
    const auto report = at_every_suspension([&](trial& t) {
        t.special("lightning", [&struck] { ++struck; });
        t.check([&struck] { return struck == 2 ? std::string("it burns") : std::string(); });
        return wired(t);
    });
    EXPECT_EQ(struck, report.points);
    ASSERT_FALSE(report.problems.empty());
    EXPECT_EQ(report.problems.front(), "lightning at point 1 of " + std::to_string(report.points) + ": it burns");
}

} // namespace
} // namespace headgate::testing
