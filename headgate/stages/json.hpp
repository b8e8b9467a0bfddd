#pragma once

#include <headgate/core/chunk.hpp>
#include <headgate/core/stream.hpp>
#include <headgate/stages/text_format.hpp>
#include <headgate/tabular/row_batch.hpp>

namespace headgate {

// How NaN and the infinities are written, which JSON has no numbers for.
enum class non_finite : std::uint8_t {
    text, // "NaN", "Infinity", "-Infinity"
    null,
};

struct json_options {
    non_finite numbers = non_finite::text;
    invalid_text invalid = invalid_text::refused;
};

// Stages that write rows as JSON (RFC 8259), one object for each, in chunks of 64 KiB; what comes in small batches is
// passed on at once: format_ndjson writes a line for each row, format_json_array one array with a row to a line, which
// is "[]" if there are no rows.
//
//   numbers        digit for digit, of any length: 12.50 stays 12.50. A reader that makes doubles of them may lose some
//   booleans       true, false
//   text           a string; escaped is only what must be
//   times          strings as ISO 8601, see format_csv
//   bytes          strings in base64 (RFC 4648, section 4)
//   json           as it is; ends of lines in it become spaces, so that a row is a line
//   arrays         arrays of these, nested as they are; their lower bounds are lost
//   no value       null
//
// Members are named as the columns, in their order. Where a name stands twice, the later ones get "_2", "_3" and so on:
// readers would keep only one of them. A name of more than 1024 bytes fails with errc::limit_exceeded.
//
// They keep two chunks at the most, however large a value is, and a copy of one element of an array.
class format_ndjson {
public:
    explicit format_ndjson(json_options o = {}) noexcept : options_(o) {}

    stream<chunk> operator()(stream<row_batch> in) const;
    const char* name() const noexcept { return "format_ndjson"; }

private:
    json_options options_;
};

class format_json_array {
public:
    explicit format_json_array(json_options o = {}) noexcept : options_(o) {}

    stream<chunk> operator()(stream<row_batch> in) const;
    const char* name() const noexcept { return "format_json_array"; }

private:
    json_options options_;
};

} // namespace headgate
