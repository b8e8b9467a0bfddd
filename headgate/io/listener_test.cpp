#include <headgate/io/linux_kernel.hpp>
#include <headgate/io/listener.hpp>
#include <headgate/testing/leftovers.hpp>
#include <headgate/testing/temporary_folder.hpp>

#include <gtest/gtest.h>
#include <netinet/tcp.h>

namespace headgate {
namespace {

using testing::leftovers;
using names = std::set<std::string>;

// Unix sockets and the paths they leave; on the real kernel, for a simulated one has no files.
class unix_listener : public ::testing::Test {
public:
    ~unix_listener() override { EXPECT_EQ(leftovers::now().descriptors, before.descriptors); }

protected:
    testing::temporary_folder folder;
    address at = *address::parse("unix:" + folder / "s");
    linux_kernel os;
    loop l{os};
    leftovers before = leftovers::now();
};

TEST_F(unix_listener, RemovesItsPath) {
    {
        const auto s = listener::open(at);
        ASSERT_TRUE(s) << s.error().message();
        EXPECT_EQ(s->where().text(), at.text());
        EXPECT_EQ(folder.names(), names{"s"});
    }
    EXPECT_EQ(folder.names(), names());
}

TEST_F(unix_listener, TakesOverAPathThatNobodyListensAt) {
    const int dead = os.socket(AF_UNIX, SOCK_STREAM);
    ASSERT_EQ(os.bind(dead, at.data(), at.size()), 0);
    ASSERT_EQ(os.listen(dead, 1), 0);
    os.close(dead);
    ASSERT_EQ(folder.names(), names{"s"});
    const auto s = listener::open(at);
    ASSERT_TRUE(s) << s.error().message();
    EXPECT_TRUE(l.run(connect(at)).value());
}

TEST_F(unix_listener, ALivePathIsInUse) {
    const auto first = listener::open(at);
    ASSERT_TRUE(first);
    const auto second = listener::open(at);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error(), system_error_code(EADDRINUSE));
    EXPECT_TRUE(l.run(connect(at)).value()); // the first goes on
}

TEST_F(unix_listener, AFileIsNotReplaced) {
    folder.write("s", "precious");
    const auto s = listener::open(at);
    ASSERT_FALSE(s);
    EXPECT_EQ(s.error(), system_error_code(EADDRINUSE));
    EXPECT_EQ(folder.read("s"), "precious");
}

task<std::pair<socket, socket>> both_ends(listener* l, tcp_liveness alive) {
    auto client = co_await connect(l->where(), forever, alive);
    auto server = co_await l->accept();
    co_return std::pair(std::move(*client), std::move(server->connection));
}

int option(const socket& s, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    EXPECT_EQ(::getsockopt(s.fd(), level, name, &value, &size), 0);
    return value;
}

// Accepted connections are not asked one by one: that they have the listener's options is the system's promise.
TEST(tcp_listener, BothEndsFindOutThatTheOtherHasGone) {
    linux_kernel os;
    loop l(os);
    const tcp_liveness alive{.probe_after = std::chrono::seconds(70),
                             .unconfirmed_max = std::chrono::milliseconds(4500)};
    auto server = listener::open(*address::parse("127.0.0.1:0"), {.alive = alive});
    ASSERT_TRUE(server);
    auto ends = l.run(both_ends(&*server, alive));
    ASSERT_TRUE(ends);
    for (const socket* s : {&ends->first, &ends->second}) {
        EXPECT_EQ(option(*s, IPPROTO_TCP, TCP_NODELAY), 1);
        EXPECT_EQ(option(*s, SOL_SOCKET, SO_KEEPALIVE), 1);
        EXPECT_EQ(option(*s, IPPROTO_TCP, TCP_KEEPIDLE), 70);
        EXPECT_EQ(option(*s, IPPROTO_TCP, TCP_KEEPINTVL), 10);
        EXPECT_EQ(option(*s, IPPROTO_TCP, TCP_KEEPCNT), 3);
        EXPECT_EQ(option(*s, IPPROTO_TCP, TCP_USER_TIMEOUT), 4500);
    }
    ends = l.run(both_ends(&*server, {}));
    ASSERT_TRUE(ends);
    EXPECT_EQ(option(ends->first, IPPROTO_TCP, TCP_NODELAY), 1);
    EXPECT_EQ(option(ends->first, SOL_SOCKET, SO_KEEPALIVE), 0);
}

} // namespace
} // namespace headgate
