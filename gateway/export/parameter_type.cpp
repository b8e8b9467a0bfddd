#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

#include <gateway/export/parameter_type.hpp>

namespace headgate::gateway {

namespace {

// In the order of their names.
constexpr std::array<value_type, 11> types{value_type::text,    value_type::integer,   value_type::floating,
                                           value_type::numeric, value_type::boolean,   value_type::date,
                                           value_type::time,    value_type::timestamp, value_type::timestamptz,
                                           value_type::uuid,    value_type::json};

// '9' stands for a digit and 'x' for a hexadecimal one; the others for themselves.
bool has_form(std::string_view text, std::string_view form) noexcept {
    if (text.size() != form.size()) return false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        const bool digit = c >= '0' && c <= '9';
        const bool hex = digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (form[i] == '9' ? !digit : form[i] == 'x' ? !hex : c != form[i]) return false;
    }
    return true;
}

template <class Number>
bool is_number(std::string_view t) noexcept {
    Number n{};
    if (t.starts_with('+')) t.remove_prefix(1);
    const auto [end, e] = std::from_chars(t.data(), t.data() + t.size(), n);
    return e == std::errc() && end == t.data() + t.size();
}

bool is_decimal(std::string_view t) noexcept {
    if (t.starts_with('-') || t.starts_with('+')) t.remove_prefix(1);
    const std::size_t point = std::min(t.find('.'), t.size());
    const auto digits = [](std::string_view s) { return s.find_first_not_of("0123456789") == std::string_view::npos; };
    const std::string_view whole = t.substr(0, point);
    const std::string_view fraction = point < t.size() ? t.substr(point + 1) : std::string_view();
    return t.size() <= 1000 && digits(whole) && digits(fraction) && !(whole.empty() && fraction.empty());
}

// "04:05", "04:05:06" and "04:05:06.789"
bool is_time(std::string_view t) noexcept {
    if (has_form(t, "99:99")) return true;
    if (!has_form(t.substr(0, 8), "99:99:99")) return false;
    const std::string_view fraction = t.substr(8);
    return fraction.empty() || (fraction.size() > 1 && fraction.size() <= 7 && fraction[0] == '.' &&
                                fraction.find_first_not_of("0123456789", 1) == std::string_view::npos);
}

bool is_timestamp(std::string_view t) noexcept {
    if (has_form(t, "9999-99-99")) return true;
    return t.size() > 11 && has_form(t.substr(0, 10), "9999-99-99") && (t[10] == 'T' || t[10] == ' ') &&
           is_time(t.substr(11));
}

bool is_timestamp_with_zone(std::string_view t) noexcept {
    if (t.ends_with('Z')) return is_timestamp(t.substr(0, t.size() - 1));
    const std::size_t sign = t.find_last_of("+-");
    if (sign == std::string_view::npos || sign < 11) return false;
    const std::string_view offset = t.substr(sign + 1);
    return (has_form(offset, "99") || has_form(offset, "99:99")) && is_timestamp(t.substr(0, sign));
}

std::unexpected<std::string> wrong(std::string_view text, std::string_view what) {
    const std::string_view shown = text.substr(0, 80);
    return std::unexpected("'" + std::string(shown) + (shown.size() < text.size() ? "...' " : "' ") +
                           std::string(what));
}

} // namespace

std::optional<value_type> parameter_type(std::string_view name) noexcept {
    const auto found = std::ranges::find(parameter_type_names, name);
    if (found == parameter_type_names.end()) return std::nullopt;
    return types[static_cast<std::size_t>(found - parameter_type_names.begin())];
}

std::string_view parameter_type_name(value_type t) noexcept {
    const auto found = std::ranges::find(types, t);
    return found == types.end() ? "" : parameter_type_names[static_cast<std::size_t>(found - types.begin())];
}

std::expected<std::string, std::string> parameter_value(value_type type, std::string_view text) {
    if (text.contains('\0')) return wrong("", "has a zero byte in it");
    switch (type) {
    case value_type::integer:
        if (!is_number<std::int64_t>(text)) return wrong(text, "is not a whole number of 64 bits");
        return std::string(text.substr(text.starts_with('+')));
    case value_type::floating:
        if (!is_number<double>(text)) return wrong(text, "is not a number");
        return std::string(text.substr(text.starts_with('+')));
    case value_type::numeric:
        if (!is_decimal(text)) return wrong(text, "is not a decimal number such as 12.50");
        break;
    case value_type::boolean:
        if (text == "true" || text == "t" || text == "1") return "t";
        if (text == "false" || text == "f" || text == "0") return "f";
        return wrong(text, "is neither true nor false");
    case value_type::date:
        if (!has_form(text, "9999-99-99")) return wrong(text, "is not a date such as 2026-02-03");
        break;
    case value_type::time:
        if (!is_time(text)) return wrong(text, "is not a time such as 04:05:06");
        break;
    case value_type::timestamp:
        if (!is_timestamp(text)) return wrong(text, "is not a time such as 2026-02-03T04:05:06");
        break;
    case value_type::timestamptz:
        if (!is_timestamp_with_zone(text))
            return wrong(text, "is not a time with its offset such as 2026-02-03T04:05:06Z or ...+01:00");
        break;
    case value_type::uuid:
        if (!has_form(text, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"))
            return wrong(text, "is not a UUID such as 123e4567-e89b-12d3-a456-426614174000");
        break;
    default: break;
    }
    return std::string(text);
}

} // namespace headgate::gateway
