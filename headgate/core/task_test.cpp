#include <headgate/core/channel.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/stack_meter.hpp>
#include <headgate/testing/tools.hpp>

#include <memory>
#include <new>
#include <string>

namespace headgate {
namespace {

using namespace std::chrono_literals;

class task_test : public testing::simulated_test {};

task<int> number(int n) { co_return n; }
task<std::unique_ptr<int>> boxed(int n) { co_return std::make_unique<int>(n); }
task<> note(int* where, int n) {
    *where = n;
    co_return;
}

TEST_F(task_test, IsLazyAndGivesItsValue) {
    int noted = 0;
    task<> t = note(&noted, 5);
    EXPECT_EQ(noted, 0);
    run(std::move(t));
    EXPECT_EQ(noted, 5);
    EXPECT_EQ(run(number(7)), 7);
    EXPECT_EQ(*run(boxed(8)), 8);
}

TEST_F(task_test, IsDroppedUnstartedAndMoved) {
    int noted = 0;
    {
        task<> t = note(&noted, 5);
        EXPECT_EQ(live_frames(), 1u);
        task<> u = std::move(t);
        EXPECT_FALSE(t); // NOLINT(bugprone-use-after-move)
        t = std::move(u);
        EXPECT_TRUE(t);
        u = note(&noted, 6);
        u = std::move(t);
        EXPECT_EQ(live_frames(), 1u);
    }
    EXPECT_EQ(noted, 0);
    EXPECT_EQ(live_frames(), 0u);
}

task<int> add_up(int depth) {
    if (depth == 0) co_return 0;
    if (depth % 3 == 0) co_await sleep_for(1ms);
    co_return 1 + co_await add_up(depth - 1);
}

TEST_F(task_test, AwaitsOthersThatWait) { EXPECT_EQ(run(add_up(30)), 30); }

// What a task may throw, and what becomes of it.
enum class kind { code, memory, text, number };
task<> throw_it(kind k) {
    co_await sleep_for(1ms);
    switch (k) {
    case kind::code: throw std::system_error(ENOSPC, std::system_category(), "disk");
    case kind::memory: throw std::bad_alloc();
    case kind::text: throw std::runtime_error("broken");
    case kind::number: throw 5;
    }
}
task<> outer(kind k) {
    co_await throw_it(k);
    ADD_FAILURE() << "a frame of a failed flow was resumed";
}

TEST_F(task_test, AThrowFailsTheFlow) {
    const auto code = try_run(outer(kind::code));
    ASSERT_FALSE(code);
    EXPECT_EQ(code.error().code, std::errc::no_space_on_device);
    EXPECT_NE(code.error().detail.find("disk"), std::string::npos);
    EXPECT_EQ(code.error().where, side::caller);
    const auto memory = try_run(outer(kind::memory));
    ASSERT_FALSE(memory);
    EXPECT_EQ(memory.error().code, std::errc::not_enough_memory);
    const auto text = try_run(outer(kind::text));
    ASSERT_FALSE(text);
    EXPECT_EQ(text.error().code, errc::failed);
    EXPECT_EQ(text.error().detail, "broken");
    const auto thrown = try_run(outer(kind::number));
    ASSERT_FALSE(thrown);
    EXPECT_EQ(thrown.error().code, errc::failed);
    EXPECT_EQ(thrown.error().detail, "an exception of unknown type");
}

task<> fail_at_once(std::error_code why) { co_await fail(why, "on purpose"); }

TEST_F(task_test, FailEndsTheFlow) {
    const auto end = try_run(fail_at_once(errc::refused));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::refused);
    EXPECT_EQ(end.error().detail, "on purpose");
    EXPECT_EQ(end.error().message(), "refused by the caller: on purpose");
}

task<std::string> attempts() {
    std::string log;
    const auto good = co_await attempt(number(3));
    log += good && *good == 3 ? "value " : "? ";
    const std::size_t before = live_frames();
    const auto bad = co_await attempt(fail_at_once(errc::protocol)); // at once
    log += bad ? "? " : bad.error().code.message() + " ";
    const auto later = co_await attempt(throw_it(kind::text)); // after a wait
    log += later ? "? " : later.error().detail + " ";
    log += live_frames() == before ? "clean" : "leaks";
    co_return log;
}

TEST_F(task_test, AttemptGivesTheValueOrTheError) { EXPECT_EQ(run(attempts()), "value protocol error broken clean"); }

struct noted_end {
    std::string* log;
    std::string name;
    noted_end(std::string* l, std::string n) : log(l), name(std::move(n)) {}
    noted_end(const noted_end&) = delete;
    ~noted_end() { *log += name; }
};

task<> inner_attempt(std::string* log) {
    const noted_end end(log, "inner ");
    const auto failed = co_await attempt(throw_it(kind::code));
    *log += failed ? "? " : "caught ";
    co_await fail(errc::aborted);
}
task<> outer_attempt(std::string* log) {
    const noted_end end(log, "outer ");
    const auto failed = co_await attempt(inner_attempt(log));
    *log += failed ? "? " : failed.error().code.message() + " ";
}

TEST_F(task_test, AttemptsNest) {
    std::string log;
    run(outer_attempt(&log));
    EXPECT_EQ(log, "caught inner aborted outer ");
}

// The outer flow fails while the inner one waits, or fails in the same moment.
task<> fail_flow(flow* f, task<> also) {
    co_await sleep_for(5ms);
    f->fail({errc::idle, side::caller, 0, "from outside"});
    if (also) co_await std::move(also);
}
task<> failing_around(task<> work, std::string* log) {
    place& at = co_await here();
    const noted_end end(log, "outer ");
    strand killer;
    killer.start(fail_flow(at.of, {}), at);
    const auto never = co_await attempt(std::move(work));
    ADD_FAILURE() << "an attempt in a failed flow was resumed";
}
task<> wait_long(std::string* log) {
    const noted_end end(log, "inner ");
    co_await sleep_for(1h);
}
task<> fail_outer_then_inner(flow* outer_flow, std::string* log) {
    const noted_end end(log, "inner ");
    co_await sleep_for(1ms);
    outer_flow->fail({errc::idle, side::caller, 0, "outer"});
    co_await fail(errc::protocol, "inner");
}
task<> fails_outer_first(std::string* log) {
    const noted_end end(log, "outer ");
    place& at = co_await here();
    const auto never = co_await attempt(fail_outer_then_inner(at.of, log));
    ADD_FAILURE() << "an attempt in a failed flow was resumed";
}

TEST_F(task_test, TheOuterFlowMayFailWhileTheInnerRuns) {
    std::string log;
    const auto end = try_run(failing_around(wait_long(&log), &log));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().detail, "from outside");
    EXPECT_EQ(log, "inner outer ");
    EXPECT_EQ(sim().elapsed(), 5ms);
}

