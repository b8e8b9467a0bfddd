#pragma once

#include <headgate/tabular/columns.hpp>

#include <array>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace headgate::gateway {

// The types that a parameter of a query may have: text, integer, floating, numeric, boolean, date, time, timestamp,
// timestamptz, uuid, json.
inline constexpr std::array<std::string_view, 11> parameter_type_names{
    "text", "integer", "floating", "numeric", "boolean", "date", "time", "timestamp", "timestamptz", "uuid", "json"};
std::optional<value_type> parameter_type(std::string_view name) noexcept;
std::string_view parameter_type_name(value_type t) noexcept;

// The value of a parameter from what a person or a client wrote, in the form that db::parameter wants. The error says
// what would be right: "'x' is not a whole number". Whether there is such a day is the database's to say.
std::expected<std::string, std::string> parameter_value(value_type type, std::string_view text);

} // namespace headgate::gateway
