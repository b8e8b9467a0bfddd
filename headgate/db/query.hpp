#pragma once

#include <headgate/db/parameter.hpp>

#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace headgate::db {

// Whose SQL it is: they differ in what is a string, a name or a comment.
enum class dialect : std::uint8_t { postgres, sqlite };

// Why a query or its parameters were refused.
struct query_error {
    std::string message;    // "unterminated string"
    std::size_t offset = 0; // in bytes from the start of the SQL
};

// One SQL statement with named parameters, read once and used any number of times:
//
//     const auto q = query::parse("select id, total::text from orders where day >= :since and note <> ':none'");
//     q->names();    // {"since"}
//     q->numbered(); // "select id, total::text from orders where day >= $1 and note <> ':none'"
//
// `:name` is a parameter (letters, digits and underscores; the first is no digit) wherever it is not part of a string,
// a quoted name or a comment and does not follow a colon, a letter, a digit or, in brackets, a closing bracket or
// quote: so casts (`a::int`) and slices (`a[1:n]`) stay what they are. The same name may stand several times.
//
// PostgreSQL's strings ('...' with standard_conforming_strings, E'...', U&'...'), quoted names, dollar quotes and
// nested comments are understood, and SQLite's [names] and `names`.
//
// What is refused: more than one statement, unterminated strings, names and comments, a zero byte, and names beside
// positional parameters ($1, ?).
class query {
public:
    static constexpr std::size_t bytes_max = 1024 * 1024;
    static constexpr std::size_t parameters_max = 1000;

    static std::expected<query, query_error> parse(std::string sql, dialect d = dialect::postgres);

    query() = default; // the empty statement

    // As it was written, without a semicolon at the end and what follows that.
    const std::string& sql() const noexcept { return sql_; }
    // With $1, $2... in place of the names: for PostgreSQL. (SQLite knows `:name` itself.)
    const std::string& numbered() const noexcept { return numbered_; }
    // The names, in the order of their numbers; each once.
    std::span<const std::string> names() const noexcept { return names_; }
    // How many positional parameters there are; 0 if it has names or none at all.
    std::size_t positions() const noexcept { return positions_; }
    // How many values it takes.
    std::size_t parameters() const noexcept { return names_.size() + positions_; }

    // Puts `values` in the order of the numbers. Each name must have one value, and there must be no other; values
    // without a name go to positional parameters, in order.
    std::expected<std::vector<parameter>, query_error> bind(std::vector<parameter> values) const;

private:
    std::string sql_;
    std::string numbered_;
    std::vector<std::string> names_;
    std::size_t positions_ = 0;
};

} // namespace headgate::db
