// The five leaks of the mission, L1 to L5. Each check is a function that gives what it found wrong, in words: nothing
// for the flow as it is written with headgate, and the leak for the control, the same flow written naively.

#include <headgate/core/channel.hpp>
#include <headgate/flow/buffered.hpp>
#include <headgate/http/client.hpp>
#include <headgate/io/files.hpp>
#include <headgate/io/spool.hpp>
#include <headgate/stages/gzip.hpp>
#include <headgate/stages/lines.hpp>
#include <headgate/stages/tally.hpp>

#include <gmock/gmock.h>

#include <tests/rows/support.hpp>

namespace headgate::rows {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class leaks : public row_test {
protected:
    // Whether a query goes on, or holds its connection.
    std::string of_query(const database& db) {
        const std::size_t rows = db.rows;
        turns(some);
        std::string problem;
        if (db.rows != rows) problem += "rows are produced; ";
        if (db.leased != 0) problem += "a connection is leased; ";
        return problem;
    }
};

// ---- L1: the client leaves and the server goes on working

task<> export_orders(database* db, socket client) {
    (void)co_await pipeline(query(db, 1'000'000), &format_csv, response(std::move(client)));
}
// The same loop as everybody writes it, with an error of write() that nobody looks at.
task<> export_orders_naively(database* db, socket client) {
    stream<chunk> lines = format_csv(query(db, 1'000'000));
    while (auto line = co_await lines.next()) (void)co_await client.write_all(line->text());
}
using exporter = task<> (*)(database*, socket);

enum class leave { fin, reset };
void end(socket& client, leave how) {
    if (how == leave::reset)
        client.reset();
    else
        client.close();
}

class leak_l1 : public leaks {
protected:
    // The client leaves in the middle of the response.
    std::string in_the_middle(exporter flow, leave how) {
        database db;
        nursery server;
        ends e = run(connected(false));
        server.spawn(flow(&db, std::move(e.server)));
        run(read_until(&e.client, "\n10,"));
        end(e.client, how);
        turns(some);
        return of_query(db);
    }
    // The client has left before the work begins.
    std::string before(exporter flow, leave how) {
        database db;
        nursery server;
        ends e = run(connected(false));
        end(e.client, how);
        turns(5);
        server.spawn(flow(&db, std::move(e.server)));
        turns(some);
        return of_query(db) + (db.queries != 0 ? "a query was begun" : "");
    }
};

TEST_F(leak_l1, WhenTheClientLeavesTheQueryEnds) {
    for (const leave how : {leave::fin, leave::reset}) EXPECT_EQ(in_the_middle(export_orders, how), "");
}
TEST_F(leak_l1, ForAClientThatHasLeftNoQueryIsBegun) {
    for (const leave how : {leave::fin, leave::reset}) EXPECT_EQ(before(export_orders, how), "");
}
TEST_F(leak_l1, Control) {
    for (const leave how : {leave::fin, leave::reset}) {
        EXPECT_EQ(in_the_middle(export_orders_naively, how), "rows are produced; a connection is leased; ");
        EXPECT_THAT(before(export_orders_naively, how), HasSubstr("a query was begun"));
    }
}

// ---- L2: stopping early leaves the source running

struct found {
    tally_counts read;
    bool match = false;
};
task<> find_error(std::string path, found* out, nursery*) {
    stream<chunk> file = files::read(path, chunk_small);
    stream<chunk> log = lines()(tally(&out->read)(std::move(file)));
    while (auto line = co_await log.next())
        if (line->contains("ERROR")) break;
    out->match = true;
}
// A source that pushes, to a listener that nobody detaches.
task<> push_lines(std::string path, found* out) {
    stream<chunk> file = files::read(path, chunk_small);
    stream<chunk> log = lines()(tally(&out->read)(std::move(file)));
    while (auto line = co_await log.next()) {
        if (line->contains("ERROR")) out->match = true;
        co_await next_turn();
    }
}
task<> find_error_naively(std::string path, found* out, nursery* sources) {
    sources->spawn(push_lines(path, out));
    while (!out->match) co_await next_turn();
}

class leak_l2 : public leaks {
protected:
    std::string after_the_match(task<> (*scan)(std::string, found*, nursery*)) {
        std::string log = "INFO fine\nERROR out of cheese\n";
        for (int i = 0; i < 100'000; ++i) log += "INFO fine again\n";
        const std::string path = folder.write("log", log);
        found f;
        nursery sources;
        run(scan(path, &f, &sources));
        const std::uint64_t read = f.read.bytes;
        std::string problem = open_at(path) != 0 ? "the file is open; " : "";
        turns(1000);
        if (f.read.bytes != read) problem += "it is read on; ";
        return problem;
    }
};

TEST_F(leak_l2, LeavingTheLoopEndsTheSource) { EXPECT_EQ(after_the_match(find_error), ""); }
TEST_F(leak_l2, Control) { EXPECT_EQ(after_the_match(find_error_naively), "the file is open; it is read on; "); }

// ---- L3: a timeout ends the response and nothing else

// An upstream that begins its answer and then stands still.
task<> stall(listener* at, socket* connection) {
    auto a = co_await at->accept();
    if (!a) co_await fail(a.error());
    *connection = std::move(a->connection);
    (void)co_await read_until(connection, "\r\n\r\n");
    (void)co_await connection->write_all(std::string_view("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome"));
}
task<> fetch(std::string url, socket client, nursery*, std::optional<outcome>* end) {
    *end = co_await pipeline({.timeout = 50ms}, http::get(url), gzip(), response(std::move(client)));
}
task<> drain(stream<chunk> in) {
    while (co_await in.next()) {
    }
}
task<> fetch_naively(std::string url, socket client, nursery* background, std::optional<outcome>*) {
    background->spawn(drain(http::get(url)));
    co_await sleep_for(50ms);
    (void)co_await client.write_all(std::string_view("HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n"));
}
using fetcher = task<> (*)(std::string, socket, nursery*, std::optional<outcome>*);

class leak_l3 : public leaks {
protected:
    std::string after_the_deadline(fetcher flow) {
        auto at = listener::open(*address::parse("127.0.0.1:0"));
        socket upstream;
        nursery others;
        nursery background;
        others.spawn(stall(&*at, &upstream));
        ends e = run(connected(false));
        run(flow("http://" + at->where().text() + "/", std::move(e.server), &background, &outcome_));
        turns(some);
        std::string problem;
        if (!upstream) return "the upstream was never asked";
        if (!upstream.state().peer_closed) problem += "the upstream connection is open; ";
        if (!e.client.state().peer_closed) problem += "the client's connection is open; ";
        return problem;
    }

