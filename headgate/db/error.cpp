#include <headgate/db/error.hpp>

#include <algorithm>
#include <array>

#include <sqlite3.h>

namespace headgate::db {

namespace {

constexpr std::string_view digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
constexpr std::size_t sqlstate_size = 5;

constexpr int number(std::string_view state) noexcept {
    int n = 0;
    for (const char c : state) n = n * 36 + static_cast<int>(digits.find(c));
    return n;
}
constexpr int internal_error = number("XX000");

std::string letters(int n) {
    std::string out(sqlstate_size, '0');
    for (std::size_t i = sqlstate_size; i-- > 0; n /= 36) out[i] = digits[static_cast<std::size_t>(n % 36)];
    return out;
}

class postgres_category_type final : public std::error_category {
public:
    const char* name() const noexcept override { return "postgresql"; }
    std::string message(int value) const override { return "PostgreSQL error " + letters(value); }
};

class sqlite_category_type final : public std::error_category {
public:
    const char* name() const noexcept override { return "sqlite"; }
    std::string message(int value) const override {
        return "SQLite error " + std::to_string(value) + " (" + sqlite3_errstr(value) + ")";
    }
};

struct known {
    std::string_view prefix; // of SQLSTATE; the first that fits counts
    failure what;
};
constexpr auto postgres_failures = std::to_array<known>({
    {"08", failure::unavailable},  // connection exceptions
    {"57P", failure::unavailable}, // shutting down, crashed, starting up
    {"57014", failure::timed_out}, // query_canceled
    {"25P03", failure::timed_out}, // idle_in_transaction_session_timeout
    {"55P03", failure::busy},      // lock_not_available
    {"53", failure::busy},         // insufficient resources
    {"28", failure::denied},       // invalid authorization specification
    {"42501", failure::denied},    // insufficient_privilege
    {"25006", failure::denied},    // read_only_sql_transaction
    {"3D000", failure::denied},    // no such database
    {"40", failure::conflict},     // transaction rollback: serialization, deadlock
    {"42", failure::query},        // syntax error or access rule violation
    {"0A", failure::query},        // feature not supported
    {"3F", failure::query},        // no such schema
    {"22", failure::data},         // data exceptions
    {"23", failure::data},         // constraints
    {"21", failure::data},         // cardinality
});

failure postgres_failure(const std::string& state) noexcept {
    const auto* k =
        std::ranges::find_if(postgres_failures, [&](const known& i) { return state.starts_with(i.prefix); });
    return k == postgres_failures.end() ? failure::internal : k->what;
}

failure sqlite_failure(int extended_code) noexcept {
    switch (extended_code & 0xff) {
    case SQLITE_CANTOPEN: return failure::unavailable;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_NOMEM:
    case SQLITE_FULL: return failure::busy;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY: return failure::denied;
    case SQLITE_INTERRUPT: return failure::timed_out;
    case SQLITE_SCHEMA: return failure::conflict;
    case SQLITE_TOOBIG:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH: return failure::data;
    case SQLITE_ERROR:
    case SQLITE_RANGE: return failure::query;
    default: return failure::internal;
    }
}

failure flow_failure(int value) noexcept {
    switch (static_cast<errc>(value)) {
    case errc::timed_out:
    case errc::idle: return failure::timed_out;
    case errc::limit_exceeded: return failure::data;
    case errc::overloaded: return failure::busy;
    case errc::premature_close:
    case errc::refused: return failure::unavailable;
    default: return failure::internal;
    }
}

} // namespace

const std::error_category& postgres_category() noexcept {
    static const postgres_category_type category;
    return category;
}

const std::error_category& sqlite_category() noexcept {
    static const sqlite_category_type category;
    return category;
}

std::error_code postgres_error(std::string_view sqlstate) noexcept {
    const bool valid = sqlstate.size() == sqlstate_size &&
                       std::ranges::all_of(sqlstate, [](char c) { return digits.find(c) != digits.npos; });
    return {valid ? number(sqlstate) : internal_error, postgres_category()};
}

std::string sqlstate(std::error_code code) {
    return code.category() == postgres_category() ? letters(code.value()) : std::string();
}

failure failure_of(std::error_code code) noexcept {
    if (code.category() == postgres_category()) return postgres_failure(letters(code.value()));
    if (code.category() == sqlite_category()) return sqlite_failure(code.value());
    if (code.category() == flow_category()) return flow_failure(code.value());
    if (code == std::errc::timed_out) return failure::timed_out;
    if (code == std::errc::invalid_argument) return failure::query; // query_error
    if (code == std::errc::not_enough_memory || code == std::errc::too_many_files_open) return failure::busy;
    return failure::unavailable; // the system's: the network
}

std::string_view public_message(std::error_code code) noexcept {
    switch (failure_of(code)) {
    case failure::unavailable: return "the database is not available";
    case failure::busy: return "the database is busy";
    case failure::denied: return "the database denies access";
    case failure::timed_out: return "the query took too long";
    case failure::conflict: return "the query collided with another";
    case failure::data: return "the query met a value that it cannot work with";
    case failure::query: return "the query is not valid";
    case failure::internal: break;
    }
    return "the database has failed";
}

std::string error_report::text() const {
    std::string out = severity.empty() ? message : severity + ": " + message;
    if (!detail.empty()) out += "; detail: " + detail;
    if (!hint.empty()) out += "; hint: " + hint;
    if (position != 0) out += "; at character " + std::to_string(position);
    std::ranges::replace(out, '\n', ' ');
    return out;
}

} // namespace headgate::db
