#include <headgate/db/error.hpp>

#include <gtest/gtest.h>
#include <sqlite3.h>

namespace headgate::db {
namespace {

TEST(error, SqlstateIsKept) {
    for (const char* state : {"00000", "42P01", "ZZZZZ", "57014"}) EXPECT_EQ(sqlstate(postgres_error(state)), state);
    EXPECT_EQ(postgres_error("42P01").message(), "PostgreSQL error 42P01");
    EXPECT_FALSE(postgres_error("00000"));
    for (const char* wrong : {"", "42p01", "42P0", "42P011", "42 01"})
        EXPECT_EQ(sqlstate(postgres_error(wrong)), "XX000") << wrong;
    EXPECT_EQ(sqlstate(sqlite_error(SQLITE_BUSY)), "");
}

TEST(error, SqliteNamesItsCode) {
    EXPECT_EQ(sqlite_error(SQLITE_BUSY).message(), "SQLite error 5 (database is locked)");
    EXPECT_EQ(sqlite_error(SQLITE_IOERR_READ).message(), "SQLite error 266 (disk I/O error)");
}

TEST(error, SaysWhatItMeans) {
    const auto of = [](const char* state) { return failure_of(postgres_error(state)); };
    EXPECT_EQ(of("08006"), failure::unavailable);
    EXPECT_EQ(of("57P01"), failure::unavailable);
    EXPECT_EQ(of("57014"), failure::timed_out);
    EXPECT_EQ(of("53300"), failure::busy);
    EXPECT_EQ(of("28P01"), failure::denied);
    EXPECT_EQ(of("42501"), failure::denied);
    EXPECT_EQ(of("40001"), failure::conflict);
    EXPECT_EQ(of("42601"), failure::query);
    EXPECT_EQ(of("22012"), failure::data);
    EXPECT_EQ(of("XX001"), failure::internal);
    EXPECT_EQ(failure_of(sqlite_error(SQLITE_BUSY_SNAPSHOT)), failure::busy);
    EXPECT_EQ(failure_of(sqlite_error(SQLITE_CANTOPEN)), failure::unavailable);
    EXPECT_EQ(failure_of(sqlite_error(SQLITE_READONLY)), failure::denied);
    EXPECT_EQ(failure_of(sqlite_error(SQLITE_ERROR)), failure::query);
    EXPECT_EQ(failure_of(sqlite_error(SQLITE_CORRUPT)), failure::internal);
    EXPECT_EQ(failure_of(errc::timed_out), failure::timed_out);
    EXPECT_EQ(failure_of(errc::overloaded), failure::busy);
    EXPECT_EQ(failure_of(errc::premature_close), failure::unavailable);
    EXPECT_EQ(failure_of(system_error_code(ECONNREFUSED)), failure::unavailable);
    EXPECT_EQ(failure_of(system_error_code(EMFILE)), failure::busy);
    EXPECT_EQ(failure_of(system_error_code(ETIMEDOUT)), failure::timed_out);
}

TEST(error, WhatClientsAreToldDependsOnTheKindOnly) {
    EXPECT_EQ(public_message(postgres_error("42P01")), public_message(postgres_error("42601")));
    EXPECT_EQ(public_message(postgres_error("53300")), "the database is busy");
    EXPECT_EQ(public_message(errc::failed), "the database has failed");
}

TEST(error, AReportIsOneLine) {
    const error_report r{postgres_error("42703"), "ERROR", "column \"a\"\ndoes not exist", "none", "try b", 8};
    EXPECT_EQ(r.text(), "ERROR: column \"a\" does not exist; detail: none; hint: try b; at character 8");
    EXPECT_FALSE(r.fatal());
    EXPECT_TRUE((error_report{.severity = "FATAL"}).fatal());
    EXPECT_EQ((error_report{.message = "database is locked"}).text(), "database is locked");
}

} // namespace
} // namespace headgate::db
