#include <headgate/core/nursery.hpp>
#include <headgate/io/linux_kernel.hpp>
#include <headgate/io/offload.hpp>
#include <headgate/io/spool.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/spool_tools.hpp>

#include <thread>

#include <sys/stat.h>

namespace headgate {
namespace {

using namespace std::chrono_literals;
using namespace spool_testing;

constexpr std::size_t memory = spooled::memory_min;
constexpr std::size_t kib = 1024;

TEST(disk_charge_test, CountsAgainstAllItsQuotasAndTakesWhatTheLeastAllows) {
    const auto route = std::make_shared<disk_account>();
    const auto all = std::make_shared<disk_account>();
    {
        disk_charge a({{{route, 1000}, {all, 5000}}});
        disk_charge b({{{nullptr, 0}, {all, 5000}}});
        a.grow_to(600);
        EXPECT_EQ(a.bytes(), 600u);
        b.grow_to(3900);
        EXPECT_EQ(all->used(), 4500u);
        a.grow_to(1500);
        EXPECT_EQ(a.bytes(), 1000u) << "its route's";
        EXPECT_EQ(route->used(), 1000u);
        EXPECT_EQ(all->used(), 4900u);
        b.grow_to(9000);
        EXPECT_EQ(b.bytes(), 4000u) << "what is left of all";
        a.shrink_to(100);
        a.shrink_to(200); // nothing
        EXPECT_EQ(route->used(), 100u);
        a.grow_to(50); // nothing
        EXPECT_EQ(a.bytes(), 100u);
        disk_charge moved(std::move(a));
        EXPECT_EQ(moved.bytes(), 100u);
        b = std::move(moved);
        EXPECT_EQ(b.bytes(), 100u);
        EXPECT_EQ(all->used(), 4100u);
    }
    EXPECT_EQ(route->used(), 0u);
    EXPECT_EQ(all->used(), 0u);
}

TEST(disk_charge_test, TwoThreadsNeverTakeMoreThanThereIs) {
    const auto all = std::make_shared<disk_account>();
    constexpr std::size_t limit = 1000;
    std::atomic<std::size_t> most = 0;
    const auto work = [&] {
        for (int i = 0; i < 20'000; ++i) {
            disk_charge c({{{all, limit}, {}}});
            c.grow_to(700);
            std::size_t seen = all->used();
            for (std::size_t m = most; m < seen && !most.compare_exchange_weak(m, seen);) {
            }
        }
    };
    {
        const std::jthread one(work), two(work);
    }
    EXPECT_EQ(all->used(), 0u);
    EXPECT_LE(most, limit);
    EXPECT_GE(most, 700u);
}

// In virtual time; calls to the disk take none.
class spool_quota_test : public testing::simulated_test {
protected:
    struct flow {
        checked seen{};
        abort_source go{};
        std::optional<outcome> end{};
        std::size_t made = 0;
        disk_quotas quotas{};
        nursery n{};
    };
    void start(flow& f, std::size_t bytes, disk_quotas quotas) {
        f.quotas = std::move(quotas);
        const spooled stage(memory, 1 << 20, {.folder = folder / "", .usage = &usage, .quotas = &f.quotas});
        f.n.spawn(keep(pipeline(body(bytes, 3000, &f.made), stage, checking_sink{&f.seen, f.go.signal()}), &f.end));
    }
    void expect_whole(flow& f, std::size_t bytes) {
        ASSERT_TRUE(f.end.has_value());
        ASSERT_TRUE(*f.end) << f.end->error().message();
        EXPECT_TRUE(f.seen.right && f.seen.finished);
        EXPECT_EQ(f.seen.bytes, bytes);
    }

