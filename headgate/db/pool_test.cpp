#include <headgate/core/sleep.hpp>
#include <headgate/db/pool.hpp>
#include <headgate/testing/fixture.hpp>

#include <vector>

namespace headgate::db {
namespace {

using namespace std::chrono_literals;

// What the connections of a test do.
struct script {
    std::size_t open = 0; // connections that exist
    std::size_t open_max = 0;
    std::size_t checks = 0;
    duration connect_time = 0ms;
    duration recover_time = 0ms;
    bool refuses = false;
    bool alive = true;
    bool checks_out = true;
    bool recovers = true;
};

struct fake_connection final : connection {
    script& s;
    explicit fake_connection(script& of) : s(of) { s.open_max = std::max(s.open_max, ++s.open); }
    ~fake_connection() override { --s.open; }
    bool alive() noexcept override { return s.alive; }
    task<bool> check() override {
        ++s.checks;
        co_await sleep_for(1ms);
        co_return s.checks_out;
    }
    task<bool> recover() override {
        co_await sleep_for(s.recover_time);
        if (!s.recovers) co_await fail(errc::premature_close);
        co_return true;
    }
};

struct fake_connector final : connector {
    script s;
    task<std::unique_ptr<connection>> connect(duration limit) override {
        co_await sleep_for(std::min(s.connect_time, limit));
        if (s.connect_time > limit) co_await fail(errc::timed_out, "connecting");
        if (s.refuses) co_await fail(errc::refused, "by the script");
        co_return std::make_unique<fake_connection>(s);
    }
};

class pool_test : public testing::simulated_test {
protected:
    fake_connector server;
    script& s = server.s;
};

task<> use(pool* p, duration time, bool give_back = true) {
    lease l = co_await p->acquire();
    co_await sleep_for(time);
    if (give_back) l.give_back();
}
task<lease> take(pool* p) { co_return co_await p->acquire(); }

TEST_F(pool_test, UsesAConnectionAgain) {
    pool p(server);
    run(use(&p, 3ms));
    run(use(&p, 30ms));
    const pool_stats stats = p.stats();
    EXPECT_EQ(stats.created, 1u);
    EXPECT_EQ(stats.idle, 1u);
    EXPECT_EQ(stats.held, 0u);
    EXPECT_EQ(stats.leases, 2u);
    EXPECT_EQ(stats.held_in_all, 33ms);
    EXPECT_EQ(stats.held_for[1], 1u); // up to 5 ms
    EXPECT_EQ(stats.held_for[3], 1u); // up to 100 ms
    EXPECT_EQ(s.checks, 0u);
}

task<> note(pool* p, std::vector<int>* log, int name, duration time) {
    lease l = co_await p->acquire();
    log->push_back(name);
    co_await sleep_for(time);
    l.give_back();
}

TEST_F(pool_test, NeverHasMoreThanItsSizeAndServesInOrder) {
    pool p(server, {.size = 2});
    s.connect_time = 3ms;
    std::vector<int> log;
    nursery n;
    for (int i = 0; i < 6; ++i) n.spawn(note(&p, &log, i, 10ms));
    EXPECT_EQ(p.stats().connecting, 2u);
    EXPECT_EQ(p.stats().waiting, 4u);
    sim().advance(5ms);
    EXPECT_EQ(p.stats().held, 2u);
    sim().advance(1s);
    EXPECT_EQ(log, (std::vector{0, 1, 2, 3, 4, 5}));
    EXPECT_EQ(s.open_max, 2u);
    EXPECT_EQ(p.stats().idle, 2u);
    EXPECT_TRUE(n.empty());
}

TEST_F(pool_test, AFullQueueRefusesAtOnce) {
    pool p(server, {.size = 1, .queue_max = 1});
    lease first = run(take(&p));
    nursery n;
    n.spawn(use(&p, 1ms));
    const auto end = try_run(take(&p));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::overloaded);
    EXPECT_EQ(p.stats().refused, 1u);
    first.give_back();
    sim().advance(10ms);
    EXPECT_TRUE(n.empty());
}

TEST_F(pool_test, TheWaitEnds) {
    pool p(server, {.size = 1, .acquire_timeout = 50ms});
    lease first = run(take(&p));
    const auto end = try_run(take(&p));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::timed_out);
    EXPECT_EQ(p.stats().acquire_timeouts, 1u);
    EXPECT_EQ(p.stats().waiting, 0u);
    EXPECT_EQ(sim().elapsed(), 50ms);
}

