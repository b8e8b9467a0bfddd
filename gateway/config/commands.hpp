#pragma once

#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace headgate::gateway {

// The commands about configurations: validate. Their exit status: 0, 1 if the configuration is wrong, 2 if the command
// is.
class config_commands {
public:
    // Adds them to the command line of `app`, which must outlive this.
    explicit config_commands(CLI::App& app);
    config_commands(const config_commands&) = delete;
    config_commands& operator=(const config_commands&) = delete;

    // Runs the one that was given. None if it was another.
    std::optional<int> run() const;

private:
    CLI::App* validate_;
    std::string file_;
};

} // namespace headgate::gateway