    testing::temporary_folder folder;
    spool_usage usage;
    std::shared_ptr<disk_account> all = std::make_shared<disk_account>();
};

TEST_F(spool_quota_test, AFullQuotaIsBackpressureAndNoFailure) {
    constexpr std::size_t limit = 100 * kib;
    flow a, b;
    start(a, 300'000, {{{all, limit}, {}}});
    start(b, 300'000, {{{all, limit}, {}}});
    sim().advance(10s);
    EXPECT_LE(all->used(), limit);
    EXPECT_GT(all->used(), limit - 8 * kib) << "but for parts of blocks it is used";
    EXPECT_LE(usage.disk, all->used());
    EXPECT_GT(usage.waits, 50u);
    EXPECT_EQ(usage.refusals, 0u);
    EXPECT_EQ(a.made + b.made, a.seen.bytes + b.seen.bytes + usage.memory + usage.disk);
    const std::size_t then = a.made + b.made;
    sim().advance(10s);
    EXPECT_EQ(a.made + b.made, then);

    a.go.abort();
    b.go.abort();
    sim().advance(10s);
    expect_whole(a, 300'000);
    expect_whole(b, 300'000);
    EXPECT_EQ(all->used(), 0u);
}

TEST_F(spool_quota_test, TheLesserOfTwoLimitsHolds) {
    const auto route = std::make_shared<disk_account>();
    flow a, b;
    start(a, 300'000, {{{route, 40 * kib}, {all, 1000 * kib}}});
    start(b, 300'000, {{{all, 1000 * kib}, {}}});
    sim().advance(1s);
    EXPECT_EQ(route->used(), 40 * kib);
    EXPECT_EQ(b.made, 300'000u);
    EXPECT_LT(a.made, 80'000u);
    EXPECT_GT(all->used(), route->used() + 200'000);
    b.n.clear();
    EXPECT_EQ(all->used(), route->used());
    a.go.abort();
    sim().advance(10s);
    expect_whole(a, 300'000);
    EXPECT_EQ(route->used(), 0u);
}

TEST_F(spool_quota_test, WithoutRoomItDoesWithItsMemory) {
    flow f;
    start(f, 300'000, {{{all, 0}, {}}});
    sim().advance(1s);
    EXPECT_EQ(usage.spilled, 0u);
    EXPECT_EQ(file_in(folder / ""), -1);
    f.go.abort();
    sim().advance(1s);
    expect_whole(f, 300'000);
}

TEST_F(spool_quota_test, WhatAnotherGivesBackIsUsedSoon) {
    constexpr std::size_t limit = 64 * kib;
    flow a, b;
    start(a, 300'000, {{{all, limit}, {}}});
    sim().advance(1s);
    start(b, 300'000, {{{all, limit}, {}}});
    sim().advance(1s);
    const std::size_t stuck = b.made;
    EXPECT_LT(stuck, 30'000u);
    a.n.clear();
    EXPECT_EQ(all->used(), 0u);
    sim().advance(spooled::quota_pause + 10ms);
    EXPECT_GT(b.made, stuck + 50'000);
    EXPECT_LE(all->used(), limit);
    b.n.clear();
    EXPECT_EQ(all->used(), 0u);
}

// A sink that waits until there is much in the file, and looks at that each time.
struct measuring_sink {
    checking_sink to;
    std::string folder;
    const disk_account* counted;
    std::size_t enough;
    std::size_t* most;
    bool* right;

    task<> write(chunk item) {
        for (int i = 0; i < 200 && counted->used() < enough; ++i) co_await next_turn();
        struct stat s{};
        if (const int fd = file_in(folder); fd >= 0 && ::fstat(fd, &s) == 0) {
            const std::size_t real = static_cast<std::size_t>(s.st_blocks) * 512;
            *right = *right && real <= counted->used() && counted->used() <= real + 4 * kib;
            *most = std::max(*most, real);
        }
        co_await to.write(std::move(item));
    }
    task<> finish() { return to.finish(); }
};

// What is given back is counted no more: of a tmpfs, which has no blocks but those of the data.
TEST(spool_quota_real_test, WhatIsCountedIsWhatIsOnTheDisk) {
    const std::string problem = on_a_file_system("tmpfs", [](const std::string& folder) -> std::string {
        for (const std::size_t disk : {40 * kib, 40 * kib - 1001, 60 * kib}) {
            linux_kernel os;
            loop l(os);
            checked seen;
            spool_usage usage;
            const auto all = std::make_shared<disk_account>();
            const disk_quotas quotas{{{all, 48 * kib}, {}}};
            std::size_t most = 0;
            bool right = true;
            const spooled stage(20'000, disk, {.folder = folder, .usage = &usage, .quotas = &quotas});
            const auto end =
                l.run(pipeline(body(400'000, 2500), stage,
                               measuring_sink{{&seen, at_once()}, folder, all.get(), 36 * kib, &most, &right}));
            if (!end || !*end || !seen.right || seen.bytes != 400'000) return "the bytes did not come";
            if (usage.refusals != 0) return "the disk was full";
            if (most < 30 * kib || usage.spilled < 100'000) return "there was little on the disk";
            if (!right) return "it was counted wrongly";
            if (all->used() != 0) return "something is still counted";
        }
        return {};
    });
    if (problem == "not permitted") GTEST_SKIP() << "this needs the right to mount";
    EXPECT_EQ(problem, "");
}

// A ramfs cannot punch holes.
TEST(spool_quota_real_test, WhatCannotBeGivenBackIsCountedUntilTheFileIsEmpty) {
    const std::string problem = on_a_file_system("ramfs", [](const std::string& folder) -> std::string {
        linux_kernel os;
        loop l(os);
        checked seen;
        spool_usage usage;
        const auto all = std::make_shared<disk_account>();
        const disk_quotas quotas{{{all, 80 * kib}, {}}};
        std::size_t most = 0;
        bool right = true;
        const spooled stage(20'000, 100 * kib, {.folder = folder, .usage = &usage, .quotas = &quotas});
        const auto end =
            l.run(pipeline(body(400'000, 2500), stage,
                           measuring_sink{{&seen, at_once()}, folder, all.get(), 72 * kib, &most, &right}));
        if (!end || !*end || !seen.right || seen.bytes != 400'000) return "the bytes did not come";
        if (usage.refusals != 0) return "it was refused";
        if (most < 60 * kib || most > 80 * kib) return "there was little on the disk, or too much";
        if (!right) return "it was counted wrongly";
        return all->used() == 0 ? "" : "something is still counted";
    });
    if (problem == "not permitted") GTEST_SKIP() << "this needs the right to mount";
    EXPECT_EQ(problem, "");
}

} // namespace
} // namespace headgate
