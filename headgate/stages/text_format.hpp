#pragma once

#include <cstdint>
#include <string>
#include <string_view>

// What the formats of rows as text have in common.
namespace headgate {

// What becomes of text that is not UTF-8.
enum class invalid_text : std::uint8_t {
    refused,  // the flow fails with std::errc::illegal_byte_sequence; the detail says in which row and column
    replaced, // U+FFFD stands where it was
};

namespace detail {

// Text that is not UTF-8, with U+FFFD where it is not; or throws std::system_error that says where that is. Row 0 is
// the names of the columns.
std::string repaired_or_refused(std::string_view text, invalid_text what, std::uint64_t row, std::string_view column);

} // namespace detail

} // namespace headgate
