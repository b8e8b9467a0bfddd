#include <gtest/gtest.h>

#include <gateway/worker_thread.hpp>

namespace headgate::gateway {
namespace {

TEST(WorkerThread, DoesNotAnswerWhenItHangs) {
    linux_kernel os;
    loop main(os);
    std::promise<void> hanging;
    std::promise<void> go_on;
    worker_thread::shared s{.options = {}, .ended = [&] {
                                hanging.set_value();
                                go_on.get_future().wait();
                            }};
    worker_thread w(s, 0);
    w.probe();
    w.live(); // what was asked before this has been done
    EXPECT_TRUE(w.has_answered());
    w.drain(); // it has nothing to do, and says that it has ended
    hanging.get_future().wait();
    w.probe();
    w.probe();
    EXPECT_FALSE(w.has_answered());
    go_on.set_value();
    w.live();
    EXPECT_TRUE(w.has_answered());
}

} // namespace
} // namespace headgate::gateway
