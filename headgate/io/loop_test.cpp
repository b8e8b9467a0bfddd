#include <headgate/io/linux_kernel.hpp>
#include <headgate/io/socket.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/leak_check.hpp>
#include <headgate/testing/tools.hpp>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace headgate {
namespace {

using namespace std::chrono_literals;

class loop_test : public testing::simulated_test {
protected:
    loop& home() { return sim().home; }
};

TEST_F(loop_test, NothingCanHappenIsAnError) {
    EXPECT_EQ(home().run(), std::errc::resource_deadlock_would_occur);
    const auto end = try_run([](duration d) -> task<> { co_await sleep_for(d); }(forever));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, std::errc::resource_deadlock_would_occur);
    EXPECT_EQ(end.error().where, side::caller);
}

task<> stop_after(loop* l, duration d) {
    co_await sleep_for(d);
    l->stop();
}

TEST_F(loop_test, RunsUntilItIsStopped) {
    nursery n;
    n.spawn(stop_after(&home(), 5ms));
    EXPECT_FALSE(home().run());
    EXPECT_EQ(sim().elapsed(), 5ms);
    sim().advance(5ms); // it can be turned after that
    EXPECT_EQ(sim().elapsed(), 10ms);
}

TEST_F(loop_test, AStopInTheMiddleOfATaskEndsIt) {
    nursery n;
    n.spawn(stop_after(&home(), 5ms));
    const auto end = try_run([](duration d) -> task<> { co_await sleep_for(d); }(1h));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::aborted);
    EXPECT_EQ(sim().elapsed(), 5ms);
    sim().advance(5ms);
}

struct remote_note : remote_job {
    std::atomic<int> runs = 0;
    std::thread::id where;
    loop* stops = nullptr;
    remote_note() {
        remote_job::run = [](remote_job& j) {
            auto& self = static_cast<remote_note&>(j);
            ++self.runs;
            self.where = std::this_thread::get_id();
            if (self.stops) self.stops->stop();
        };
    }
};

TEST(loop, RunsTheJobsOfOtherThreads) {
    linux_kernel os;
    loop l(os);
    std::vector<std::unique_ptr<remote_note>> jobs;
    for (int i = 0; i < 100; ++i) jobs.push_back(std::make_unique<remote_note>());
    jobs.back()->stops = &l;
    std::thread other([&] {
        for (auto& j : jobs) l.post_remote(*j);
    });
    EXPECT_FALSE(l.run());
    other.join();
    for (auto& j : jobs) {
        EXPECT_EQ(j->runs, 1);
        EXPECT_EQ(j->where, std::this_thread::get_id());
    }
}

TEST(loop, RunsWhatIsLeftWhenItIsDestroyed) {
    remote_note job;
    {
        linux_kernel os;
        loop l(os);
        l.post_remote(job);
    }
    EXPECT_EQ(job.runs, 1);
}

// Two sockets become readable in one turn. The first waiter closes the second socket and opens another with the same
// number: the event of the old one must not reach the new one.
task<> close_and_open(socket* first, std::optional<socket>* second, std::optional<socket>* fresh, socket* other_end) {
    if (!co_await first->readable()) co_await fail(errc::failed);
    const int number = (*second)->fd();
    second->reset();
    auto ends = socket_pair();
    fresh->emplace(std::move(ends->first));
    *other_end = std::move(ends->second);
    EXPECT_EQ((*fresh)->fd(), number);
}
task<> expect_silence(std::optional<socket>* fresh, bool* told) {
    if (co_await (*fresh)->readable()) *told = true;
}
task<> write_to(socket* to, std::string_view text) {
    if (!co_await to->write_all(text)) co_await fail(errc::failed);
}

TEST_F(loop_test, AnEventOfAClosedDescriptorDoesNotReachTheNextOne) {
    auto a = socket_pair();
    auto b = socket_pair();
    ASSERT_TRUE(a && b);
    std::optional<socket> second(std::move(b->first)), fresh;
    socket other_end;
    bool told = false;
    nursery n;
    home().turn(false);
    n.spawn(close_and_open(&a->first, &second, &fresh, &other_end));
    n.spawn(write_to(&a->second, "x"));
    n.spawn(write_to(&b->second, "y"));
    home().turn(false); // both are reported
    ASSERT_TRUE(fresh);
    n.spawn(expect_silence(&fresh, &told));
    sim().advance(1ms);
    EXPECT_FALSE(told);
    n.spawn(write_to(&other_end, "z"));
    sim().advance(1ms);
    EXPECT_TRUE(told);
    n.clear();
}

task<> wait_readable(socket* s, int* times) {
    const auto r = co_await s->readable();
    *times += r ? 1 : 100;
}

// One waiter of a slot closes it; the other waits of that slot are left alone and can be dropped.
task<> close_when_broken(std::optional<socket>* s) {
    (void)co_await (*s)->peer_closed();
    s->reset();
}