TEST_F(task_test, TheOuterFailureWinsWhenItCameFirst) {
    std::string log;
    const auto end = try_run(fails_outer_first(&log));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().detail, "outer");
    EXPECT_EQ(log, "inner outer ");
}

task<> tick(int* count) {
    for (;;) {
        co_await sleep_for(1ms);
        ++*count;
    }
}
task<> with_strand(int* count) {
    strand beside;
    beside.start(tick(count), co_await here());
    EXPECT_FALSE(beside.done());
    co_await sleep_for(10ms);
    beside.stop();
    EXPECT_TRUE(beside.done());
    co_await sleep_for(10ms);
}

TEST_F(task_test, AStrandRunsBesideItsHolderAndEndsWithIt) {
    int count = 0;
    run(with_strand(&count));
    EXPECT_GE(count, 9);
    EXPECT_LE(count, 10);
    nursery n;
    n.spawn(with_strand(&count));
    n.clear(); // dropped while the strand waits
}

task<> with_failing_strand() {
    strand beside;
    beside.start(throw_it(kind::text), co_await here());
    co_await sleep_for(1h);
}

TEST_F(task_test, AStrandsFailureIsTheFlows) {
    const auto end = try_run(with_failing_strand());
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().detail, "broken");
    EXPECT_EQ(sim().elapsed(), 1ms);
}

// A strand that fails at once fails its holder's flow before the holder has waited.
task<> with_strand_that_fails_at_once() {
    strand beside;
    beside.start(fail_at_once(errc::refused), co_await here());
    co_await sleep_for(1h);
    ADD_FAILURE() << "a frame of a failed flow was resumed";
}

TEST_F(task_test, AStrandMayFailAtOnce) {
    const auto end = try_run(with_strand_that_fails_at_once());
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::refused);
    EXPECT_EQ(sim().elapsed(), 0ms);
}

task<std::size_t> measured(testing::stack_meter* stack, std::size_t n) {
    stack->look();
    co_return n;
}
task<std::size_t> many_tasks(testing::stack_meter* stack, std::size_t n) {
    std::size_t sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += co_await measured(stack, 1);
    for (std::size_t i = 0; i < n; ++i) sum += *co_await attempt(measured(stack, 1));
    co_return sum;
}

TEST_F(task_test, AMillionReadyTasksDoNotGrowTheStack) {
    testing::stack_meter stack;
    EXPECT_EQ(run(many_tasks(&stack, 1'000'000)), 2'000'000u);
    EXPECT_LT(stack.spread(), 8192u);
}

} // namespace
} // namespace headgate
