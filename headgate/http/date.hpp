#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace headgate::http {

// A moment in seconds since 1970 as HTTP writes it: "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, section 5.6.7).
std::string format_date(std::int64_t seconds);

// Reads it, also in the two obsolete forms that a recipient must know: "Sunday, 06-Nov-94 08:49:37 GMT", whose year is
// the one closest to `now` that is at most 50 years ahead, and "Sun Nov  6 08:49:37 1994". Nothing for any other text.
// The day of the week is not compared with the date.
std::optional<std::int64_t> parse_date(std::string_view text, std::int64_t now);

} // namespace headgate::http
