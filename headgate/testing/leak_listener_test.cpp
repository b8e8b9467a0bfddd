#include <headgate/core/task.hpp>
#include <headgate/io/linux_kernel.hpp>
#include <headgate/io/socket.hpp>
#include <headgate/testing/leak_listener.hpp>
#include <headgate/testing/temporary_folder.hpp>

#include <array>
#include <vector>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace headgate::testing {
namespace {

task<> nothing() { co_return; }

TEST(leak_listener_test, NamesADescriptorThatIsLeftOpen) {
    const temporary_folder folder;
    leak_listener watch;
    watch.begin();
    EXPECT_EQ(watch.leaked(), "");
    const int fd = ::open(folder.write("left.txt", "").c_str(), O_RDONLY | O_CLOEXEC);
    EXPECT_TRUE(watch.leaked().starts_with("descriptor " + std::to_string(fd) + " (" + folder / "left.txt" + ")"));
    ::close(fd);
    EXPECT_EQ(watch.leaked(), "");
}

// Without a file and line for each way to open a descriptor, one that is left open is hard to find.
TEST(leak_listener_test, SaysWhereADescriptorWasOpened) {
    const temporary_folder folder;
    const std::string file = folder.write("left.txt", "");
    std::array<int, 2> pipe{};
    std::array<int, 2> pair{};
    std::vector<int> fds{
        ::open(file.c_str(), O_RDONLY | O_CLOEXEC), ::openat(AT_FDCWD, file.c_str(), O_RDONLY | O_CLOEXEC),
        ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), ::epoll_create1(EPOLL_CLOEXEC), ::eventfd(0, EFD_CLOEXEC)};
    fds.push_back(::dup(fds[0]));
    ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
    fds.insert(fds.end(), {pipe[0], pipe[1], pair[0], pair[1]});
    std::vector<std::string> origins;
    for (const int fd : fds) {
        EXPECT_GE(fd, 0);
        origins.push_back(descriptor_origin(fd));
        ::close(fd);
    }
    if (origins.front().empty()) GTEST_SKIP() << "this build does not note it";
    for (const std::string& where : origins) {
        EXPECT_NE(where.find("SaysWhereADescriptorWasOpened"), std::string::npos) << where;
        EXPECT_LT(where.find("leak_listener_test.cpp:"), where.find('\n'))
            << "the first line is the caller's: " << where;
    }
}

TEST(leak_listener_test, CountsFramesAndBytes) {
    leak_listener watch;
    watch.begin();
    {
        const task<> work = nothing();
        const chunk bytes(4000);
        EXPECT_EQ(watch.leaked(), "1 coroutine frame(s) more, 4096 chunk byte(s) more");
    }
    EXPECT_EQ(watch.leaked(), "");
}

TEST(leak_listener_test, LooksIntoALoopThatLivesOn) {
    linux_kernel os;
    const loop home(os);
    leak_listener watch;
    watch.begin();
    timer t;
    executor::current().arm(t, std::chrono::hours(1));
    EXPECT_EQ(watch.leaked(), "1 timer(s) more");
    t.disarm();
    const auto pair = socket_pair();
    ASSERT_TRUE(pair);
    EXPECT_TRUE(watch.leaked().starts_with("2 watched descriptor(s) more, descriptor ")) << watch.leaked();
}

TEST(leak_listener_test, LessIsNoLeak) {
    auto bytes = std::make_unique<chunk>(4000);
    leak_listener watch;
    watch.begin();
    bytes.reset();
    EXPECT_EQ(watch.leaked(), "");
}

} // namespace
} // namespace headgate::testing
