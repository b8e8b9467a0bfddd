#pragma once

#include <headgate/core/chunk.hpp>

#include <cstdint>
#include <span>
#include <string_view>

namespace headgate {

// What a value is, and with that how its text is to be read. The text is the database's own, digit for digit. "PG" says
// what PostgreSQL writes with the settings that its driver makes, "SQLite" what its driver makes of a storage class
// (a real number always has a point or an exponent there, "3.0": its columns have no types).
enum class value_type : std::uint8_t {
    null,      // no value; the text is empty. Only of cells: no column is declared so
    boolean,   // "t" or "f"
    integer,   // decimal, 64 bits or fewer: "-42"
    floating,  // binary floating point, shortest text that reads back the same: "1e+300"; also NaN, Infinity, -Infinity
    numeric,   // exact decimal of any length: "12.50"; also NaN, Infinity, -Infinity
    text,      // UTF-8. (SQLite does not check that its text is UTF-8, and neither does the driver.)
    bytea,     // bytes in hexadecimal, with the prefix: "\x00ff" (PG)
    blob,      // the bytes themselves (SQLite)
    date,      // "2026-02-03"; also "0044-03-15 BC", "infinity", "-infinity"
    time,      // "04:05:06.789", without trailing zeros in the fraction
    timetz,    // the same with the offset from UTC: "04:05:06+01", "...+05:30", "...+05:53:28"
    timestamp, // date, a space, time: "2026-02-03 04:05:06"; " BC" stands at the end; also "infinity", "-infinity"
    timestamptz, // the same with the offset from UTC behind the time, as of timetz
    interval,    // ISO 8601: "P1Y2M3DT4H5M6S", any part with a sign of its own: "P-1DT-0.5S"
    json,        // as it was stored (json), or as PG writes it (jsonb): one JSON value
    uuid,        // lower case, with hyphens
    array,       // PG's array literal: "{1,2,NULL}", "{{\"a b\",c},{d,e}}", "[0:1]={1,2}"; see column::element
    other,       // anything else; the text is the database's (PG: what `value::text` gives)
};

// What one column of a result is. The views are valid as long as a column_set that has it.
struct column {
    std::string_view name;
    // What the database says its values are. Databases without types for results (SQLite) say `other`: there each cell
    // has its own.
    value_type type = value_type::other;
    value_type element = value_type::other; // if it is an array: the type of what is in it
    std::uint32_t database_type = 0;        // the database's own number for the type: PG's OID; 0 if it has none
};

// The columns of a result, in order; never changed. Copies share one buffer and cost a count, so each batch has one;
// all copies belong to one thread at a time. Names may be empty, and the same name may stand twice.
class column_set {
public:
    column_set() = default; // no columns
    // Copies `columns` and their names. Throws std::bad_alloc.
    explicit column_set(std::span<const column> columns);

    std::size_t size() const noexcept { return count_; }
    bool empty() const noexcept { return count_ == 0; }
    const column& operator[](std::size_t i) const noexcept { return begin()[i]; }
    const column* begin() const noexcept { return reinterpret_cast<const column*>(storage_.data()); }
    const column* end() const noexcept { return begin() + count_; }

private:
    chunk storage_; // the array of columns, then their names
    std::size_t count_ = 0;
};

} // namespace headgate
