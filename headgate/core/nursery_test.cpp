#include <headgate/core/nursery.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/tools.hpp>

#include <optional>
#include <string>

namespace headgate {
namespace {

using namespace std::chrono_literals;

class nursery_test : public testing::simulated_test {};

struct noted_end {
    std::string* log;
    std::string name;
    noted_end(std::string* l, std::string n) : log(l), name(std::move(n)) {}
    noted_end(const noted_end&) = delete;
    ~noted_end() { *log += name + " "; }
};

task<> wait(duration d, std::string* log, std::string name) {
    const noted_end end(log, name);
    co_await sleep_for(d);
}
task<> fail_after(duration d) {
    co_await sleep_for(d);
    co_await fail(errc::refused, "no");
}

TEST_F(nursery_test, HoldsWorkUntilItEnds) {
    nursery n;
    std::string log;
    n.spawn(wait(10ms, &log, "a"));
    n.spawn(wait(5ms, &log, "b"));
    n.spawn(wait(0ms, &log, "c")); // ends at once
    EXPECT_EQ(log, "c ");
    EXPECT_FALSE(n.empty());
    sim().advance(0ms);
    EXPECT_EQ(n.size(), 2u);
    sim().advance(20ms);
    EXPECT_EQ(log, "c b a ");
    EXPECT_TRUE(n.empty());
    EXPECT_EQ(live_frames(), 0u);
}

TEST_F(nursery_test, DropsTheNewestFirst) {
    std::string log;
    {
        nursery n;
        for (const char* name : {"a", "b", "c"}) n.spawn(wait(1h, &log, name));
    }
    EXPECT_EQ(log, "c b a ");
    log.clear();
    nursery n;
    for (const char* name : {"a", "b"}) n.spawn(wait(1h, &log, name));
    n.clear();
    EXPECT_EQ(log, "b a ");
    EXPECT_TRUE(n.empty());
    n.clear();
    n.spawn(wait(1ms, &log, "again"));
    sim().advance(1ms);
    EXPECT_EQ(log, "b a again ");
}

TEST_F(nursery_test, TellsOfAFailure) {
    nursery n;
    std::string told;
    const auto tell = [](void* to, const flow_error& e) { *static_cast<std::string*>(to) += e.detail + " "; };
    n.spawn(fail_after(1ms), tell, &told);
    n.spawn(fail_after(0ms), tell, &told); // before spawn returns
    n.spawn(fail_after(2ms));              // nobody wants to know
    sim().advance(5ms);
    EXPECT_EQ(told, "no no ");
    EXPECT_TRUE(n.empty());
}

// The failed work is still whole when its failure is told: what it held is released after that.
TEST_F(nursery_test, AFailureMaySpawnMore) {
    nursery n;
    struct again {
        nursery* n;
        int left;
        static void failed(void* context, const flow_error&) {
            auto& self = *static_cast<again*>(context);
            if (--self.left > 0) self.n->spawn(fail_after(1ms), failed, context);
        }
    } context{&n, 5};
    n.spawn(fail_after(1ms), again::failed, &context);
    sim().advance(10ms);
    EXPECT_EQ(context.left, 0);
    EXPECT_TRUE(n.empty());
}

task<> wait_until_drained(nursery* n, bool* drained) {
    co_await n->drained();
    *drained = true;
}

TEST_F(nursery_test, IsDrained) {
    nursery n;
    std::string log;
    n.spawn(wait(10ms, &log, "a"));
    n.spawn(wait(5ms, &log, "b"));
    nursery waiters;
    bool drained = false;
    waiters.spawn(wait_until_drained(&n, &drained));
    sim().advance(9ms);
    EXPECT_FALSE(drained);
    sim().advance(1ms);
    sim().advance(0ms);
    EXPECT_TRUE(drained);
    drained = false;
    waiters.spawn(wait_until_drained(&n, &drained)); // it is empty
    EXPECT_TRUE(drained);
    sim().advance(0ms);
}

TEST_F(nursery_test, AWaiterForTheDrainIsDropped) {
    std::optional<nursery> n(std::in_place);
    std::string log;
    n->spawn(wait(1h, &log, "a"));
    nursery waiters;
    bool drained = false;
    waiters.spawn(wait_until_drained(&*n, &drained));
    waiters.clear();
    n->clear();
    n->spawn(wait(1h, &log, "b"));
    waiters.spawn(wait_until_drained(&*n, &drained));
    n->clear();
    waiters.clear(); // it was woken, but has not run yet
    n.reset();
    sim().advance(1ms);
    EXPECT_FALSE(drained);
}

task<> spawn_more(nursery* n, int depth, std::string* log) {
    if (depth != 0) n->spawn(spawn_more(n, depth - 1, log));
    const noted_end end(log, std::to_string(depth));
    co_await sleep_for(1ms);
}

TEST_F(nursery_test, WorkMaySpawnWork) {
    nursery n;
    std::string log;
    n.spawn(spawn_more(&n, 3, &log));
    EXPECT_EQ(n.size(), 4u);
    sim().advance(1ms);
    EXPECT_EQ(log, "0 1 2 3 ");
    EXPECT_TRUE(n.empty());
}

} // namespace
} // namespace headgate