TEST_F(loop_test, AWaiterMayCloseTheDescriptorThatOthersWaitFor) {
    auto ends = socket_pair();
    ASSERT_TRUE(ends);
    std::optional<socket> mine(std::move(ends->first));
    home().turn(false);
    int times = 0;
    nursery n;
    n.spawn(close_when_broken(&mine));
    n.spawn(wait_readable(&*mine, &times));
    ends->second.close();
    sim().advance(1ms);
    EXPECT_FALSE(mine);
    EXPECT_EQ(times, 0);
    EXPECT_EQ(home().descriptors(), 0u);
    n.clear();
}

task<> read_all(socket from, std::size_t* got) {
    std::array<char, 64> buffer;
    for (;;) {
        const auto n = co_await from.read_some(buffer);
        if (!n || *n == 0) co_return;
        *got += *n;
    }
}
task<> write_for_ever(socket to) {
    const std::string text(64, 'x');
    while (co_await to.write_all(text)) {
    }
}

// Two that always find work must let others have their turn: a timer, here.
TEST_F(loop_test, WhoAlwaysFindsWorkDoesNotStarveOthers) {
    nursery n;
    std::size_t got = 0;
    auto ends = socket_pair();
    ASSERT_TRUE(ends);
    n.spawn(write_for_ever(std::move(ends->first)));
    n.spawn(read_all(std::move(ends->second), &got));
    bool ticked = false;
    struct tick {
        static task<> once(bool* ticked) {
            co_await next_turn();
            co_await next_turn();
            *ticked = true;
        }
    };
    n.spawn(tick::once(&ticked));
    for (int i = 0; i < 5; ++i) home().turn(false);
    EXPECT_TRUE(ticked);
    EXPECT_GT(got, 0u);
    EXPECT_LT(got, 64u * 10 * loop::ready_operations_max);
    n.clear();
}

TEST_F(loop_test, ADescriptorIsHandedOverOpenAndUnwatched) {
    int fds[2];
    ASSERT_EQ(sim().os.socket_pair(fds), 0);
    const auto first = home().open(fds[0]);
    ASSERT_TRUE(first);
    EXPECT_EQ(home().descriptors(), 1u);
    EXPECT_EQ(home().release(**first), fds[0]);
    EXPECT_EQ(home().descriptors(), 0u);
    EXPECT_EQ(sim().os.descriptors(), 2u);
    const auto again = home().open(fds[0]);
    ASSERT_TRUE(again) << "it was not unwatched";
    home().close(**again);
    sim().os.close(fds[1]);
}

TEST_F(loop_test, AWatchThatFailsClosesTheDescriptor) {
    sim().os.fail(call::watch, ENOSPC, 1, 1);
    EXPECT_EQ(socket_pair().error(), std::errc::no_space_on_device);
    EXPECT_EQ(sim().os.descriptors(), 0u);
    EXPECT_EQ(home().descriptors(), 0u);
}

task<> work_for(loop* l, duration d) {
    for (const time_point until = l->now() + d; l->now() < until;) continue;
    for (int i = 0; i < 3; ++i) co_await sleep_for(5ms);
}

TEST(loop, TellsHowLongItsTurnsTook) {
    linux_kernel os;
    loop l(os);
    ASSERT_TRUE(l.run(work_for(&l, 3ms)));
    const turn_times::counts seen = l.turns().now();
    std::uint64_t turns = 0;
    std::uint64_t long_ones = 0;
    for (std::size_t i = 0; i < seen.turns.size(); ++i) {
        turns += seen.turns[i];
        if (i > 0 && turn_times::bounds[i - 1] >= 2500) long_ones += seen.turns[i];
    }
    EXPECT_GE(long_ones, 1u) << "the one that was at work";
    EXPECT_GE(turns, long_ones + 2) << "those between its waits, which are none";
    EXPECT_GE(seen.sum, 3ms);
}

// A simulated clock stands still while anything runs: no turn takes any time, and no wait is a turn.
TEST_F(loop_test, DoesNotCountItsWaits) {
    sim().advance(1h);
    run([]() -> task<> { co_await sleep_for(1h); }());
    const turn_times::counts seen = home().turns().now();
    EXPECT_GE(seen.turns[0], 1u);
    EXPECT_EQ(seen.sum, duration::zero());
}

TEST(loop, IsLightOnARealKernel) {
    linux_kernel os;
    loop l(os);
    const testing::leak_check leaks(l);
    const auto end = l.run([](int n) -> task<int> {
        for (int i = 0; i < 3; ++i) co_await next_turn();
        co_await sleep_for(1ms);
        co_return n;
    }(5));
    EXPECT_EQ(end, 5);
}

} // namespace
} // namespace headgate