TEST_F(pool_test, TheConnectCountsIntoTheWait) {
    pool p(server, {.size = 1, .acquire_timeout = 50ms});
    s.connect_time = 30ms;
    nursery n;
    n.spawn(use(&p, 1ms, false));       // connects until 30 ms
    s.recovers = false;                 // and leaves nothing
    const auto end = try_run(take(&p)); // has 19 ms left for its own
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::timed_out);
    EXPECT_EQ(end.error().detail, "connecting");
    EXPECT_EQ(p.stats().connect_failures, 1u);
    EXPECT_EQ(p.stats().connecting, 0u);
}

TEST_F(pool_test, WhoLeavesTheQueueIsNotServed) {
    pool p(server, {.size = 1});
    lease first = run(take(&p));
    std::vector<int> log;
    nursery leaving, staying;
    leaving.spawn(note(&p, &log, 1, 1ms));
    staying.spawn(note(&p, &log, 2, 1ms));
    EXPECT_EQ(p.stats().waiting, 2u);
    leaving.clear();
    EXPECT_EQ(p.stats().waiting, 1u);
    first.give_back();
    sim().advance(10ms);
    EXPECT_EQ(log, std::vector{2});
}

TEST_F(pool_test, APermitOnItsWayPassesOn) {
    pool p(server, {.size = 1});
    lease first = run(take(&p));
    std::vector<int> log;
    nursery leaving, staying;
    leaving.spawn(note(&p, &log, 1, 1ms));
    staying.spawn(note(&p, &log, 2, 1ms));
    first.give_back();
    leaving.clear(); // it has the permit, but has not run
    sim().advance(10ms);
    EXPECT_EQ(log, std::vector{2});
    EXPECT_EQ(s.open_max, 1u);
}

TEST_F(pool_test, AFailedConnectLetsTheNextOneTry) {
    pool p(server, {.size = 1});
    s.connect_time = 5ms;
    s.refuses = true;
    nursery n;
    std::vector<flow_error> errors;
    const auto keep = [](void* to, const flow_error& e) { static_cast<std::vector<flow_error>*>(to)->push_back(e); };
    n.spawn(use(&p, 1ms), keep, &errors);
    n.spawn(use(&p, 1ms), keep, &errors);
    sim().advance(7ms);
    s.refuses = false;
    sim().advance(20ms);
    ASSERT_EQ(errors.size(), 1u);
    EXPECT_EQ(errors[0].code, errc::refused);
    EXPECT_EQ(errors[0].detail, "by the script");
    EXPECT_EQ(p.stats().created, 1u);
    EXPECT_EQ(p.stats().idle, 1u);
}

TEST_F(pool_test, WorkGivenUpKeepsItsPlaceUntilItIsBroughtBack) {
    pool p(server, {.size = 1});
    s.recover_time = 20ms;
    {
        const lease dropped = run(take(&p));
    }
    EXPECT_EQ(p.stats().recovering, 1u);
    EXPECT_EQ(p.stats().held, 0u);
    nursery n;
    n.spawn(use(&p, 1ms));
    EXPECT_EQ(p.stats().waiting, 1u);
    sim().advance(19ms);
    EXPECT_EQ(p.stats().waiting, 1u);
    sim().advance(5ms);
    EXPECT_TRUE(n.empty());
    EXPECT_EQ(p.stats().created, 1u);
    EXPECT_EQ(p.stats().cancels, 1u);
    EXPECT_EQ(p.stats().recovered, 1u);
}

TEST_F(pool_test, WhatCannotBeBroughtBackIsClosed) {
    pool p(server, {.size = 1});
    s.recovers = false;
    {
        const lease dropped = run(take(&p));
    }
    run(use(&p, 1ms));
    EXPECT_EQ(p.stats().created, 2u);
    EXPECT_EQ(p.stats().discarded, 1u);
    EXPECT_EQ(p.stats().recovered, 0u);
    EXPECT_EQ(s.open_max, 1u);
}

TEST_F(pool_test, ALeaseMayBeDiscarded) {
    pool p(server, {.size = 1});
    lease l = run(take(&p));
    l.discard();
    EXPECT_FALSE(l);
    EXPECT_EQ(s.open, 0u);
    run(use(&p, 1ms));
    EXPECT_EQ(p.stats().discarded, 1u);
    EXPECT_EQ(p.stats().cancels, 0u);
}

