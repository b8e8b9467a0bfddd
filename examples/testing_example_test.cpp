#include <headgate/flow/pipeline.hpp>
#include <headgate/testing/explore.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/probe.hpp>
#include <headgate/testing/suspensions.hpp>
#include <headgate/testing/tools.hpp>

// The code of docs/testing-your-streams.md.
namespace {

using namespace headgate;
namespace kit = headgate::testing;
using namespace std::chrono_literals;

// What is tested: a source and a stage of your own.
stream<int> numbers(int n) {
    for (int i = 0; i < n; ++i) {
        co_await sleep_for(1ms);
        co_yield i;
    }
}
stream<int> doubled(stream<int> in) {
    while (auto i = co_await in.next()) co_yield *i * 2;
}

class my_streams : public kit::simulated_test {};

TEST_F(my_streams, WaitForASlowConsumer) {
    kit::probe queue;
    ASSERT_TRUE(run(pipeline(queue.producer(numbers(100)), doubled, kit::slow_sink<int>(8, 10ms, queue))));
    EXPECT_TRUE(queue.held_back(8)) << queue;
}

TEST(my_streams_at_any_point, LeaveNothing) {
    const auto report = kit::at_every_suspension([](kit::trial& t) {
        return pipeline({.abort = t.abort(), .timeout = t.timeout()}, t.finished(t.source(numbers(10))), doubled,
                        t.stage(), t.sink(kit::slow_sink<int>(8, 2ms)));
    });
    EXPECT_TRUE(report.ok()) << report;
}

// A world of its own for each seed: here, flows of random lengths at random times.
struct flows {
    explicit flows(kit::exploration& x) {
        for (std::size_t n = x.between(1, 20); n != 0; --n) x.actor(flow(&x));
    }
    static task<> flow(kit::exploration* x) {
        co_await sleep_for(x->up_to(1s));
        const std::size_t n = x->below(50);
        const auto end =
            co_await pipeline(numbers(static_cast<int>(n)), doubled, kit::slow_sink<int>(8, x->up_to(5ms)));
        if (!end || end->items != n) x->problem("not all items arrived");
    }
    std::string check() const { return {}; }   // after each turn of the loop
    std::string at_rest() const { return {}; } // when all are done
};

TEST(my_streams_by_chance, DeliverEverything) {
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        const auto report = kit::explore(seed, [](kit::exploration& x) { return std::make_unique<flows>(x); });
        EXPECT_TRUE(report.ok()) << report;
    }
}

} // namespace
