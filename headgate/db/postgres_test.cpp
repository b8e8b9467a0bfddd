#include <headgate/db/error.hpp>
#include <headgate/db/postgres.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/io/linux_kernel.hpp>
#include <headgate/testing/leak_check.hpp>
#include <headgate/testing/limits.hpp>
#include <headgate/testing/postgres_server.hpp>
#include <headgate/testing/tools.hpp>

#include <array>
#include <optional>
#include <thread>

#include <gmock/gmock.h>

namespace headgate::db {
namespace {

using namespace std::chrono_literals;
using ::testing::AnyOf;
using ::testing::ElementsAre;

struct rows_seen {
    std::vector<std::string> columns;
    std::vector<std::string> rows; // "text|text", NULL as -
    std::vector<value_type> types;
    std::vector<value_type> elements;
    std::size_t batches = 0;
    std::size_t empty = 0; // batches
    std::size_t bytes_max = 0;
};

task<rows_seen> read_all(postgres* db, std::string sql, std::vector<parameter> values, query_options o) {
    stream<row_batch> rows = db->rows(query::parse(std::move(sql)).value(), std::move(values), o);
    rows_seen seen;
    while (const auto b = co_await rows.next()) {
        if (seen.batches++ == 0)
            for (const column& c : b->columns()) {
                seen.columns.emplace_back(c.name);
                seen.types.push_back(c.type);
                seen.elements.push_back(c.element);
            }
        seen.empty += b->empty();
        seen.bytes_max = std::max(seen.bytes_max, b->bytes());
        for (std::size_t r = 0; r < b->rows(); ++r) {
            std::string row;
            for (std::size_t c = 0; c < b->columns().size(); ++c) {
                const cell v = b->at(r, c);
                row += (c ? "|" : "") + (v.is_null() ? std::string("-") : std::string(v.text));
            }
            seen.rows.push_back(std::move(row));
        }
    }
    co_return seen;
}

// All of it is to be written by the server, in batches that begin with `rows`.
task<std::string> copy_all(postgres* db, std::string sql, csv_options f, query_options o, std::size_t* rows = nullptr) {
    o.csv = std::move(f);
    stream<row_batch> csv = db->rows(query::parse(std::move(sql)).value(), {}, o);
    std::string all;
    while (auto b = co_await csv.next()) {
        EXPECT_TRUE(b->written());
        if (rows) *rows += b->rows();
        EXPECT_EQ(b->bytes(), item_bytes(*b));
        all += b->take_text().text();
    }
    co_return all;
}

// Counts rows as they come.
task<> count_rows(postgres* db, std::string sql, std::size_t* rows, query_options o) {
    stream<row_batch> s = db->rows(query::parse(std::move(sql)).value(), {}, o);
    while (const auto b = co_await s.next()) *rows += b->rows();
}
task<> count_bytes(postgres* db, std::string sql, std::size_t* bytes) {
    stream<row_batch> s = db->rows(query::parse(std::move(sql)).value(), {}, {.csv = csv_options()});
    while (const auto b = co_await s.next()) *bytes += b->bytes();
}

constexpr const char* many_rows = "select generate_series(1, 1000000000), repeat('x', 80)";

class postgres_test : public ::testing::Test {
public:
    // Started outside of a test, so that what it keeps is nobody's leak.
    static void SetUpTestSuite() {
        if (testing::postgres_server::available()) server_ = std::make_unique<testing::postgres_server>();
    }
    static void TearDownTestSuite() { server_.reset(); }

