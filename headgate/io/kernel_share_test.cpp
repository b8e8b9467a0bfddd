#include <headgate/core/sleep.hpp>
#include <headgate/io/kernel_share.hpp>
#include <headgate/io/linux_kernel.hpp>
#include <headgate/io/listener.hpp>

#include <gtest/gtest.h>
#include <netinet/tcp.h>

// What is asked of the real kernel, in terms of what it says afterwards.
namespace headgate {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t bytes_max = 512 * 1024;
constexpr int buffer_lock = 72; // SO_BUF_LOCK
constexpr int receive_locked = 2;

class kernel_share_test : public ::testing::Test {
protected:
    kernel_share_test() {
        auto both = home.run(connections());
        if (!both) throw std::runtime_error(both.error().message());
        from = std::move(both->first);
        to = std::move(both->second);
        as_it_was = receive_buffer();
    }

    // Two ends of TCP connections.
    static task<std::pair<socket, socket>> connections() {
        auto l = listener::open(*address::parse("127.0.0.1:0"));
        if (!l) co_await fail(l.error());
        auto a = co_await connect(l->where());
        auto b = co_await l->accept();
        if (!a || !b) co_await fail(errc::failed);
        co_return std::pair(std::move(*a), std::move(b->connection));
    }
    static int option(const socket& s, int level, int name) {
        int value = -1;
        socklen_t size = sizeof value;
        loop::current().os().get_option(s.fd(), level, name, &value, &size);
        return value;
    }
    int receive_buffer() const { return option(from, SOL_SOCKET, SO_RCVBUF); }
    bool locked() const { return (option(from, SOL_SOCKET, buffer_lock) & receive_locked) != 0; }
    int unsent_max() const { return option(to, IPPROTO_TCP, TCP_NOTSENT_LOWAT); }

    void begin(kernel_share& s) {
        s.set_source(from.state());
        s.moved(to.state(), kernel_share::begin_after, 0ms);
    }
    void expect_bounds() const {
        EXPECT_EQ(receive_buffer(), static_cast<int>(bytes_max / 2)) << "it counts twice";
        EXPECT_TRUE(locked());
        EXPECT_EQ(unsent_max(), static_cast<int>(bytes_max / 4));
    }
    // Time goes on in turns of the loop.
    void pass(duration d) {
        ASSERT_TRUE(home.run([](duration time) -> task<> { co_await sleep_for(time); }(d)));
    }

    linux_kernel os;
    loop home{os};
    socket from;
    socket to;
    int as_it_was = 0;
};

TEST_F(kernel_share_test, NothingIsAskedForAShortStream) {
    kernel_share s(bytes_max);
    s.set_source(from.state());
    s.moved(to.state(), kernel_share::begin_after - 1, 10s);
    EXPECT_EQ(unsent_max(), 0);
    EXPECT_EQ(receive_buffer(), as_it_was);
    EXPECT_FALSE(s.impatient());
}

TEST_F(kernel_share_test, WithoutAMaximumNothingIsAskedForAnyStream) {
    kernel_share s(0);
    s.set_source(from.state());
    s.moved(to.state(), 1 << 30, 10s);
    EXPECT_EQ(unsent_max(), 0);
    EXPECT_FALSE(s.impatient());
}

TEST_F(kernel_share_test, AStreamBeginsWithBoundsAndLeavesNone) {
    {
        kernel_share s(bytes_max);
        begin(s);
        expect_bounds();
        EXPECT_EQ(s.slice(), bytes_max / 8);
    }
    EXPECT_FALSE(locked());
    EXPECT_EQ(unsent_max(), 0);
}

TEST_F(kernel_share_test, OneThatKeepsUpForLongerThanItsKernelCanIsLetGo) {
    kernel_share s(bytes_max);
    begin(s);
    for (int i = 0; i < 7; ++i) s.moved(to.state(), 1 << 20, 0ms);
    EXPECT_TRUE(locked()) << "what a peer's kernel takes at once proves nothing";
    s.moved(to.state(), 1 << 20, 40ms);
    EXPECT_TRUE(locked()) << "it made the stream wait";
    for (int i = 0; i < 7; ++i) s.moved(to.state(), 1 << 20, 10ms);
    EXPECT_TRUE(locked()) << "it begins anew";
    s.moved(to.state(), 1 << 20, 10ms);
    EXPECT_FALSE(locked());
    EXPECT_EQ(unsent_max(), static_cast<int>(bytes_max));
    EXPECT_TRUE(to.state().keeps_up);
}

TEST_F(kernel_share_test, OneThatKeepsUpWithASourceThatGivesLittleIsLetGoInAWhile) {
    kernel_share s(bytes_max);
    begin(s);
    pass(300ms);
    s.moved(to.state(), 1 << 20, 0ms);
    EXPECT_FALSE(locked());
    EXPECT_TRUE(to.state().keeps_up);
}

TEST_F(kernel_share_test, OneThatHasKeptUpBeforeBeginsSo) {
    to.state().keeps_up = true;
    kernel_share s(bytes_max);
    begin(s);
    EXPECT_FALSE(locked());
    EXPECT_EQ(receive_buffer(), as_it_was);
    EXPECT_EQ(unsent_max(), static_cast<int>(bytes_max));
}

TEST_F(kernel_share_test, OneLongWaitMakesAStreamSlow) {
    to.state().keeps_up = true;
    kernel_share s(bytes_max);
    begin(s);
    ASSERT_TRUE(s.impatient());
    s.too_slow();
    EXPECT_FALSE(s.impatient());
    expect_bounds();
    EXPECT_EQ(s.slice(), bytes_max / 8);
    EXPECT_FALSE(to.state().keeps_up);
}

TEST_F(kernel_share_test, ManyShortWaitsMakeAStreamSlow) {
    kernel_share s(bytes_max);
    begin(s);
    s.moved(to.state(), 1 << 20, 150ms);
    EXPECT_FALSE(s.impatient()) << "it is known to be slow";
}

TEST_F(kernel_share_test, TheNextConnectionOfTheSameNumberIsLeftAlone) {
    auto other = home.run(connections());
    ASSERT_TRUE(other);
    {
        kernel_share s(bytes_max);
        begin(s);
        const int fd = from.fd();
        from.close();
        from = std::move(other->first);
        other->second.close();
        auto again = home.run(connections());
        ASSERT_TRUE(again);
        socket& reused = again->first.fd() == fd ? again->first : again->second;
        ASSERT_EQ(reused.fd(), fd) << "numbers are given out again, the lowest first";
        const int mark = 7000;
        os.set_option(fd, SOL_SOCKET, SO_RCVBUF, &mark, sizeof mark);
        s.too_slow();
        from = std::move(reused);
    }
    EXPECT_TRUE(locked()) << "that lock is not the stream's to take back";
}

} // namespace
} // namespace headgate
