#include <headgate/core/memory_budget.hpp>

#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace headgate {
namespace {

constexpr std::size_t kib = 1024;
constexpr std::size_t mib = 1024 * kib;

TEST(memory_budget_test, WithoutOneThereIsNoBound) {
    EXPECT_EQ(memory_share(mib), mib);
    EXPECT_FALSE(memory_full());
}

TEST(memory_budget_test, CountsChunksAndChargesOfItsThreads) {
    memory_budget b(16 * mib);
    const chunk before(chunk_large);
    {
        const budget_scope use(b);
        EXPECT_GE(b.used(), chunk_large);
        const chunk one(chunk_bulk);
        const memory_charge other(mib);
        EXPECT_GE(b.used(), mib + chunk_bulk + chunk_large);
        EXPECT_LE(b.used(), mib + chunk_bulk + chunk_large + 32 * kib);
        std::thread([&b] {
            const budget_scope use_there(b);
            const chunk third(2 * mib);
            EXPECT_GE(b.used(), 3 * mib);
        }).join();
        EXPECT_LT(b.used(), 2 * mib);
    }
    EXPECT_EQ(b.used(), 0u);
}

TEST(memory_budget_test, GivesBackWhatIsNoLongerHeld) {
    memory_budget b(16 * mib);
    const budget_scope use(b);
    for (int i = 0; i < 100; ++i) {
        std::vector<chunk> many;
        for (int n = 0; n < 50; ++n) many.emplace_back(chunk_large);
        EXPECT_GE(b.used(), 50 * chunk_large);
    }
    EXPECT_LE(b.used(), 32 * kib);
}

TEST(memory_budget_test, ABufferMayEndOnAnotherThread) {
    memory_budget b(16 * mib);
    chunk moved;
    std::thread([&] {
        const budget_scope use(b);
        moved = chunk(mib);
        EXPECT_GE(b.used(), mib);
        std::thread([&] {
            const budget_scope use_there(b);
            moved = chunk();
            EXPECT_LE(b.used(), 32 * kib);
            const chunk next(chunk_large);
            EXPECT_GE(b.used(), chunk_large);
            EXPECT_LE(b.used(), chunk_large + 32 * kib);
        }).join();
    }).join();
    EXPECT_EQ(b.used(), 0u);
}

TEST(memory_budget_test, SharesShrinkAsTheRestDoes) {
    memory_budget b(8 * mib); // of which 7 MiB are shared out
    const budget_scope use(b);
    EXPECT_EQ(memory_share(chunk_bulk), chunk_bulk);
    EXPECT_EQ(memory_share(mib), chunk_bulk);
    EXPECT_EQ(memory_share(100), 100u);
    const memory_charge most(6 * mib);
    EXPECT_EQ(memory_share(chunk_bulk), chunk_large);
    EXPECT_EQ(memory_share(100 * kib), 100 * kib);
    const memory_charge nearly(960 * kib);
    EXPECT_EQ(memory_share(chunk_bulk), chunk_small);
    EXPECT_FALSE(memory_full());
    const memory_charge rest(mib + 64 * kib);
    EXPECT_TRUE(memory_full());
    EXPECT_EQ(memory_share(chunk_bulk), chunk_small);
    EXPECT_EQ(memory_share(100), 100u);
}

// However many streams want as much as they can get, and never give anything back, all stay below the limit.
TEST(memory_budget_test, GreedyStreamsLeaveRoom) {
    memory_budget b(32 * mib);
    const budget_scope use(b);
    std::vector<chunk> held;
    for (int i = 0; i < 1000; ++i) held.emplace_back(memory_share(chunk_large));
    EXPECT_FALSE(memory_full());
    EXPECT_GE(held.front().capacity(), chunk_large);
    EXPECT_LT(held.back().capacity(), chunk_large);
}

TEST(memory_budget_test, AChargeMayBeMoved) {
    memory_budget b(8 * mib);
    const budget_scope use(b);
    memory_charge a(mib);
    memory_charge c(std::move(a));
    EXPECT_GE(b.used(), mib);
    c.set(2 * mib);
    EXPECT_GE(b.used(), 2 * mib);
    c = memory_charge();
    EXPECT_LE(b.used(), 32 * kib);
}

} // namespace
} // namespace headgate
