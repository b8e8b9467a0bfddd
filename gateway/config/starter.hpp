#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace headgate::gateway {

// A small configuration with comments, to begin with. It is valid.
std::string_view starter_config();

// Writes it to a new file. The error says why not; a file that is there is left alone.
std::expected<void, std::string> write_starter_config(const std::string& path);

} // namespace headgate::gateway
