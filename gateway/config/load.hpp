#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include <gateway/config.hpp>
#include <gateway/config/decode.hpp>
#include <gateway/config/error.hpp>
#include <gateway/config/interpolate.hpp>

namespace headgate::gateway {

// A configuration with what is known about its file.
struct loaded_config {
    config value{};
    config_places places{};
    std::string text{}; // for what is found wrong with it later
};

// Reads a configuration file. It is complete and right, or all that is wrong with it is told.
std::expected<config, std::vector<config_error>> load_config(const std::string& path);

// The same, with the places of its values.
std::expected<loaded_config, std::vector<config_error>> load_config_with_places(const std::string& path);

// The same from text; `file` is what errors call it.
std::expected<loaded_config, std::vector<config_error>> read_config(std::string_view text, std::string_view file,
                                                                    const config_surroundings& from);

} // namespace headgate::gateway
