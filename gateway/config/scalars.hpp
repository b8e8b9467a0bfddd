#pragma once

#include <expected>
#include <string>
#include <string_view>

#include <gateway/config/field.hpp>

namespace headgate::gateway {

// The value of a row whose kind is a single value. The error says what is wrong with `text` and what would be right;
// it quotes `shown` in its place.
std::expected<config_scalar, std::string> read_scalar(const config_field& field, std::string_view text,
                                                      std::string_view shown);

// The value as one would write it; "none" for a time or size without a bound, "" for one that is not there.
std::string write_scalar(const config_field& field, const config_scalar& value);

} // namespace headgate::gateway
