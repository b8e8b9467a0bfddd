#include <headgate/core/nursery.hpp>
#include <headgate/io/linux_kernel.hpp>
#include <headgate/io/signals.hpp>
#include <headgate/testing/leftovers.hpp>

#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

namespace headgate {
namespace {

using testing::leftovers;

bool is_blocked(int signal) {
    sigset_t now;
    ::pthread_sigmask(SIG_BLOCK, nullptr, &now);
    return ::sigismember(&now, signal) == 1;
}

task<std::vector<int>> take(signal_set* from, std::size_t count) {
    std::vector<int> got;
    while (got.size() < count) got.push_back(co_await from->next());
    co_return got;
}
task<> take_one(signal_set* from) { co_await from->next(); }

class signals_test : public ::testing::Test {
protected:
    linux_kernel os;
    loop l{os};
};

TEST_F(signals_test, GivesTheNumbersOfSignalsThatCome) {
    const leftovers before = leftovers::now();
    {
        signal_set s{SIGUSR1, SIGUSR2};
        ::kill(::getpid(), SIGUSR1);
        ::kill(::getpid(), SIGUSR2);
        EXPECT_EQ(*l.run(take(&s, 2)), (std::vector{SIGUSR1, SIGUSR2}));
        ::kill(::getpid(), SIGUSR2);
        EXPECT_EQ(*l.run(take(&s, 1)), std::vector{SIGUSR2});
    }
    EXPECT_EQ(leftovers::now(), before);
}

TEST_F(signals_test, WakesAWaiter) {
    signal_set s{SIGUSR1};
    nursery n;
    n.spawn(take_one(&s));
    EXPECT_FALSE(l.turn(false));
    EXPECT_EQ(n.size(), 1u);
    ::kill(::getpid(), SIGUSR1);
    while (!n.empty()) ASSERT_FALSE(l.turn());
}

TEST_F(signals_test, ADroppedWaitLeavesTheSignalForTheNext) {
    signal_set s{SIGUSR1};
    {
        nursery n;
        n.spawn(take_one(&s));
        EXPECT_FALSE(l.turn(false));
    }
    EXPECT_EQ(l.waits(), 0u);
    ::kill(::getpid(), SIGUSR1);
    EXPECT_EQ(*l.run(take(&s, 1)), std::vector{SIGUSR1});
}

TEST_F(signals_test, BlocksTheSignalsAsLongAsItLives) {
    EXPECT_FALSE(is_blocked(SIGUSR1));
    {
        const signal_set s{SIGUSR1};
        EXPECT_TRUE(is_blocked(SIGUSR1));
        EXPECT_FALSE(is_blocked(SIGUSR2));
    }
    EXPECT_FALSE(is_blocked(SIGUSR1));
}

} // namespace
} // namespace headgate
