#include <headgate/db/error.hpp>
#include <headgate/db/sqlite.hpp>
#include <headgate/io/linux_kernel.hpp>
#include <headgate/io/offload.hpp>
#include <headgate/testing/leak_check.hpp>
#include <headgate/testing/limits.hpp>
#include <headgate/testing/temporary_folder.hpp>

#include <array>
#include <filesystem>
#include <thread>

#include <gmock/gmock.h>
#include <sqlite3.h>

namespace headgate::db {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Everything a query has given.
struct rows_seen {
    std::vector<std::string> columns;
    std::vector<std::string> rows; // "type:text|type:text"
    std::size_t batches = 0;
    std::size_t bytes_max = 0; // of a batch
    std::size_t empty = 0;     // batches
};

std::string show(const cell& c) {
    constexpr std::array letters{'n', '?', 'i', 'f', '?', 't', '?', 'b'};
    return std::string(1, letters.at(static_cast<std::size_t>(c.type))) + ":" + std::string(c.text);
}

task<rows_seen> read_all(database* db, std::string sql, std::vector<parameter> values, query_options o) {
    stream<row_batch> rows = db->rows(query::parse(std::move(sql), db->sql_dialect()).value(), std::move(values), o);
    rows_seen seen;
    while (const auto b = co_await rows.next()) {
        if (seen.batches++ == 0)
            for (const column& c : b->columns()) seen.columns.emplace_back(c.name);
        seen.empty += b->empty();
        seen.bytes_max = std::max(seen.bytes_max, b->bytes());
        for (std::size_t r = 0; r < b->rows(); ++r) {
            std::string row;
            for (std::size_t c = 0; c < b->columns().size(); ++c) row += (c ? "|" : "") + show(b->at(r, c));
            seen.rows.push_back(std::move(row));
        }
    }
    co_return seen;
}

class sqlite_test : public ::testing::Test {
public:
    sqlite_test() {
        l.set_offload_pool(threads);
        write("create table t(id integer primary key, name, v);"
              "insert into t values (1, 'one', 1.5), (2, null, x'00ff'), (3, '', -7);");
        lite.emplace(sqlite_options{.path = file}, pool_options{.size = 2});
    }
    ~sqlite_test() override {
        lite.reset();
        while (l.remote_away() != 0) EXPECT_FALSE(l.turn());
    }

protected:
    void write(const std::string& sql) const {
        sqlite3* db = nullptr;
        ASSERT_EQ(sqlite3_open(file.c_str(), &db), SQLITE_OK);
        char* why = nullptr;
        EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &why), SQLITE_OK) << why;
        sqlite3_close(db);
    }
    std::expected<rows_seen, flow_error> read(std::string sql, std::vector<parameter> values = {},
                                              query_options o = {}) {
        return l.run(read_all(&*lite, std::move(sql), std::move(values), std::move(o)));
    }
    flow_error failure_of_reading(std::string sql, query_options o = {}) {
        auto r = read(std::move(sql), {}, std::move(o));
        if (r) ADD_FAILURE() << "it has not failed";
        return r ? flow_error{} : r.error();
    }

    testing::temporary_folder folder;
    std::string file = folder / "test.db";
    offload_pool threads{2};
    linux_kernel os;
    loop l{os};
    std::optional<sqlite> lite;
};

// Counts without end, in SQLite.
constexpr const char* endless = "with recursive n(i) as (select 1 union all select i + 1 from n) ";

// Gives one row; the next one takes for ever.
task<> read_endless(database* db, std::size_t* rows) {
    auto s = db->rows(
        query::parse("select 1 union all select * from (" + std::string(endless) + "select i from n where i < 0)",
                     dialect::sqlite)
            .value(),
        {}, {.gather = 0ms});
    while (const auto b = co_await s.next()) *rows += b->rows();
}

TEST_F(sqlite_test, GivesRowsWithTheirTypes) {
    const auto r = read("select id, name as n, v, 1e300, 9e999, -9223372036854775808, 0.1 from t order by id");
    ASSERT_TRUE(r) << r.error().message();
    EXPECT_THAT(r->columns, ElementsAre("id", "n", "v", "1e300", "9e999", "-9223372036854775808", "0.1"));
    EXPECT_THAT(r->rows, ElementsAre("i:1|t:one|f:1.5|f:1e+300|f:Infinity|i:-9223372036854775808|f:0.1",
                                     "i:2|n:|b:" + std::string("\0\xff", 2) +
                                         "|f:1e+300|f:Infinity|i:-9223372036854775808|f:0.1",
                                     "i:3|t:|i:-7|f:1e+300|f:Infinity|i:-9223372036854775808|f:0.1"));
    const auto whole = read("select 3.0, -0.0, -100.0, 1e20, 9007199254740993.0, 3");
    ASSERT_TRUE(whole);
    EXPECT_EQ(whole->rows[0], "f:3.0|f:-0.0|f:-100.0|f:1e+20|f:9007199254740992.0|i:3") << "real numbers look it";
    EXPECT_EQ(lite->connections().stats().idle, 1u);
}

