#pragma once

#include <headgate/tabular/csv_options.hpp>

#include <cstdint>
#include <string>
#include <string_view>

// What the formats of rows as text have in common.
namespace headgate::detail {

// Text that is not UTF-8, with U+FFFD where it is not; or throws std::system_error that says where that is. Row 0 is
// the names of the columns.
std::string repaired_or_refused(std::string_view text, invalid_text what, std::uint64_t row, std::string_view column);

} // namespace headgate::detail