    postgres_test() {
        if (server_) connect(server_->conninfo());
    }
    // What a test has dropped would otherwise run on in the server, before the eyes of the next test.
    ~postgres_test() override {
        if (db) turn_until_recovered();
    }
    void SetUp() override {
        if (!server_) GTEST_SKIP() << "PostgreSQL is not installed";
    }

protected:
    void connect(std::string conninfo, pool_options p = {.size = 2}) {
        db.emplace(postgres_options{.conninfo = std::move(conninfo)}, p);
    }
    std::expected<rows_seen, flow_error> read(std::string sql, std::vector<parameter> values = {},
                                              query_options o = {}) {
        return l.run(read_all(&*db, std::move(sql), std::move(values), std::move(o)));
    }
    std::expected<std::string, flow_error> copy(std::string sql, csv_options f = {}, query_options o = {}) {
        return l.run(copy_all(&*db, std::move(sql), std::move(f), std::move(o)));
    }
    flow_error error_of_reading(std::string sql, query_options o = {}) {
        auto r = read(std::move(sql), {}, std::move(o));
        if (r) ADD_FAILURE() << "it has not failed";
        return r ? flow_error{} : r.error();
    }
    // What a query in the midst of its rows fails with after `cut`.
    template <class Cut>
    flow_error error_when(Cut cut) {
        std::size_t rows = 0;
        nursery n;
        std::optional<flow_error> why;
        n.spawn(
            count_rows(&*db, many_rows, &rows, {}),
            [](void* to, const flow_error& e) { static_cast<std::optional<flow_error>*>(to)->emplace(e); }, &why);
        while (rows == 0 && !n.empty()) step();
        cut();
        while (!why) step();
        return *why;
    }
    std::string one(std::string sql) {
        const auto r = read(std::move(sql));
        if (!r) ADD_FAILURE() << r.error().message();
        return r && r->rows.size() == 1 ? r->rows[0] : "";
    }
    // The process that serves the session which is lent first.
    std::string backend() { return one("select pg_backend_pid()"); }
    pool_stats stats() { return db->connections().stats(); }
    // One turn of the loop. What a test waits for may happen at its beginning: it does not wait for long then.
    void step() {
        timer soon;
        soon.fire = [](timer&) {};
        l.arm(soon, 1ms);
        ASSERT_FALSE(l.turn());
    }
    void turn_until_recovered() {
        while (stats().recovering != 0) step();
    }
    // How many queries of ours run in the server.
    static std::string active() {
        return server_->psql("select count(*) from pg_stat_activity where state = 'active' and "
                             "backend_type = 'client backend' and application_name = 'headgate'");
    }