TEST_F(pool_test, ADeadConnectionIsNotLent) {
    pool p(server, {.size = 2});
    run(use(&p, 1ms));
    s.alive = false;
    const lease l = run(take(&p));
    EXPECT_EQ(p.stats().created, 2u);
    EXPECT_EQ(p.stats().discarded, 1u);
    EXPECT_EQ(s.open, 1u);
    EXPECT_EQ(s.checks, 0u);
}

TEST_F(pool_test, ALongIdleConnectionIsAskedFirst) {
    pool p(server, {.size = 2, .check_after = 30s});
    run(use(&p, 1ms));
    sim().advance(29s);
    run(use(&p, 1ms));
    EXPECT_EQ(s.checks, 0u);
    sim().advance(31s);
    run(use(&p, 1ms));
    EXPECT_EQ(s.checks, 1u);
    EXPECT_EQ(p.stats().created, 1u);
    sim().advance(31s);
    s.checks_out = false;
    run(use(&p, 1ms));
    EXPECT_EQ(p.stats().created, 2u);
    EXPECT_EQ(s.open, 1u);
    EXPECT_EQ(p.stats().leases, 4u);
}

TEST_F(pool_test, OldConnectionsAreClosed) {
    pool p(server, {.size = 2, .lifetime = 1h, .idle_timeout = 60s});
    run(use(&p, 1ms));
    sim().advance(59s);
    EXPECT_EQ(s.open, 1u);
    sim().advance(2s);
    EXPECT_EQ(s.open, 0u); // nobody asked

    lease l = run(take(&p));
    sim().advance(1h);
    EXPECT_EQ(s.open, 1u); // it is in use
    l.give_back();
    EXPECT_EQ(s.open, 0u);
    EXPECT_EQ(p.stats().discarded, 2u);
}

TEST_F(pool_test, TheOneUsedLastIsLentFirst) {
    pool p(server, {.size = 2, .idle_timeout = 60s});
    {
        lease a = run(take(&p)), b = run(take(&p));
        a.give_back();
        b.give_back();
    }
    for (int i = 0; i < 7; ++i) {
        sim().advance(10s);
        run(use(&p, 1ms));
    }
    EXPECT_EQ(s.open, 1u);
    EXPECT_EQ(p.stats().created, 2u);
}

TEST_F(pool_test, RetireClosesWhatWasMadeBefore) {
    pool p(server, {.size = 2});
    lease a = run(take(&p));
    run(use(&p, 1ms));
    p.retire();
    EXPECT_EQ(s.open, 1u);
    a.give_back();
    EXPECT_EQ(s.open, 0u);
    sim().advance(1ms);
    run(use(&p, 1ms));
    EXPECT_EQ(p.stats().idle, 1u);
}

TEST_F(pool_test, ALeaseMayOutliveItsPool) {
    std::optional<pool> p(std::in_place, server);
    lease l = run(take(&*p));
    run(use(&*p, 1ms));
    s.recover_time = 1h;
    {
        const lease dropped = run(take(&*p));
    }
    EXPECT_EQ(s.open, 2u);
    p.reset();
    EXPECT_EQ(s.open, 1u);
    l.give_back();
    EXPECT_EQ(s.open, 0u);
}

// Drops the work after each turn; all permits must come back.
TEST_F(pool_test, DroppedAnywhereNothingIsLost) {
    s.connect_time = 2ms;
    for (int turns = 0; turns < 40; ++turns) {
        pool p(server, {.size = 1, .check_after = 0ms});
        nursery n;
        n.spawn(use(&p, 3ms));
        n.spawn(use(&p, 3ms, false));
        n.spawn(use(&p, 3ms));
        for (int i = 0; i < turns && !n.empty(); ++i) ASSERT_FALSE(sim().home.turn());
        n.clear();
        sim().advance(5ms);
        const pool_stats after = p.stats();
        EXPECT_EQ(after.held + after.connecting + after.recovering + after.waiting, 0u) << turns;
        run(use(&p, 1ms));
        EXPECT_EQ(p.stats().idle, 1u) << turns;
    }
    EXPECT_EQ(s.open_max, 1u);
}

} // namespace
} // namespace headgate::db
