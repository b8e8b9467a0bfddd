#include <headgate/io/linux_kernel.hpp>
#include <headgate/io/listener.hpp>
#include <headgate/testing/leftovers.hpp>
#include <headgate/testing/temporary_folder.hpp>

#include <gtest/gtest.h>

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

} // namespace
} // namespace headgate