TEST_F(sqlite_test, BindsByNameAndPosition) {
    const auto r = read("select :i + 1, typeof(:f), :t, :z, typeof(:b), :t",
                        {{.name = "t", .text = "it's"},
                         {.name = "i", .type = value_type::integer, .text = "41"},
                         {.name = "f", .type = value_type::floating, .text = "1"},
                         {.name = "b", .type = value_type::blob, .text = "xy"},
                         {.name = "z", .type = value_type::null}});
    ASSERT_TRUE(r) << r.error().message();
    EXPECT_THAT(r->rows, ElementsAre("i:42|t:real|t:it's|n:|t:blob|t:it's"));
    const auto p = read("select ?, ?", {{.text = "a"}, {.type = value_type::boolean, .text = "t"}});
    ASSERT_TRUE(p) << p.error().message();
    EXPECT_THAT(p->rows, ElementsAre("t:a|i:1"));

    const auto wrong = read("select :i", {{.name = "i", .type = value_type::integer, .text = "4x"}});
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().code, sqlite_error(SQLITE_MISMATCH));
    EXPECT_EQ(read("select :i", {}).error().code, std::errc::invalid_argument);
}

TEST_F(sqlite_test, AnEmptyResultTellsItsColumns) {
    const auto r = read("select id, name from t where false");
    ASSERT_TRUE(r);
    EXPECT_EQ(r->batches, 1u);
    EXPECT_THAT(r->columns, ElementsAre("id", "name"));
    EXPECT_TRUE(r->rows.empty());
}

TEST_F(sqlite_test, BatchesAreBounded) {
    const auto r = read(std::string(endless) + "select i, 'some text that takes room' from n limit 20000", {},
                        {.batch_bytes = 4096, .gather = 1h});
    ASSERT_TRUE(r) << r.error().message();
    ASSERT_EQ(r->rows.size(), 20000u);
    EXPECT_EQ(r->rows.front(), "i:1|t:some text that takes room");
    EXPECT_EQ(r->rows.back(), "i:20000|t:some text that takes room");
    EXPECT_LE(r->bytes_max, 4096u);
    EXPECT_GT(r->batches, 20000u * 40 / 4096);
    EXPECT_LT(r->batches, 20000u * 60 / 4096);
}

TEST_F(sqlite_test, OnlyTheFirstBatchMayBeEmpty) {
    for (int n = 100; n < 200; n += 3) { // at some of these the last row fills the batch
        const auto r = read(std::string(endless) + "select i, null from n limit " + std::to_string(n), {},
                            {.batch_bytes = 1024, .gather = 1h});
        ASSERT_TRUE(r) << r.error().message();
        EXPECT_EQ(r->rows.size(), static_cast<std::size_t>(n));
        EXPECT_EQ(r->empty, 0u);
    }
}

TEST_F(sqlite_test, LargeRowsHaveTheirOwnBatchUpToALimit) {
    const std::string sql = "select 1, 'a' union all select 2, zeroblob(3000000) union all select 3, 'b'";
    const auto r = read(sql);
    ASSERT_TRUE(r) << r.error().message();
    ASSERT_EQ(r->rows.size(), 3u);
    EXPECT_EQ(r->rows[1], "i:2|b:" + std::string(3'000'000, '\0'));
    EXPECT_EQ(r->rows[2], "i:3|t:b");

    const flow_error e = failure_of_reading(sql, {.row_bytes_max = 1'000'000});
    EXPECT_EQ(e.code, errc::limit_exceeded);
    EXPECT_THAT(e.detail, HasSubstr("a row of 30000"));
    EXPECT_EQ(lite->connections().stats().recovered, 1u);
}

TEST_F(sqlite_test, SlowRowsAreNotKeptBack) {
    nursery n;
    std::size_t rows = 0;
    n.spawn(read_endless(&*lite, &rows));
    while (rows == 0) ASSERT_FALSE(l.turn());
    EXPECT_EQ(rows, 1u);
}

TEST_F(sqlite_test, OnlyReads) {
    for (const char* sql : {"insert into t values (9, 9, 9)", "update t set v = 1", "delete from t", "drop table t",
                            "create temp table x(a)", "pragma user_version = 3", "vacuum"}) {
        const flow_error e = failure_of_reading(sql);
        EXPECT_EQ(db::failure_of(e.code), failure::denied) << sql << ": " << e.message();
    }
    EXPECT_EQ(db::failure_of(failure_of_reading("attach '" + (folder / "other.db") + "' as o").code), failure::query);
    EXPECT_FALSE(std::filesystem::exists(folder / "other.db"));
    EXPECT_EQ(read("select * from t")->rows.size(), 3u);
}

