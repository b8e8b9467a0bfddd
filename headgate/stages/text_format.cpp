#include <headgate/stages/text_format.hpp>
#include <headgate/stages/utf8.hpp>

#include <system_error>

namespace headgate::detail {

std::string repaired_or_refused(std::string_view text, invalid_text what, std::uint64_t row, std::string_view column) {
    if (what == invalid_text::replaced) return utf8_repaired(text);
    std::string where = row == 0 ? "the name of a column" : "row " + std::to_string(row);
    if (row != 0) where += ", column \"" + utf8_repaired(column) + '"';
    throw std::system_error(std::make_error_code(std::errc::illegal_byte_sequence),
                            where + ": text that is not UTF-8, at byte " + std::to_string(utf8_valid(text)));
}

} // namespace headgate::detail
