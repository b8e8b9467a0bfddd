#pragma once

#include <cstdint>
#include <string>

// How rows are written as CSV: for the stage that writes them (stages/csv.hpp), and for databases that can do it
// themselves (db/database.hpp).
namespace headgate {

// How bytes are written as text.
enum class byte_coding : std::uint8_t {
    hex,    // as PostgreSQL does: "\x00ff"
    base64, // RFC 4648, section 4: "AP8="
};

// What becomes of text that is not UTF-8.
enum class invalid_text : std::uint8_t {
    refused,  // the flow fails with std::errc::illegal_byte_sequence; the detail says in which row and column
    replaced, // U+FFFD stands where it was
};

// Which values stand in quotes. No value (NULL) never does.
enum class csv_quotes : std::uint8_t {
    minimal,     // those that would be read as something else without
    non_numeric, // all but numbers, and the names of the columns
    all,         // all, and the names of the columns
};

struct csv_options {
    bool header = true;   // the first record has the columns' names
    char delimiter = ','; // see is_csv_delimiter
    csv_quotes quotes = csv_quotes::minimal;
    std::string null{}; // how no value is written, see is_csv_null. A value that is the same text is quoted
    bool crlf = true;   // records end with CR LF, as in RFC 4180; otherwise with LF
    bool bom = false;   // begins with U+FEFF, by which spreadsheets know that it is UTF-8
    byte_coding bytes = byte_coding::hex;
    invalid_text invalid = invalid_text::refused;

    bool operator==(const csv_options&) const = default;
};

} // namespace headgate
