#include <headgate/core/task.hpp>
#include <headgate/io/linux_kernel.hpp>
#include <headgate/io/socket.hpp>
#include <headgate/testing/leak_listener.hpp>
#include <headgate/testing/temporary_folder.hpp>

#include <fcntl.h>
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
    EXPECT_EQ(watch.leaked(), "descriptor " + std::to_string(fd) + " (" + folder / "left.txt" + ")");
    ::close(fd);
    EXPECT_EQ(watch.leaked(), "");
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