TEST_F(sqlite_test, SaysWhatIsWrong) {
    const flow_error e = failure_of_reading("select nosuch from t");
    EXPECT_EQ(e.code, sqlite_error(SQLITE_ERROR));
    EXPECT_EQ(e.detail, "no such column: nosuch");
    EXPECT_EQ(public_message(e.code), "the query is not valid");
    EXPECT_EQ(lite->connections().stats().idle, 1u); // the connection is not to blame
}

TEST_F(sqlite_test, AnErrorInTheMiddleComesAfterRows) {
    auto rows = lite->rows(
        query::parse("select abs(v) from (select 1 as v union all select -9223372036854775808)", dialect::sqlite)
            .value(),
        {}, {.gather = 0ms});
    std::size_t before = 0;
    const auto end = l.run([](stream<row_batch>* s, std::size_t* n) -> task<> {
        while (const auto b = co_await s->next()) *n += b->rows();
    }(&rows, &before));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().detail, "integer overflow");
    EXPECT_EQ(before, 1u);
}

TEST_F(sqlite_test, NoFileOrNoDatabase) {
    for (const auto& [path, code] : {std::pair(folder / "none.db", SQLITE_CANTOPEN),
                                     std::pair(folder.write("text.db", std::string(5000, 'x')), SQLITE_NOTADB)}) {
        lite.emplace(sqlite_options{.path = path});
        const flow_error e = failure_of_reading("select * from sqlite_master");
        EXPECT_EQ(e.code.value() & 0xff, code) << e.message();
        EXPECT_EQ(e.code.category(), sqlite_category());
    }
    EXPECT_FALSE(std::filesystem::exists(folder / "none.db"));
}

TEST_F(sqlite_test, ADamagedFileFails) {
    write("create table big(a); with recursive n(i) as (select 1 union all select i + 1 from n limit 3000)"
          "insert into big select hex(randomblob(100)) from n;");
    std::string bytes = folder.read("test.db");
    for (std::size_t at = 20'000; at + 4096 < bytes.size(); at += 40'960)
        bytes.replace(at / 4096 * 4096, 64, 64, '\xee');
    folder.write("test.db", bytes);
    const flow_error e = failure_of_reading("select * from big");
    EXPECT_EQ(e.code.value() & 0xff, SQLITE_CORRUPT) << e.message();
    EXPECT_EQ(db::failure_of(e.code), failure::internal);
}

TEST_F(sqlite_test, ALockedFileIsWaitedFor) {
    lite.emplace(sqlite_options{.path = file, .busy_timeout = 30ms});
    sqlite3* writer = nullptr;
    ASSERT_EQ(sqlite3_open(file.c_str(), &writer), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(writer, "begin exclusive", nullptr, nullptr, nullptr), SQLITE_OK);
    const auto begin = clock::now();
    const flow_error e = failure_of_reading("select * from t");
    EXPECT_GE(clock::now() - begin, 30ms);
    EXPECT_EQ(e.code.value() & 0xff, SQLITE_BUSY) << e.message();
    EXPECT_EQ(public_message(e.code), "the database is busy");

    // Let go meanwhile.
    lite.emplace(sqlite_options{.path = file, .busy_timeout = 1min});
    nursery n;
    std::optional<rows_seen> seen;
    n.spawn([](sqlite* db, std::optional<rows_seen>* to) -> task<> {
        to->emplace(co_await read_all(db, "select * from t", {}, {}));
    }(&*lite, &seen));
    while (lite->connections().stats().held == 0) ASSERT_FALSE(l.turn());
    while (threads.running() == 0) std::this_thread::yield();
    ASSERT_EQ(sqlite3_exec(writer, "commit", nullptr, nullptr, nullptr), SQLITE_OK);
    while (!n.empty()) ASSERT_FALSE(l.turn());
    EXPECT_EQ(seen->rows.size(), 3u);
    sqlite3_close(writer);
}

TEST_F(sqlite_test, AWriterIsNotKeptOutAfterTheLastRow) {
    ASSERT_EQ(read("select * from t")->rows.size(), 3u);
    write("insert into t values (4, 'four', 4)");
    EXPECT_EQ(read("select * from t")->rows.size(), 4u);
    EXPECT_EQ(lite->connections().stats().created, 1u);
}

TEST_F(sqlite_test, AReplacedFileIsOpenedAnew) {
    lite.emplace(sqlite_options{.path = file}, pool_options{.check_after = 0ms});
    ASSERT_EQ(read("select * from t")->rows.size(), 3u);
    const std::string next = folder / "next.db";
    std::filesystem::copy(file, next);
    std::filesystem::rename(next, file);
    write("delete from t where id > 1");
    EXPECT_EQ(read("select * from t")->rows.size(), 1u);
    EXPECT_EQ(lite->connections().stats().created, 2u);
}

