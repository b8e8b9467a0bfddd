#pragma once

#include <expected>
#include <functional>
#include <optional>
#include <string>

#include <gateway/config/yaml.hpp>

namespace headgate::gateway {

// What a configuration may refer to outside itself.
struct config_surroundings {
    // The value of a variable; none if it is not set.
    std::function<std::optional<std::string>(const std::string& name)> variable;
    // The content of a file, or why it cannot be had.
    std::function<std::expected<std::string, std::string>(const std::string& path)> file;

    // The environment of the process, and its files: regular ones, of 1 MiB at most.
    static config_surroundings of_process();
};

// Puts in what the scalars of the tree refer to; keys are left alone. Because the tree is there already, a value can
// never become anything but a part of its scalar.
//
//   ${NAME}            a variable of the environment; it is an error if it is not set
//   ${NAME:-default}   the same, or `default` if it is not set or empty
//   ${file:/path}      what the file holds, without a newline at its end
//   $${                ${ itself
void interpolate(yaml_node& root, const config_surroundings& from, config_errors& errors);

// The whole file; the error says why not. No more than `most` bytes, and nothing that is not a regular file.
std::expected<std::string, std::string> read_whole_file(const std::string& path, std::size_t most);

} // namespace headgate::gateway
