#pragma once

#include <cstddef>
#include <string>
#include <string_view>

// UTF-8 as Unicode defines it (chapter 3.9, table 3-7): no overlong forms, no surrogates, nothing above U+10FFFF.
namespace headgate::detail {

// How many bytes from the front are whole characters.
std::size_t utf8_valid(std::string_view text) noexcept;

// How many bytes of a text that begins with none are to be replaced by one U+FFFD: the longest beginning of a
// character, or one byte (Unicode, "U+FFFD Substitution of Maximal Subparts").
std::size_t utf8_invalid(std::string_view text) noexcept;

inline constexpr std::string_view utf8_replacement = "\xef\xbf\xbd"; // U+FFFD

// With each of them replaced.
std::string utf8_repaired(std::string_view text);

// The most bytes, of at most `n`, that do not end inside a character. Not more than 3 less.
std::size_t utf8_cut(std::string_view text, std::size_t n) noexcept;

} // namespace headgate::detail