TEST_F(sqlite_test, ADeadlineEndsAQuery) {
    const flow_error e =
        failure_of_reading(std::string(endless) + "select count(*) from n where i < 0", {.timeout = 30ms});
    EXPECT_EQ(e.code, errc::timed_out);
    EXPECT_EQ(lite->connections().stats().recovered, 1u);
    EXPECT_EQ(read("select 1")->rows.size(), 1u); // its deadline has gone with it
    EXPECT_EQ(lite->connections().stats().created, 1u);
}

// Drops a query that would run for ever while it runs on its thread.
TEST_F(sqlite_test, ADroppedQueryFreesItsThread) {
    {
        const testing::leak_check check;
        nursery n;
        std::size_t rows = 0;
        n.spawn(read_endless(&*lite, &rows));
        while (rows == 0) ASSERT_FALSE(l.turn());
        while (threads.running() == 0) std::this_thread::yield();
        const auto begin = clock::now();
        n.clear();
        while (l.remote_away() != 0) ASSERT_FALSE(l.turn());
        EXPECT_LT(clock::now() - begin, 1s);
        EXPECT_EQ(threads.running(), 0u);
    }
    while (lite->connections().stats().recovering != 0) ASSERT_FALSE(l.turn());
    EXPECT_EQ(read("select 1")->rows.size(), 1u);
    EXPECT_EQ(lite->connections().stats().created, 1u);
    EXPECT_EQ(lite->connections().stats().cancels, 1u);
}

TEST_F(sqlite_test, ADroppedWaitForALockFreesItsThread) {
    lite.emplace(sqlite_options{.path = file, .busy_timeout = 1h});
    sqlite3* writer = nullptr;
    ASSERT_EQ(sqlite3_open(file.c_str(), &writer), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(writer, "begin exclusive", nullptr, nullptr, nullptr), SQLITE_OK);
    nursery n;
    n.spawn([](sqlite* db) -> task<> { static_cast<void>(co_await read_all(db, "select * from t", {}, {})); }(&*lite));
    while (lite->connections().stats().held == 0) ASSERT_FALSE(l.turn());
    while (threads.running() == 0) std::this_thread::yield();
    n.clear();
    while (l.remote_away() != 0) ASSERT_FALSE(l.turn()); // not for an hour
    EXPECT_EQ(threads.running(), 0u);
    sqlite3_close(writer);
}

// Drops a query after each turn of the loop it needs: nothing is left, and the pool is whole.
TEST_F(sqlite_test, DroppedAnywhereNothingIsLeft) {
    const std::string sql = std::string(endless) + "select i, hex(zeroblob(200)) from n limit 3000";
    std::size_t turns = 0;
    for (bool ended = false; !ended; ++turns) {
        const testing::leak_check check(l);
        nursery n;
        n.spawn([](sqlite* db, std::string text) -> task<> {
            static_cast<void>(co_await read_all(db, std::move(text), {}, {.batch_bytes = 100'000}));
        }(&*lite, sql));
        for (std::size_t i = 0; i < turns && !n.empty(); ++i) ASSERT_FALSE(l.turn());
        ended = n.empty();
        n.clear();
        while (l.remote_away() != 0) ASSERT_FALSE(l.turn());
        ASSERT_FALSE(l.turn(false)); // a connection that was not in use comes back
        const pool_stats after = lite->connections().stats();
        EXPECT_EQ(after.held + after.recovering + after.connecting, 0u) << turns;
        lite->connections().retire();
    }
    EXPECT_GT(turns, 10u);
    EXPECT_EQ(read("select 1")->rows.size(), 1u);
}

TEST_F(sqlite_test, TheDatabaseMayGoBeforeADroppedQueryHasEnded) {
    nursery n;
    std::size_t rows = 0;
    n.spawn(read_endless(&*lite, &rows));
    while (rows == 0) ASSERT_FALSE(l.turn());
    while (threads.running() == 0) std::this_thread::yield();
    n.clear();
    lite.reset();
    while (l.remote_away() != 0) ASSERT_FALSE(l.turn());
}

TEST_F(sqlite_test, WithoutDescriptorsItFailsAndRecovers) {
    failure_of_reading("select nosuch"); // a sanitizer that meets a type for the first time needs descriptors itself
    lite->connections().retire();
    {
        const testing::descriptors_left none(0);
        EXPECT_EQ(failure_of_reading("select * from t").code.value() & 0xff, SQLITE_CANTOPEN);
    }
    EXPECT_EQ(read("select * from t")->rows.size(), 3u);
}

} // namespace
} // namespace headgate::db
