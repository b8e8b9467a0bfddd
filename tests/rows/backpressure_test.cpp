// The rules of the mission about backpressure, R2, R4 and R5, each with a control: the same flow written naively, for
// which the same check must report what is wrong.

#include <headgate/core/channel.hpp>
#include <headgate/flow/buffered.hpp>
#include <headgate/flow/meters.hpp>
#include <headgate/testing/sim.hpp>
#include <headgate/testing/tools.hpp>

#include <deque>
#include <vector>

#include <gmock/gmock.h>

#include <tests/rows/support.hpp>

namespace headgate::rows {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

// ---- R2: respect backpressure

task<> send_in_step(database* db, socket client, std::size_t*) {
    (void)co_await pipeline(query(db, many_rows), &format_csv, response(std::move(client)));
}
// Queues what cannot be written yet, and forgets the boolean that says so. Its writer waits for a client that it does
// not watch.
task<> write_queued(std::shared_ptr<channel<chunk>> queue, std::shared_ptr<socket> client) {
    for (;;) {
        co_await queue->filled();
        auto item = queue->pop();
        if (!item) co_return;
        (void)co_await client->write_all(item->text());
    }
}
task<> send_queued(database* db, socket client, std::size_t* queued) {
    auto queue = std::make_shared<channel<chunk>>(0);
    strand writing;
    writing.start(write_queued(queue, std::make_shared<socket>(std::move(client))), co_await here());
    stream<chunk> lines = format_csv(query(db, many_rows));
    while (auto line = co_await lines.next()) {
        queue->push(std::move(*line));
        *queued = std::max(*queued, queue->bytes());
    }
    co_await abort_signal().wait(); // for the drain, which never comes
}

class rule_r2 : public row_test {
protected:
    // A client that reads nothing, and leaves when nothing has moved for a while.
    std::string with_a_client_that_stalls(task<> (*flow)(database*, socket, std::size_t*)) {
        database db;
        nursery server;
        std::size_t queued = 0;
        ends e = run(connected(true));
        server.spawn(flow(&db, std::move(e.server), &queued));
        until([&, last = std::size_t(0), still = 0]() mutable {
            still = db.rows == last ? still + 1 : 0;
            last = db.rows;
            return still > some;
        });
        std::string problem;
        if (db.rows == many_rows) problem += "the source was never paused; ";
        if (queued > 64 * 1024) problem += "more was queued than any limit; ";
        e.client.reset();
        turns(some);
        if (!server.empty()) problem += "it waits for room though the client has left; ";
        return problem;
    }
};

TEST_F(rule_r2, WritingWaitsForRoomAndEndsWithTheClient) { EXPECT_EQ(with_a_client_that_stalls(send_in_step), ""); }
TEST_F(rule_r2, Control) {
    EXPECT_EQ(
        with_a_client_that_stalls(send_queued),
        "the source was never paused; more was queued than any limit; it waits for room though the client has left; ");
}

// ---- R4: profile before production

constexpr std::size_t ahead = 32 * 1024;

task<> send_seen(database* db, socket client, list_node* watchers) {
    (void)co_await pipeline({.watchers = watchers}, query(db, many_rows), &format_csv, buffered(ahead),
                            response(std::move(client)));
}
task<> send_unseen(database* db, socket client, list_node*) {
    stream<chunk> lines = buffered(ahead)(format_csv(query(db, many_rows)));
    while (auto line = co_await lines.next()) (void)co_await client.write_all(line->text());
}

class rule_r4 : public row_test {
protected:
    // What a snapshot shows of a flow that stands still before a slow client.
    std::string snapshot(task<> (*flow)(database*, socket, list_node*)) {
        database db;
        list_node watchers;
        nursery server;
        ends e = run(connected(true));
        server.spawn(flow(&db, std::move(e.server), &watchers));
        until([&, last = std::size_t(0), still = 0]() mutable {
            still = db.rows == last ? still + 1 : 0;
            last = db.rows;
            return still > some;
        });
        if (!watchers.linked()) return "nothing shows it";
        const auto& live = static_cast<live_pipeline&>(*watchers.next);
        std::string shown;
        for (const stage_report& stage : live.report(home.now())) {
            shown += stage.name;
            if (stage.limit != 0) {
                EXPECT_LE(stage.held_max, stage.limit);
                EXPECT_GT(stage.held, stage.limit - 2 * row_bytes) << "it is full at this moment";
                shown += " holds up to " + std::to_string(stage.limit);
            }
            shown += "; ";
        }
        const std::vector<stage_report> parts = live.report(home.now());
        shown += "bottleneck: " + std::string(parts[live.bottleneck(home.now())].name);
        server.clear();
        EXPECT_FALSE(watchers.linked()) << "a flow that is gone is not shown";
        return shown;
    }
};

TEST_F(rule_r4, EveryStageShowsWhatItHoldsAndWhoIsTheBottleneck) {
    EXPECT_EQ(snapshot(send_seen), "source; stage; buffered holds up to 32768; response; bottleneck: response");
}
TEST_F(rule_r4, Control) { EXPECT_EQ(snapshot(send_unseen), "nothing shows it"); }

// ---- R5: test the backpressure

constexpr std::size_t kit_items = 200;
constexpr std::size_t kit_limit = 4 * sizeof(std::size_t);

// Two producers under test: one keeps to its limit, the other reads ahead without any.
stream<std::size_t> bounded(stream<std::size_t> in) { return buffered(kit_limit)(std::move(in)); }
task<> hoard(stream<std::size_t> in, std::deque<std::size_t>* items, bool* ended, place* at) {
    while (auto item = co_await in.next()) {
        items->push_back(*item);
        hold(*at, items->size() * sizeof(std::size_t), kit_limit);
        co_await next_turn();
    }
    *ended = true;
}
stream<std::size_t> unbounded(stream<std::size_t> in) {
    place& at = co_await here();
    std::deque<std::size_t> items;
    bool ended = false;
    strand reading;
    reading.start(hoard(std::move(in), &items, &ended, &at), at);
    while (!ended || !items.empty()) {
        if (items.empty()) {
            co_await next_turn();
            continue;
        }
        const std::size_t item = items.front();
        items.pop_front();
        co_yield item;
    }
}
// What the stage below has left behind, for the test to release.
std::vector<chunk*> forgotten;

// And one that leaves something behind when it is dropped at the wrong moment.
stream<std::size_t> forgetful(stream<std::size_t> in) {
    while (auto item = co_await in.next()) {
        auto* block = new chunk(chunk_small);
        forgotten.push_back(block);
        co_await sleep_for(1ms);
        delete block;
        forgotten.pop_back();
        co_yield *item;
    }
}

using stage_under_test = stream<std::size_t> (*)(stream<std::size_t>);

task<> chain_of(stage_under_test stage, list_node* watchers) {
    const outcome end = co_await pipeline({.watchers = watchers}, testing::counting_source(kit_items), stage,
                                          testing::slow_sink<std::size_t>(sizeof(std::size_t), 10ms));
    if (!end || end->items != kit_items) throw std::runtime_error("not all items arrived");
}

// What the kit finds wrong with a stage: in virtual time, before a sink that takes one item in 10 ms.
std::string backpressure_of(stage_under_test stage) {
    testing::simulation sim;
    list_node watchers;
    nursery n;
    n.spawn(chain_of(stage, &watchers));
    sim.advance(100ms);
    std::string problem;
    if (!watchers.linked()) return "it has ended; ";
    const auto parts = static_cast<live_pipeline&>(*watchers.next).report(sim.os.now());
    if (parts[1].held_max > kit_limit) problem += "it kept more than its limit; ";
    if (parts[0].items == kit_items) problem += "its source was never paused; ";
    if (parts[0].items < parts[2].items) problem += "it invents items; ";
    sim.advance(10s);
    if (!n.empty()) problem += "it does not end; ";
    n.clear();
    return problem + sim.leftovers();
}
std::string drops_of(stage_under_test stage) {
    const testing::drop_report report =
        testing::drop_at_every_turn([stage](testing::simulation&) { return chain_of(stage, nullptr); });
    for (chunk* block : std::exchange(forgotten, {})) delete block;
    return report.problem;
}

TEST(rule_r5, TheKitPassesAStageThatKeepsToItsLimit) {
    EXPECT_EQ(backpressure_of(bounded), "");
    EXPECT_EQ(drops_of(bounded), "");
}
TEST(rule_r5, Control) {
    EXPECT_EQ(backpressure_of(unbounded), "it kept more than its limit; its source was never paused; ");
    EXPECT_THAT(drops_of(forgetful), HasSubstr("chunk byte(s) more"));
}

} // namespace
} // namespace headgate::rows
