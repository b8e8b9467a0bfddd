#pragma once

#include <headgate/core/chunk.hpp>
#include <headgate/core/stream.hpp>
#include <headgate/tabular/csv_options.hpp>
#include <headgate/tabular/row_batch.hpp>

#include <string_view>

namespace headgate {

// Whether values can be told apart by it: any ASCII character but a quote, a letter, a digit, one of "+-./=\", DEL and
// the ends of lines.
bool is_csv_delimiter(char c) noexcept;
// Whether no value can be written like this: up to 64 bytes of UTF-8 without a delimiter, a quote or the end of a line.
bool is_csv_null(std::string_view text, char delimiter) noexcept;

// The stage that writes rows as CSV (RFC 4180), in chunks of 64 KiB; what comes in small batches is passed on at once.
//
// With csv_quotes::minimal values are quoted only if they must be: if they have the delimiter, a quote, CR or LF in
// them, or could be taken for something else: for no value (so with the usual options an empty string is `""`, and no
// value is nothing at all), or for the end of PostgreSQL's COPY data (`\.`).
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
