#include <headgate/core/sleep.hpp>
#include <headgate/io/linux_kernel.hpp>

#include <condition_variable>
#include <mutex>

#include <gmock/gmock.h>

#include <gateway/post_mortem/loop_watch.hpp>
#include <gateway/post_mortem/symbols.hpp>

namespace headgate::gateway {

using namespace std::chrono_literals;

// What is told, as it comes.
struct told_lines {
    std::mutex mutex;
    std::condition_variable came;
    std::string text;

    void add(const std::string& more) {
        const std::lock_guard lock(mutex);
        text += more;
        came.notify_all();
    }
    bool wait_for(std::string_view what) {
        std::unique_lock lock(mutex);
        return came.wait_for(lock, 20s, [&] { return text.find(what) != text.npos; });
    }
};
told_lines told;

// Does not come back until it has been told of, as a request's code must not.
[[gnu::noinline]] bool hold_up_the_loop() {
    const auto until = std::chrono::steady_clock::now() + 10s;
    while (std::chrono::steady_clock::now() < until) {
        const std::lock_guard lock(told.mutex);
        if (told.text.find("has not come back") != told.text.npos) return true;
    }
    return false;
}

// Goes on after the wait, so that it is on the stack meanwhile also where the optimiser is at work.
[[gnu::noinline]] bool wait_in_the_kernel() {
    const bool came = told.wait_for("has not come back");
    return came && !told.text.empty();
}

namespace {

std::string names_of(std::span<void* const> calls) {
    const symbols names;
    std::string text;
    for (const void* c : calls) text += "    " + names.call(c) + "\n";
    return text;
}

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class loop_watch_test : public ::testing::Test {
protected:
    loop_watch_test() { told.text.clear(); }
    linux_kernel os;
    loop home{os};
    loop_watch watch{25ms, [](const std::string& text) { told.add(text); }, &names_of};
};

task<bool> call(bool (*f)()) {
    co_await sleep_for(1ms);
    co_return f();
}

task<> turns(int n) {
    for (int i = 0; i < n; ++i) co_await sleep_for(1ms);
}

TEST_F(loop_watch_test, TellsOfALoopThatIsHeldUpWithItsStack) {
    watch.add(home, "worker 7");
    EXPECT_TRUE(home.run(call(&hold_up_the_loop)).value());
    EXPECT_TRUE(home.run(turns(1)).has_value());
    EXPECT_THAT(told.text, HasSubstr("headgate: worker 7 has not come back to its loop for "));
    EXPECT_THAT(told.text, HasSubstr("    hold_up_the_loop ("));
    EXPECT_EQ(watch.stalls(), 1u);
    watch.forget(home);
}

TEST_F(loop_watch_test, TellsOfAThreadThatIsBlockedAndOfTheStallsEnd) {
    watch.add(home, "worker 7");
    EXPECT_TRUE(home.run(call(&wait_in_the_kernel)).value());
    const auto end = home.run(turns(60));
    EXPECT_TRUE(end.has_value());
    EXPECT_THAT(told.text, HasSubstr("wait_in_the_kernel"));
    EXPECT_TRUE(told.wait_for("headgate: worker 7 goes on after "));
    watch.forget(home);
}

TEST_F(loop_watch_test, SaysNothingOfALoopThatWaitsOrTurns) {
    watch.add(home, "worker 7");
    EXPECT_TRUE(home.run(turns(100)).has_value());
    watch.forget(home);
    EXPECT_THAT(told.text, IsEmpty());
    EXPECT_EQ(watch.stalls(), 0u);
}

} // namespace
} // namespace headgate::gateway