    static inline std::unique_ptr<testing::postgres_server> server_;
    linux_kernel os;
    loop l{os};
    std::optional<postgres> db;
};

TEST_F(postgres_test, GivesValuesAsTheDatabaseWritesThem) {
    const auto r =
        read("select true, -42::int8, 0.1::float8, 12.50::numeric, 'it''s'::text, null::int, "
             "'\\x00ff'::bytea, date '2026-02-03', timestamp '2026-02-03 04:05:06.789', "
             "interval '1 year 2 days 3 hours', '{\"a\": 1}'::jsonb, "
             "'0aF00000-0000-0000-0000-000000000001'::uuid, array[1,null,3], array['a b'], 'infinity'::float4, "
             "'(1,2)'::point as p");
    ASSERT_TRUE(r) << r.error().message();
    ASSERT_EQ(r->rows.size(), 1u);
    EXPECT_EQ(r->rows[0], "t|-42|0.1|12.50|it's|-|\\x00ff|2026-02-03|2026-02-03 04:05:06.789|P1Y2DT3H|{\"a\": 1}|"
                          "0af00000-0000-0000-0000-000000000001|{1,NULL,3}|{\"a b\"}|Infinity|(1,2)");
    using enum value_type;
    EXPECT_THAT(r->types, ElementsAre(boolean, integer, floating, numeric, text, integer, bytea, date, timestamp,
                                      interval, json, uuid, array, array, floating, other));
    EXPECT_EQ(r->elements[12], integer);
    EXPECT_EQ(r->elements[13], text);
    EXPECT_EQ(r->columns.back(), "p");
    EXPECT_EQ(stats().idle, 1u);
}

TEST_F(postgres_test, TimesDoNotDependOnTheServersStyle) {
    server_->psql("alter role reader set datestyle = 'SQL, DMY'; alter role reader set intervalstyle = 'sql_standard';"
                  "alter role reader set bytea_output = 'escape'; alter role reader set timezone = 'Asia/Kolkata'");
    connect(server_->conninfo("reader"));
    EXPECT_EQ(one("select timestamptz '2026-02-03 04:05:06+00', time '01:02:03', timetz '01:02:03+05:30', "
                  "date '0044-03-15 BC', interval '-1 day 2 hours', '\\x41'::bytea"),
              "2026-02-03 09:35:06+05:30|01:02:03|01:02:03+05:30|0044-03-15 BC|P-1DT2H|\\x41");
}

TEST_F(postgres_test, BindsParameters) {
    const auto r = read("select :n + 1, :big, :t, :nothing::text, :d - 1, :u::uuid, pg_typeof(:n), :t where :yes",
                        {
                            {.name = "n", .type = value_type::integer, .text = "41"},
                            {.name = "big", .type = value_type::integer, .text = "5000000000"},
                            {.name = "t", .text = "'; drop table x; --"},
                            {.name = "nothing", .type = value_type::null},
                            {.name = "d", .type = value_type::date, .text = "2026-03-01"},
                            {.name = "u", .text = "0af00000-0000-0000-0000-000000000001"},
                            {.name = "yes", .type = value_type::boolean, .text = "t"},
                        });
    ASSERT_TRUE(r) << r.error().message();
    EXPECT_THAT(r->rows, ElementsAre("42|5000000000|'; drop table x; --|-|2026-02-28|"
                                     "0af00000-0000-0000-0000-000000000001|integer|'; drop table x; --"));
    EXPECT_EQ(read("select :n", {}).error().code, std::errc::invalid_argument);
    EXPECT_EQ(db::failure_of(read("select :d::date", {{.name = "d", .text = "soon"}}).error().code), failure::data);
}

TEST_F(postgres_test, AnEmptyResultTellsItsColumns) {
    const auto r = read("select 1 as a, 'x' as b where false");
    ASSERT_TRUE(r);
    EXPECT_EQ(r->batches, 1u);
    EXPECT_THAT(r->columns, ElementsAre("a", "b"));
    EXPECT_TRUE(r->rows.empty());
    const auto none = read("select from generate_series(1, 3)"); // three rows of nothing
    ASSERT_TRUE(none);
    EXPECT_EQ(none->rows.size(), 3u);
}

TEST_F(postgres_test, BatchesAreBounded) {
    for (const std::size_t fetch : {0, 1000, 300}) {
        const auto r = read("select i, repeat('x', 50) from generate_series(1, 30000) as i", {},
                            {.batch_bytes = 8192, .gather = 1h, .fetch_rows = fetch});
        ASSERT_TRUE(r) << r.error().message();
        ASSERT_EQ(r->rows.size(), 30000u) << fetch;
        EXPECT_EQ(r->rows[29999], "30000|" + std::string(50, 'x'));
        EXPECT_LE(r->bytes_max, 8192u);
        EXPECT_LT(r->batches, 30000u * 75 / 8192);
        EXPECT_EQ(r->empty, 0u);
    }
    EXPECT_EQ(stats().created, 1u);
    EXPECT_EQ(stats().cancels, 0u);
}

TEST_F(postgres_test, FetchingEndsAtAnyNumberOfRows) {
    for (const int n : {0, 1, 9, 10, 11, 20}) {
        const auto r =
            read("select generate_series(1, :n)",
                 {{.name = "n", .type = value_type::integer, .text = std::to_string(n)}}, {.fetch_rows = 10});
        ASSERT_TRUE(r) << r.error().message();
        EXPECT_EQ(r->rows.size(), static_cast<std::size_t>(n));
    }
    EXPECT_EQ(stats().created, 1u);
}

TEST_F(postgres_test, LargeRowsHaveTheirOwnBatchUpToALimit) {
    const std::string sql = "select i, repeat('y', i) from unnest(array[1, 3000000, 2]) as i";
    const auto r = read(sql);
    ASSERT_TRUE(r) << r.error().message();
    ASSERT_EQ(r->rows.size(), 3u);
    EXPECT_EQ(r->rows[1], "3000000|" + std::string(3'000'000, 'y'));
    const auto csv = copy(sql, {.header = false, .crlf = false});
    ASSERT_TRUE(csv) << csv.error().message();
    EXPECT_EQ(*csv, "1,y\n3000000," + std::string(3'000'000, 'y') + "\n2,yy\n");

    EXPECT_EQ(error_of_reading(sql, {.row_bytes_max = 1'000'000}).code, errc::limit_exceeded);
    turn_until_recovered();
    EXPECT_EQ(copy(sql, {}, {.row_bytes_max = 1'000'000}).error().code, errc::limit_exceeded);
    turn_until_recovered();
    EXPECT_EQ(stats().recovered, 2u);
    EXPECT_EQ(stats().created, 1u);
}

// The server itself keeps up to 8 kB back.
TEST_F(postgres_test, SlowRowsAreNotKeptBack) {
    for (const std::size_t fetch : {0, 1}) {
        nursery n;
        std::size_t rows = 0;
        n.spawn(count_rows(&*db,
                           "select repeat('x', 10000) from generate_series(1, 3)"
                           "union all select 'last' from pg_sleep(3600)",
                           &rows, {.gather = 1ms, .fetch_rows = fetch}));
        while (rows < 2 && !n.empty()) step();
    }
}

TEST_F(postgres_test, CopiesCsvUnread) {
    const auto r = copy("select 1 as a, 'it''s, \"so\"' as b, null as c union all select 2, '', 'x' -- end", {});
    ASSERT_TRUE(r) << r.error().message();
    EXPECT_EQ(*r, "a,b,c\r\n1,\"it's, \"\"so\"\"\",\r\n2,\"\",x\r\n");
    EXPECT_EQ(*copy("select null, 'ä\n'", {.header = false, .delimiter = ';', .null = "NULL", .crlf = false}),
              "NULL;\"ä\n\"\n");
    EXPECT_EQ(*copy("select 1 as a where false", {.bom = true}), "\xef\xbb\xbf"
                                                                 "a\r\n");
    EXPECT_EQ(*copy("select 1 where false", {.header = false}), "");
    EXPECT_EQ(*copy("values (1, $$'$$, '\\x00ff'::bytea)", {.header = false, .delimiter = '\''}),
              "1'\"'\"'\\x00ff\r\n");
    EXPECT_EQ(*copy("(table pg_am) limit 0", {.header = false, .bom = true}), "\xef\xbb\xbf");
    std::size_t rows = 0;
    const auto large = l.run(
        copy_all(&*db, "select i from generate_series(1, 100000) as i", {.header = true, .crlf = false}, {}, &rows));
    ASSERT_TRUE(large);
    EXPECT_EQ(rows, 100'000u) << "the header is none";
    EXPECT_EQ(large->size(), 588'897u);
    EXPECT_TRUE(large->ends_with("\n99999\n100000\n"));
    EXPECT_EQ(copy("select :a").error().code, std::errc::invalid_argument);
    EXPECT_EQ(stats().created, 1u);
    EXPECT_EQ(stats().idle, 1u);
}

TEST_F(postgres_test, WhatCopyWritesOtherwiseComesAsRows) {
    const auto values = [this](std::string sql, query_options o) {
        o.csv.emplace(o.csv.value_or(csv_options()));
        const auto r = read(std::move(sql), {}, std::move(o));
        EXPECT_TRUE(r) << r.error().message();
        return r && !r->rows.empty() ? r->rows[0] : "";
    };
    EXPECT_EQ(values("select true, 1", {}), "t|1");
    EXPECT_EQ(values("select timestamp '2026-02-03 04:05:06'", {}), "2026-02-03 04:05:06");
    EXPECT_EQ(values("select timestamptz 'infinity', timetz '01:02:03+01'", {}), "infinity|01:02:03+01");
    EXPECT_EQ(values("show server_encoding", {}), "UTF8");
    EXPECT_EQ(values("explain (costs off) select 1", {}), "Result");
    EXPECT_EQ(values("select 1", {.fetch_rows = 10}), "1");
    EXPECT_EQ(values("select 1", {.csv = csv_options{.quotes = csv_quotes::all}}), "1");
    const auto bound = read("select :a::int", {{.name = "a", .text = "7"}}, {.csv = csv_options()});
    ASSERT_TRUE(bound);
    EXPECT_EQ(bound->rows[0], "7");
    EXPECT_EQ(error_of_reading("select nosuch", {.csv = csv_options()}).detail,
              "ERROR: column \"nosuch\" does not exist; at character 8");
    turn_until_recovered();
    EXPECT_EQ(stats().created, 1u);
    EXPECT_EQ(stats().idle, 1u);
}

TEST_F(postgres_test, OnlyReads) {
    for (const char* sql : {"create table x(a int)", "insert into pg_description values (1, 1, 1, 'x')",
                            "select nextval('s') from pg_sequence"}) {
        const flow_error e = error_of_reading(sql);
        EXPECT_THAT(db::failure_of(e.code), AnyOf(failure::denied, failure::query)) << e.message();
    }
    EXPECT_EQ(sqlstate(error_of_reading("create table x(a int)").code), "25006");
    EXPECT_EQ(one("select count(*) from pg_class where relname = 'x'"), "0");
}

TEST_F(postgres_test, SaysWhatIsWrong) {
    const flow_error e = error_of_reading("select nosuch");
    EXPECT_EQ(sqlstate(e.code), "42703");
    EXPECT_EQ(e.detail, "ERROR: column \"nosuch\" does not exist; at character 8");
    EXPECT_EQ(public_message(e.code), "the query is not valid");
    turn_until_recovered();
    const flow_error c = copy("select nosuch").error();
    EXPECT_EQ(sqlstate(c.code), "42703");
    turn_until_recovered();
    EXPECT_EQ(stats().created, 1u); // the session is not to blame
    EXPECT_EQ(stats().idle, 1u);
}

TEST_F(postgres_test, AnErrorInTheMiddleComesAfterRows) {
    for (const std::size_t fetch : {0, 1000}) {
        const std::string before = backend();
        std::size_t rows = 0;
        const auto end = l.run(count_rows(&*db, "select 1 / (90000 - i) from generate_series(1, 100000) as i", &rows,
                                          {.fetch_rows = fetch}));
        ASSERT_FALSE(end);
        EXPECT_EQ(sqlstate(end.error().code), "22012");
        EXPECT_GT(rows, 0u);
        EXPECT_LT(rows, 90000u);
        turn_until_recovered();
        EXPECT_EQ(backend(), before);
    }
    const auto csv = copy("select 1 / (90000 - i) from generate_series(1, 100000) as i");
    EXPECT_EQ(sqlstate(csv.error().code), "22012");
    turn_until_recovered();
    EXPECT_EQ(stats().created, 1u);
}

TEST_F(postgres_test, ADroppedQueryIsCancelledAndItsSessionUsedAgain) {
    const std::string before = backend();
    for (const char* sql :
         {"select pg_sleep(3600)", many_rows, "select count(*) from pg_class a, pg_class b, pg_class c, pg_class d"}) {
        for (const std::size_t fetch : {0, 100}) {
            nursery n;
            std::size_t rows = 0;
            n.spawn(count_rows(&*db, sql, &rows, {.fetch_rows = fetch}));
            while (rows == 0 && active() != "1" && !n.empty()) step();
            const auto begin = clock::now();
            n.clear();
            EXPECT_EQ(stats().recovering, 1u) << sql;
            turn_until_recovered();
            EXPECT_LT(clock::now() - begin, 2s) << sql; // some milliseconds where nothing else runs
            EXPECT_EQ(active(), "0") << sql;
            EXPECT_EQ(backend(), before) << sql;
        }
    }
    EXPECT_EQ(stats().created, 1u);
    EXPECT_EQ(stats().cancels, 6u);
    EXPECT_EQ(stats().recovered, 6u);
}

TEST_F(postgres_test, ADroppedCopyIsCancelled) {
    const std::string before = backend();
    nursery n;
    std::size_t bytes = 0;
    n.spawn(count_bytes(&*db, many_rows, &bytes));
    while (bytes < 1'000'000 && !n.empty()) step();
    const auto begin = clock::now();
    n.clear();
    turn_until_recovered();
    EXPECT_LT(clock::now() - begin, 2s);
    EXPECT_EQ(active(), "0");
    EXPECT_EQ(backend(), before);
    EXPECT_EQ(stats().created, 1u);
}

// Drops a query after each turn of the loop that it takes.
TEST_F(postgres_test, DroppedAnywhereNothingIsLeft) {
    const auto forms = std::to_array<task<> (*)(postgres*)>({
        [](postgres* p) -> task<> {
            static_cast<void>(co_await read_all(p, "select repeat('x', 3000) from generate_series(1, 300)", {}, {}));
        },
        [](postgres* p) -> task<> {
            static_cast<void>(
                co_await read_all(p, "select generate_series(1, 30)", {}, {.timeout = 1h, .fetch_rows = 7}));
        },
        [](postgres* p) -> task<> {
            static_cast<void>(co_await copy_all(p, "select repeat('x', 3000) from generate_series(1, 300)", {}, {}));
        },
    });
    for (const auto form : forms) {
        std::size_t turns = 0;
        for (bool ended = false; !ended; ++turns) {
            connect(server_->conninfo(), {.size = 1});
            const testing::leak_check check(l);
            nursery n;
            n.spawn(form(&*db));
            for (std::size_t i = 0; i < turns && !n.empty(); ++i) step();
            ended = n.empty();
            n.clear();
            turn_until_recovered();
            const pool_stats after = stats();
            EXPECT_EQ(after.held + after.connecting + after.waiting, 0u) << turns;
            EXPECT_EQ(after.created, after.idle + after.discarded) << turns;
            EXPECT_EQ(after.discarded, 0u) << turns; // whenever it was dropped, the session is well
            db->connections().retire();
        }
        EXPECT_GT(turns, 5u);
    }
}

TEST_F(postgres_test, TheLeaseEndsAtTheLastRow) {
    stream<row_batch> rows = db->rows(query::parse("select generate_series(1, 1000)").value());
    const auto first = l.run([](stream<row_batch>* s) -> task<std::size_t> {
        std::size_t n = 0;
        while (n < 1000) n += (co_await s->next())->rows();
        co_return n;
    }(&rows));
    ASSERT_TRUE(first);
    EXPECT_FALSE(rows.ended()); // nobody has asked it for its end
    EXPECT_EQ(stats().held, 0u);
    EXPECT_EQ(stats().idle, 1u);
}

TEST_F(postgres_test, ADeadlineEndsAQuery) {
    for (const std::size_t fetch : {0, 10}) {
        const flow_error e = error_of_reading("select pg_sleep(3600)", {.timeout = 50ms, .fetch_rows = fetch});
        EXPECT_EQ(e.code, errc::timed_out);
        turn_until_recovered();
    }
    EXPECT_EQ(copy("select pg_sleep(3600)", {}, {.timeout = 50ms}).error().code, errc::timed_out);
    turn_until_recovered();
    EXPECT_EQ(stats().created, 1u);
    EXPECT_EQ(one("show statement_timeout"), "0");
    const auto told = read("show statement_timeout", {}, {.timeout = 30s});
    ASSERT_TRUE(told);
    EXPECT_EQ(told->rows[0], "31s"); // the server ends it by itself if we cannot
}

TEST_F(postgres_test, TheServersOwnTimeoutIsATimeout) {
    server_->psql("alter role reader set statement_timeout = '50ms'");
    connect(server_->conninfo("reader"));
    const flow_error e = error_of_reading("select pg_sleep(3600)");
    EXPECT_EQ(sqlstate(e.code), "57014");
    EXPECT_EQ(db::failure_of(e.code), failure::timed_out);
    server_->psql("alter role reader reset statement_timeout");
}

TEST_F(postgres_test, AKilledSessionIsAnErrorAndThePoolRecovers) {
    const flow_error e = error_when([] {
        server_->psql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'headgate'");
    });
    EXPECT_EQ(db::failure_of(e.code), failure::unavailable) << e.message();
    turn_until_recovered();
    EXPECT_EQ(stats().discarded, 1u);
    EXPECT_EQ(one("select 1"), "1");
}

TEST_F(postgres_test, AnIdleSessionThatIsKilledIsGoneAtOnce) {
    EXPECT_EQ(one("select 1"), "1");
    server_->psql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'headgate'");
    while (stats().idle != 0) step();
    EXPECT_EQ(stats().discarded, 1u);
    EXPECT_EQ(l.descriptors(), 0u);
    EXPECT_EQ(one("select 1"), "1");
}

TEST_F(postgres_test, AnIdleSessionMayBeTalkedTo) {
    connect(server_->conninfo() + " options='-c application_name=talker'", {.size = 1});
    db.emplace(postgres_options{.conninfo = server_->conninfo(), .read_only = false}, pool_options{.size = 1});
    EXPECT_TRUE(read("listen news"));
    const std::string before = backend();
    server_->psql("notify news, 'hello'");
    for (int i = 0; i < 3; ++i) step();
    EXPECT_EQ(stats().idle, 1u);
    EXPECT_EQ(backend(), before);
}

TEST_F(postgres_test, AServerThatRestarts) {
    const flow_error e = error_when([] { server_->stop_at_once(); });
    EXPECT_EQ(db::failure_of(e.code), failure::unavailable) << e.message();
    const flow_error down = error_of_reading("select 1");
    EXPECT_EQ(db::failure_of(down.code), failure::unavailable) << down.message();
    EXPECT_EQ(public_message(down.code), "the database is not available");
    server_->start();
    EXPECT_EQ(one("select 1"), "1");
    EXPECT_EQ(stats().connect_failures, 1u);
}

TEST_F(postgres_test, RefusesAreToldApart) {
    connect(server_->conninfo("locked") + " password=wrong");
    EXPECT_EQ(sqlstate(error_of_reading("select 1").code), "28P01");
    connect(server_->conninfo("nobody"));
    EXPECT_EQ(sqlstate(error_of_reading("select 1").code), "28000");
    connect(server_->conninfo() + " dbname=nosuch");
    EXPECT_EQ(sqlstate(error_of_reading("select 1").code), "3D000");
    EXPECT_EQ(db::failure_of(error_of_reading("select 1").code), failure::denied);
    connect("host=127.0.0.1 port=1");
    EXPECT_EQ(error_of_reading("select 1").code, errc::refused);
    connect("host=/no/such/folder");
    EXPECT_EQ(error_of_reading("select 1").code, errc::refused);
    connect("nonsense=1");
    EXPECT_EQ(db::failure_of(error_of_reading("select 1").code), failure::unavailable);
    connect(server_->conninfo("locked") + " password='open sesame'");
    EXPECT_EQ(one("select current_user"), "locked");
    EXPECT_EQ(l.descriptors(), 1u);
}

TEST_F(postgres_test, ComesInByNameAndByUnixSocket) {
    connect("host=localhost port=" + std::to_string(server_->port()) + " dbname=postgres user=postgres");
    EXPECT_EQ(one("select 1"), "1");
    connect(server_->local_conninfo());
    EXPECT_EQ(one("select inet_client_addr()"), "-");
    const std::string before = backend();
    nursery n;
    std::size_t rows = 0;
    n.spawn(count_rows(&*db, many_rows, &rows, {}));
    while (rows == 0 && !n.empty()) step();
    n.clear(); // and is cancelled there
    turn_until_recovered();
    EXPECT_EQ(backend(), before);
}

TEST_F(postgres_test, TakesTheEnvironmentAndServices) {
    const testing::temporary_folder folder;
    ::setenv("PGSERVICEFILE",
             folder
                 .write("services", "[orders]\nhost=localhost\nport=" + std::to_string(server_->port()) +
                                        "\nuser=locked\ndbname=postgres\n")
                 .c_str(),
             1);
    const std::string passwords = folder.write("passwords", "localhost:*:*:locked:open sesame\n");
    std::filesystem::permissions(passwords, std::filesystem::perms::owner_read);
    ::setenv("PGPASSFILE", passwords.c_str(), 1);
    connect("service=orders");
    EXPECT_EQ(one("select current_user"), "locked");
    ::unsetenv("PGSERVICEFILE");
    ::unsetenv("PGPASSFILE");
}

TEST_F(postgres_test, AnUnknownHostFails) {
    connect("host=no-such-host.invalid user=x dbname=y");
    const flow_error e = error_of_reading("select 1", {.timeout = 5s});
    EXPECT_EQ(e.detail, "looking up no-such-host.invalid");
    EXPECT_EQ(l.descriptors(), 0u);
}

TEST_F(postgres_test, AServerThatSaysNothingIsGivenUp) {
    const auto listener = l.run([]() -> task<int> { co_return 0; }());
    ASSERT_TRUE(listener);
    const int fd = os.socket(AF_INET, SOCK_STREAM);
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof any;
    ASSERT_EQ(os.bind(fd, reinterpret_cast<const sockaddr*>(&any), size), 0);
    ASSERT_EQ(os.listen(fd, 5), 0);
    ASSERT_EQ(os.local_name(fd, reinterpret_cast<sockaddr*>(&any), &size), 0);
    connect("host=127.0.0.1 user=x port=" + std::to_string(ntohs(any.sin_port)));
    EXPECT_EQ(error_of_reading("select 1", {.timeout = 50ms}).code, errc::timed_out);
    os.close(fd);
    EXPECT_EQ(l.descriptors(), 0u);
}

TEST_F(postgres_test, WithoutDescriptorsItFailsAndRecovers) {
    // A sanitizer that meets a type for the first time needs descriptors itself.
    static_cast<void>(error_of_reading("select nosuch"));
    std::optional<flow_error> e;
    turn_until_recovered();
    db->connections().retire();
    {
        const testing::descriptors_left none(0);
        e = error_of_reading("select 1");
    }
    EXPECT_THAT(db::failure_of(e->code), AnyOf(failure::unavailable, failure::busy)) << e->message();
    EXPECT_EQ(one("select 1"), "1");

    // A cancel that cannot be sent: the session is closed.
    nursery n;
    std::size_t rows = 0;
    n.spawn(count_rows(&*db, many_rows, &rows, {}));
    while (rows == 0 && !n.empty()) step();
    {
        const testing::descriptors_left none(0);
        n.clear();
        turn_until_recovered();
    }
    EXPECT_EQ(stats().idle, 0u);
    EXPECT_EQ(one("select 1"), "1");
}

} // namespace
} // namespace headgate::db
