#include <headgate/core/channel.hpp>
#include <headgate/core/race.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/tools.hpp>

#include <random>
#include <string>
#include <vector>

namespace headgate {
namespace {

using namespace std::chrono_literals;

class channel_test : public testing::simulated_test {};

task<> push_all(channel<std::string>* c, std::vector<std::string> items, std::size_t* most, duration every) {
    for (std::string& item : items) {
        co_await sleep_for(every);
        co_await c->room(item.size());
        c->push(std::move(item));
        *most = std::max(*most, c->bytes());
    }
    c->close();
}
task<std::vector<std::string>> pop_all(channel<std::string>* c, duration every) {
    std::vector<std::string> got;
    for (;;) {
        co_await c->filled();
        auto item = c->pop();
        if (!item) co_return got;
        got.push_back(std::move(*item));
        co_await sleep_for(every);
    }
}
task<std::vector<std::string>> both(channel<std::string>* c, std::vector<std::string> items, std::size_t* most,
                                    duration push_every, duration pop_every) {
    auto done = co_await all(push_all(c, std::move(items), most, push_every), pop_all(c, pop_every));
    co_return std::get<1>(std::move(done));
}

TEST_F(channel_test, KeepsTheOrderAndNeverPassesItsLimit) {
    std::mt19937 chance(7);
    for (const auto& [push_every, pop_every] :
         {std::pair(0ms, 0ms), std::pair(3ms, 0ms), std::pair(0ms, 3ms), std::pair(2ms, 2ms)}) {
        std::vector<std::string> items;
        for (int i = 0; i < 200; ++i) items.push_back(std::to_string(i) + std::string(chance() % 40, 'x'));
        channel<std::string> c(100);
        std::size_t most = 0;
        EXPECT_EQ(run(both(&c, items, &most, push_every, pop_every)), items);
        EXPECT_LE(most, 100u);
        if (pop_every > push_every) EXPECT_GT(most, 60u);
        EXPECT_EQ(c.bytes(), 0u);
    }
}

TEST_F(channel_test, AnItemBeyondTheLimitPassesAlone) {
    channel<std::string> c(10);
    std::size_t most = 0;
    const std::vector<std::string> items{"1234", std::string(50, 'x'), "5678", std::string(60, 'y')};
    EXPECT_EQ(run(both(&c, items, &most, 0ms, 5ms)), items);
    EXPECT_EQ(most, 60u);
}

TEST_F(channel_test, PopsNothingFromAnEmptyOne) {
    channel<int> c(10);
    EXPECT_FALSE(c.pop());
    c.push(1);
    EXPECT_EQ(c.bytes(), sizeof(int));
    c.close();
    EXPECT_EQ(c.pop(), 1);
    EXPECT_FALSE(c.pop());
}

task<> wait_filled(channel<int>* c, bool* woken) {
    co_await c->filled();
    *woken = true;
}
task<> wait_room(channel<int>* c, bool* woken) {
    co_await c->room(sizeof(int));
    *woken = true;
}

TEST_F(channel_test, WaitsAreDroppedAlsoAfterTheyWereWoken) {
    channel<int> c(sizeof(int));
    bool woken = false;
    nursery n;
    n.spawn(wait_filled(&c, &woken));
    n.clear();
    n.spawn(wait_filled(&c, &woken));
    c.push(1);
    n.clear();
    n.spawn(wait_room(&c, &woken));
    n.clear();
    n.spawn(wait_room(&c, &woken));
    (void)c.pop();
    n.clear();
    sim().advance(1ms);
    EXPECT_FALSE(woken);
    c.push(2); // nobody waits
    EXPECT_EQ(c.pop(), 2);
}

// What was pushed is gone again before the one who waits has its turn: it waits on.
TEST_F(channel_test, AWakeInVainIsHarmless) {
    channel<int> c(100);
    bool woken = false;
    nursery n;
    n.spawn(wait_filled(&c, &woken));
    c.push(1);
    (void)c.pop();
    sim().advance(1ms);
    EXPECT_FALSE(woken);
    c.close();
    sim().advance(1ms);
    EXPECT_TRUE(woken);
}

} // namespace
} // namespace headgate
