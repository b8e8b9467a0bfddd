#pragma once

#include <headgate/http/scan.hpp>

#include <algorithm>
#include <string>
#include <string_view>

// Tokens and lists in the values of fields (RFC 9110, section 5.6).
namespace headgate::http {

constexpr bool is_token(std::string_view text) { return detail::is_token(text); }

// Whether two names or tokens are the same, whatever their case.
constexpr bool same_token(std::string_view a, std::string_view b) {
    return std::ranges::equal(a, b, {}, detail::lower, detail::lower);
}

inline std::string lower_case(std::string_view text) {
    std::string out(text);
    for (char& c : out) c = detail::lower(c);
    return out;
}

// Takes the first element off a comma-separated list, without the white space around it. It may be empty.
constexpr std::string_view next_element(std::string_view& list) { return detail::next_element(list); }

} // namespace headgate::http
