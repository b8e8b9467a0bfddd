#pragma once

#include <headgate/core/chunk.hpp>
#include <headgate/core/stream.hpp>
#include <headgate/stages/text_format.hpp>
#include <headgate/tabular/row_batch.hpp>

#include <cstdint>
#include <string>

namespace headgate {

// How bytes are written as text.
enum class byte_coding : std::uint8_t {
    hex,    // as PostgreSQL does: "\x00ff"
    base64, // RFC 4648, section 4: "AP8="
};

struct csv_options {
    bool header = true;   // the first record has the columns' names
    char delimiter = ','; // any ASCII character but a quote, a letter, a digit, one of "+-.\" and the ends of lines
    std::string null{};   // how no value is written, up to 64 bytes. A value that is the same text is quoted
    bool crlf = true;     // records end with CR LF, as in RFC 4180; otherwise with LF
    bool bom = false;     // begins with U+FEFF, by which spreadsheets know that it is UTF-8
    byte_coding bytes = byte_coding::hex;
    invalid_text invalid = invalid_text::refused;
};

// The stage that writes rows as CSV (RFC 4180), in chunks of 64 KiB; what comes in small batches is passed on at once.
//
// Values are quoted only if they must be: if they have the delimiter, a quote, CR or LF in them, or could be taken for
// something else: for no value (so with the usual options an empty string is `""`, and no value is nothing at all), or
// for the end of PostgreSQL's COPY data (`\.`).
//
// Numbers are written digit for digit, booleans as true and false, times as ISO 8601 ("2026-02-03T04:05:06Z",
// "...+01:00"), bytes as csv_options says, JSON and arrays as the database gives them. What ISO 8601 cannot say stays
// as the database says it: "infinity", "-infinity", " BC" at the end. The names of columns are not changed, also if one
// stands twice.
//
// A result without rows is its header. One column without a value is an empty line, which some readers pass over: give
// `null` another text where that matters.
//
// Keeps two chunks at the most, however large a value is, and a copy of a value in which text is replaced.
class format_csv {
public:
    // Throws std::invalid_argument if there can be no such delimiter or null.
    explicit format_csv(csv_options o = {});

    stream<chunk> operator()(stream<row_batch> in) const;
    const char* name() const noexcept { return "format_csv"; }

private:
    csv_options options_;
};

} // namespace headgate
