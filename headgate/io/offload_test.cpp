#include <headgate/core/nursery.hpp>
#include <headgate/io/linux_kernel.hpp>
#include <headgate/io/offload.hpp>
#include <headgate/testing/leftovers.hpp>

#include <atomic>
#include <memory>
#include <semaphore>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

namespace headgate {
namespace {

using testing::leftovers;

// A call that tells that it has begun and then waits to be let go on.
struct gate {
    std::binary_semaphore begun{0};
    std::binary_semaphore go{0};
    void pass() {
        begun.release();
        go.acquire();
    }
};

// Notes on which thread it was destroyed.
struct grave {
    std::thread::id* where;
    explicit grave(std::thread::id& w) : where(&w) {}
    grave(grave&& o) noexcept : where(std::exchange(o.where, nullptr)) {}
    grave& operator=(grave&&) = delete;
    ~grave() {
        if (where) *where = std::this_thread::get_id();
    }
};

class offload_test : public ::testing::Test {
public:
    offload_test() { l.set_offload_pool(pool); }
    ~offload_test() override { EXPECT_EQ(l.remote_away(), 0u); }

protected:
    offload_pool pool{1};
    linux_kernel os;
    loop l{os};
};

task<std::unique_ptr<std::string>> name_elsewhere(std::thread::id* where) {
    co_return co_await offload([where] {
        *where = std::this_thread::get_id();
        return std::make_unique<std::string>("done");
    });
}

TEST_F(offload_test, RunsOnAnotherThreadAndMovesTheResult) {
    const leftovers before = leftovers::now();
    std::thread::id where;
    {
        const auto r = l.run(name_elsewhere(&where));
        ASSERT_TRUE(r);
        EXPECT_EQ(**r, "done");
    }
    EXPECT_NE(where, std::this_thread::get_id());
    EXPECT_EQ(leftovers::now(), before);
}

TEST(offload, RunsInPlaceWithoutAPool) {
    linux_kernel os;
    loop l(os);
    std::thread::id where;
    ASSERT_TRUE(l.run(name_elsewhere(&where)));
    EXPECT_EQ(where, std::this_thread::get_id());
}

task<> throw_elsewhere() {
    co_await offload([] { throw std::runtime_error("broken"); });
}

TEST_F(offload_test, AThrowFailsTheFlow) {
    const auto r = l.run(throw_elsewhere());
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error().code, errc::failed);
    EXPECT_EQ(r.error().detail, "broken");
}

task<> pass(gate* g, grave owned, int* done) {
    co_await offload([g, owned = std::move(owned)] { g->pass(); });
    ++*done;
}

TEST_F(offload_test, JobsWaitTheirTurn) {
    gate first, second;
    std::thread::id buried;
    int done = 0;
    nursery n;
    n.spawn(pass(&first, grave(buried), &done));
    n.spawn(pass(&second, grave(buried), &done));
    first.begun.acquire();
    EXPECT_EQ(pool.running(), 1u);
    EXPECT_EQ(pool.waiting(), 1u);
    EXPECT_FALSE(second.begun.try_acquire());
    first.go.release();
    second.begun.acquire();
    second.go.release();
    while (done < 2) ASSERT_FALSE(l.turn());
    EXPECT_EQ(pool.running() + pool.waiting(), 0u);
}

TEST_F(offload_test, AWaitingJobIsTakenBackWhenItsWaiterIsDropped) {
    const leftovers before = leftovers::now();
    gate first, second;
    std::thread::id buried;
    int done = 0;
    nursery n;
    n.spawn(pass(&first, grave(buried), &done));
    first.begun.acquire();
    {
        nursery dropped;
        dropped.spawn(pass(&second, grave(buried), &done));
        EXPECT_EQ(pool.waiting(), 1u);
    }
    EXPECT_EQ(pool.waiting(), 0u);
    EXPECT_EQ(buried, std::this_thread::get_id());
    first.go.release();
    while (done < 1) ASSERT_FALSE(l.turn());
    EXPECT_FALSE(second.begun.try_acquire());
    EXPECT_EQ(leftovers::now(), before);
}

TEST_F(offload_test, ARunningJobGoesOnAloneAndIsBuriedOnTheLoopsThread) {
    const leftovers before = leftovers::now();
    gate g;
    std::thread::id buried;
    int done = 0;
    {
        nursery dropped;
        dropped.spawn(pass(&g, grave(buried), &done));
        g.begun.acquire();
    }
    EXPECT_EQ(buried, std::thread::id());
    EXPECT_EQ(l.remote_away(), 1u);
    g.go.release();
    while (l.remote_away() != 0) ASSERT_FALSE(l.turn());
    EXPECT_EQ(buried, std::this_thread::get_id());
    EXPECT_EQ(done, 0);
    EXPECT_EQ(leftovers::now(), before);
}

TEST(offload, ALoopWaitsForItsRunningJobs) {
    offload_pool pool(2);
    gate g;
    std::thread::id buried;
    int done = 0;
    std::thread release;
    {
        linux_kernel os;
        loop l(os);
        l.set_offload_pool(pool);
        nursery n;
        n.spawn(pass(&g, grave(buried), &done));
        g.begun.acquire();
        n.clear();
        release = std::thread([&g] { g.go.release(); });
    }
    release.join();
    EXPECT_EQ(buried, std::this_thread::get_id());
    EXPECT_EQ(done, 0);
}

task<> fail_at_once() { co_await fail(errc::protocol); }

TEST_F(offload_test, WhatHasFailedIsDroppedBeforeAJobRuns) {
    struct look : remote_job {
        nursery* at = nullptr;
        std::size_t found = 99;
    } job;
    nursery n;
    n.spawn(fail_at_once());
    job.at = &n;
    job.run = [](remote_job& r) {
        auto& self = static_cast<look&>(r);
        self.found = self.at->size();
    };
    l.post_remote(job);
    ASSERT_FALSE(l.turn());
    EXPECT_EQ(job.found, 0u);
}

task<int> add_up(int jobs) {
    int sum = 0;
    for (int i = 0; i < jobs; ++i) sum += co_await offload([i] { return i; });
    co_return sum;
}

// Starts and drops jobs at every moment of their lives.
task<> drop_some(nursery* n, int rounds) {
    for (int i = 0; i < rounds; ++i) {
        for (int k = 0; k < 3; ++k) n->spawn([](int) -> task<> { co_await offload([] {}); }(k));
        if (i % 2 == 0) co_await offload([] {});
        n->clear();
    }
}

TEST(offload, OnePoolServesSeveralLoops) {
    offload_pool pool(3);
    std::atomic<int> right = 0;
    std::vector<std::thread> workers;
    workers.reserve(3);
    for (int w = 0; w < 3; ++w)
        workers.emplace_back([&pool, &right] {
            linux_kernel os;
            loop l(os);
            l.set_offload_pool(pool);
            const auto sum = l.run(add_up(100));
            right += sum && *sum == 4950;
            nursery n;
            right += l.run(drop_some(&n, 200)).has_value();
        });
    for (std::thread& w : workers) w.join();
    EXPECT_EQ(right, 6);
}

} // namespace
} // namespace headgate