    std::optional<outcome> outcome_;
};

TEST_F(leak_l3, ADeadlineEndsTheWholeChain) {
    EXPECT_EQ(after_the_deadline(fetch), "");
    ASSERT_TRUE(outcome_ && !*outcome_);
    EXPECT_EQ(outcome_->error().code, errc::timed_out);
    EXPECT_EQ(outcome_->error().where, side::caller);
}
TEST_F(leak_l3, Control) { EXPECT_EQ(after_the_deadline(fetch_naively), "the upstream connection is open; "); }

// One error for each way to end, and no two the same.
TEST_F(leak_l3, ADeadlineIsToldFromEveryOtherEnd) {
    const auto code = [this](pipe_options options, bool client_leaves, bool source_breaks) {
        ends e = run(connected(true));
        if (client_leaves) e.client.reset();
        database db;
        std::optional<outcome> end;
        nursery n;
        abort_source abort;
        if (options.timeout == forever && options.idle == forever && !client_leaves && !source_breaks) {
            options.abort = abort.signal();
            abort.abort();
        }
        stream<row> rows = source_breaks ? stream<row>() : query(&db, 1'000'000);
        n.spawn(source_breaks
                    ? keep(pipeline(options, files::read(folder / "none"), response(std::move(e.server))), &end)
                    : keep(pipeline(options, std::move(rows), &format_csv, response(std::move(e.server))), &end));
        until([&] { return end.has_value(); });
        return end->has_value() ? std::error_code() : end->error().code;
    };
    const std::error_code codes[] = {code({.timeout = 20ms}, false, false), code({.idle = 20ms}, false, false),
                                     code({}, false, false), code({}, true, false), code({}, false, true)};
    EXPECT_EQ(codes[0], errc::timed_out);
    for (const auto& one : codes)
        for (const auto& other : codes) EXPECT_TRUE(&one == &other || one != other) << one.message();
}

// ---- L4: an upstream resource is held at the client's network speed

constexpr std::size_t orders = 2000; // 400 KB, far more than the narrow connection takes

task<outcome> export_buffered(database* db, socket client) {
    return pipeline(query(db, orders), &format_csv, buffered(1024 * 1024), response(std::move(client)));
}
task<outcome> export_in_step(database* db, socket client) {
    return pipeline(query(db, orders), &format_csv, response(std::move(client)));
}
task<outcome> export_little_buffered(database* db, socket client) {
    return pipeline(query(db, orders), &format_csv, buffered(64 * 1024), response(std::move(client)));
}
// Memory for a fraction of it, and a disk.
task<outcome> export_spooled(database* db, socket client) {
    return pipeline(query(db, orders), &format_csv, spooled(64 * 1024, 1024 * 1024), response(std::move(client)));
}
// Both together for a part of it.
task<outcome> export_little_spooled(database* db, socket client) {
    return pipeline(query(db, orders), &format_csv, spooled(64 * 1024, 128 * 1024), response(std::move(client)));
}

class leak_l4 : public leaks {
protected:
    // A client that reads nothing until the export has stood still for a while, and then all. `rows` is how many were
    // read before.
    std::string before_the_client_reads(task<outcome> (*flow)(database*, socket), std::size_t* rows = nullptr) {
        database db;
        nursery server;
        std::optional<outcome> end;
        ends e = run(connected(true));
        server.spawn(keep(flow(&db, std::move(e.server)), &end));
        until([&, last = std::size_t(0), still = 0]() mutable {
            still = db.rows == last ? still + 1 : 0;
            last = db.rows;
            return still > some;
        });
        if (rows) *rows = db.rows;
        std::string problem = end ? "the client has not read, and yet it ended; " : "";
        if (db.leased != 0) problem += "a connection is leased; ";
        // With room for what comes: large pieces pass slowly through a small window.
        const int room = 1024 * 1024;
        os.set_option(e.client.fd(), SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
        const std::string got = run(read_to_end(&e.client));
        turns(5);
        if (payload_of(got) != csv_of(orders)) problem += "the client got something else; ";
        if (!end || !*end) problem += "it failed; ";
        if (db.leased != 0) problem += "a connection is leased at the end; ";
        return problem;
    }
};

TEST_F(leak_l4, TheConnectionGoesBackWhenItsLastRowIsRead) { EXPECT_EQ(before_the_client_reads(export_buffered), ""); }
TEST_F(leak_l4, WhatMemoryDoesNotHoldWaitsOnDisk) { EXPECT_EQ(before_the_client_reads(export_spooled), ""); }
TEST_F(leak_l4, WhenMemoryAndDiskAreFullItIsBackpressureAndNoFailure) {
    std::size_t rows = 0;
    EXPECT_EQ(before_the_client_reads(export_little_spooled, &rows), "a connection is leased; ");
    EXPECT_GT(rows * row_bytes, 180'000u);
    EXPECT_LT(rows, orders);
}
TEST_F(leak_l4, AFullBufferIsBackpressureAndNoFailure) {
    std::size_t rows = 0;
    EXPECT_EQ(before_the_client_reads(export_little_buffered, &rows), "a connection is leased; ");
    EXPECT_GT(rows * row_bytes, 50'000u);
    EXPECT_LT(rows, orders);
}
TEST_F(leak_l4, Control) { EXPECT_EQ(before_the_client_reads(export_in_step), "a connection is leased; "); }

// ---- L5: the source goes on after the chain has failed

// Lets 100 items pass, notes how many rows there were, and fails.
struct breaks {
    database* db;
    std::size_t* rows_then;

    stream<chunk> operator()(stream<chunk> in) const { return pass(std::move(in), db, rows_then); }
    static stream<chunk> pass(stream<chunk> in, database* db, std::size_t* rows_then) {
        for (int i = 0; i < 100; ++i)
            if (auto item = co_await in.next()) co_yield std::move(*item);
        *rows_then = db->rows;
        co_await fail(errc::protocol, "broken");
    }
};
task<> export_broken(database* db, socket client, std::size_t* rows_then, nursery*) {
    // The buffer makes the source run beside its consumer, not only when it is asked.
    (void)co_await pipeline(query(db, 1'000'000), &format_csv, buffered(1024 * 1024), breaks{db, rows_then},
                            response(std::move(client)));
}
// A producer and a consumer with a queue between them, and nothing that ties one's life to the other's.
task<> produce(database* db, std::shared_ptr<channel<chunk>> queue) {
    stream<chunk> lines = format_csv(query(db, 1'000'000));
    while (auto line = co_await lines.next()) {
        co_await queue->room(line->size());
        queue->push(std::move(*line));
    }
}
task<> export_broken_naively(database* db, socket, std::size_t* rows_then, nursery* background) {
    auto queue = std::make_shared<channel<chunk>>(1024 * 1024);
    background->spawn(produce(db, queue));
    for (int i = 0; i < 100; ++i) {
        co_await queue->filled();
        queue->pop();
    }
    *rows_then = db->rows;
    co_await fail(errc::protocol, "broken");
}

class leak_l5 : public leaks {
protected:
    std::string after_the_failure(task<> (*flow)(database*, socket, std::size_t*, nursery*)) {
        database db;
        std::size_t rows_then = 0;
        nursery server, background;
        ends e = run(connected(false));
        server.spawn(flow(&db, std::move(e.server), &rows_then, &background));
        until([&] { return server.empty(); });
        turns(some);
        std::string problem = rows_then == 0 ? "it did not fail; " : "";
        if (db.rows != rows_then) problem += "rows were produced after the failure; ";
        if (db.leased != 0) problem += "a connection is leased; ";
        return problem;
    }
};

TEST_F(leak_l5, AfterTheFailureTheSourceNeverRuns) { EXPECT_EQ(after_the_failure(export_broken), ""); }
TEST_F(leak_l5, Control) {
    EXPECT_EQ(after_the_failure(export_broken_naively),
              "rows were produced after the failure; a connection is leased; ");
}

} // namespace
} // namespace headgate::rows
