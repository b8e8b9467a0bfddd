#pragma once

#include <headgate/core/error.hpp>

#include <cstdint>
#include <string>
#include <string_view>

// Errors of databases. A flow that ends with one has in its flow_error
//   code    the database's own code, in postgres_category or sqlite_category. Its message() names the code and nothing
//           else, so it may go anywhere;
//   detail  what the database said. It may quote the query and the data: for logs, never for clients.
// What a client may be told is public_message(code). Other errors are those of the system (no connection) and of errc:
// errc::overloaded and errc::timed_out of a pool; errc::timed_out of a query that took longer than its query_options
// allow; errc::limit_exceeded of a row that is too large; errc::premature_close of a session that broke off. A query
// that is refused before it is sent is std::errc::invalid_argument.
namespace headgate::db {

// SQLSTATE codes of PostgreSQL (its documentation, appendix A), five letters and digits as a number to the base 36.
const std::error_category& postgres_category() noexcept;
// The code for five letters and digits, "42P01". Anything else is taken for "XX000", an internal error.
std::error_code postgres_error(std::string_view sqlstate) noexcept;
// The five letters and digits of a code in postgres_category; empty for any other.
std::string sqlstate(std::error_code code);

// Extended result codes of SQLite (sqlite.org/rescode.html).
const std::error_category& sqlite_category() noexcept;
inline std::error_code sqlite_error(int extended_code) noexcept { return {extended_code, sqlite_category()}; }

// What an error means for who asked.
enum class failure : std::uint8_t {
    unavailable, // there is no database to ask now: no connection, it starts or stops, it broke off
    busy,        // it has no room now: too many connections, locked, out of memory or disk
    denied,      // it does not let us in, or not at this data
    timed_out,   // the query took longer than it may
    conflict,    // it gave up one transaction for another: asking again may do
    data,        // a value does not fit: a division by zero, text that is not a number, a constraint
    query,       // the query is wrong: syntax, a table or column that is not there
    internal,    // anything else: the database is damaged, or we are wrong
};
failure failure_of(std::error_code code) noexcept;

// What a client may be told: a sentence that depends on failure_of(code) only.
std::string_view public_message(std::error_code code) noexcept;

// A message of a database, in parts. For logs.
struct error_report {
    std::error_code code{};
    std::string severity{}; // "ERROR", "FATAL", "PANIC"; empty if the database has no such thing
    std::string message{};
    std::string detail{}; // more about it
    std::string hint{};   // what to do about it
    int position = 0;     // where in the query, in characters from 1; 0 if not told

    // Whether the session is over with it.
    bool fatal() const noexcept { return severity == "FATAL" || severity == "PANIC"; }
    // All in one line: "ERROR: column \"a\" does not exist; hint: ...; at character 8".
    std::string text() const;
};

} // namespace headgate::db
