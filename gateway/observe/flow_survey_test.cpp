#include <headgate/core/nursery.hpp>
#include <headgate/testing/fixture.hpp>

#include <deque>
#include <numeric>
#include <set>

#include <gateway/observe/flow_survey.hpp>

namespace headgate::gateway {

namespace {

using namespace std::chrono_literals;

// A flow through which `up` bytes have passed.
struct one_flow {
    explicit one_flow(flow_registry& in, route_meters& m) {
        flow.meters = &m;
        flow.route = "api";
        flow.begin(in, flow_kind::request, this, [](const void* whose, flow_facts& f) {
            f.up = static_cast<const one_flow*>(whose)->up;
            f.why = cause::complete;
        });
    }
    std::uint64_t up = 1;
    live_flow flow;
};

struct answer {
    std::optional<flow_page> page{};
    std::uint64_t up = 0; // of those that live and those that have ended, in the turn in which it was given
};

task<> look(const flow_registry* of, flow_query q, const route_meters* m, answer* to) {
    to->page = co_await survey(of, std::move(q), true);
    to->up = m->up_bytes;
    for (const route_totals& r : to->page->routes) to->up += r.up_bytes;
}

class flow_survey : public testing::simulated_test {
protected:
    static constexpr std::size_t many = 4 * survey_slice_flows;

    flow_survey() {
        for (std::size_t i = 0; i < many; ++i) add();
    }
    ~flow_survey() override { flows.clear(); }

    void add() { flows.push_back(std::make_unique<one_flow>(all, meters)); }
    // The oldest is 0.
    void end(std::size_t n) { flows[n].reset(); }
    answer& start(flow_query q) {
        answer& to = answers.emplace_back();
        looking.spawn(look(&all, std::move(q), &meters, &to));
        return to;
    }

    route_meters meters;
    flow_registry all;
    std::deque<std::unique_ptr<one_flow>> flows;
    std::deque<answer> answers;
    nursery looking;
};

TEST_F(flow_survey, ALongOneLetsOthersHaveTheirTurn) {
    const answer& seen = start({.limit = 1000});
    EXPECT_FALSE(seen.page) << "it is not done in one turn";
    sim().advance(1ms);
    ASSERT_TRUE(seen.page);
    EXPECT_EQ(seen.page->total, many);
    EXPECT_EQ(seen.page->matched, many);
    EXPECT_EQ(seen.page->flows.size(), 1000u);
    ASSERT_EQ(seen.page->routes.size(), 1u);
    EXPECT_EQ(seen.page->routes[0].flows, many);
}

TEST_F(flow_survey, TheFirstInOrderAreThoseOfAll) {
    for (const std::size_t n : {3u, 700u, 2000u}) flows[n]->up = 1000;
    const answer& seen = start({.sort = flow_order::bytes, .limit = 3});
    sim().advance(1ms);
    ASSERT_TRUE(seen.page);
    std::set<std::uint64_t> numbers;
    for (const flow_view& f : seen.page->flows) numbers.insert(f.number);
    EXPECT_EQ(numbers, (std::set<std::uint64_t>{4, 701, 2001}));
}

TEST_F(flow_survey, WhoIsLookedAtLaterIsNotOlder) {
    const answer& seen = start({.sort = flow_order::age, .limit = 3});
    ASSERT_FALSE(seen.page);
    sim().os.wait({}, 5ms); // something else takes its time
    sim().advance(1ms);
    ASSERT_TRUE(seen.page);
    std::set<std::uint64_t> numbers;
    for (const flow_view& f : seen.page->flows) numbers.insert(f.number);
    EXPECT_EQ(numbers, (std::set<std::uint64_t>{1, 2, 3}));
}

TEST_F(flow_survey, FlowsMayComeAndGoMeanwhile) {
    const answer& seen = start({.sort = flow_order::bytes, .limit = 100});
    ASSERT_FALSE(seen.page);
    for (const std::size_t n : {std::size_t{0}, std::size_t{5}, many - 1}) end(n); // two that it has seen
    add();
    sim().advance(1ms);
    ASSERT_TRUE(seen.page);
    EXPECT_EQ(seen.page->total, many);
    for (const flow_view& f : seen.page->flows) EXPECT_TRUE(f.number != 1 && f.number != 6) << "it has ended";
    EXPECT_EQ(seen.page->flows.size(), 98u);
}

// Neither twice, nor not at all: a counter that falls is a counter that was reset, for who reads it.
TEST_F(flow_survey, WhatEndsMeanwhileIsCountedOnce) {
    const answer& seen = start({.limit = 0});
    ASSERT_FALSE(seen.page);
    for (std::size_t n = 0; n < many; n += 3) end(n);
    flows[1]->flow.end(executor::current().turn_time()); // is counted, and lingers
    sim().advance(1ms);
    ASSERT_TRUE(seen.page);
    EXPECT_EQ(seen.up, many);
}

TEST_F(flow_survey, MayBeDroppedAtAnyMoment) {
    start({});
    looking.clear();
    end(0);
    sim().advance(1ms);
    EXPECT_FALSE(answers.front().page);
}

} // namespace
} // namespace headgate::gateway
