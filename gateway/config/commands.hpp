#pragma once

#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace headgate::gateway {

// The commands about configurations: validate, explain, schema, init; and reference, which is for the project itself.
// Their exit status: 0, 1 if the configuration is wrong or nothing can be written, 2 if the command is wrong.
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
    CLI::App* explain_;
    CLI::App* schema_;
    CLI::App* init_;
    CLI::App* reference_;
    std::string file_;
    bool without_files_ = false;
    std::string new_file_ = "headgate.yaml";
    std::string method_;
    std::string url_;
    std::vector<std::string> headers_;
};

} // namespace headgate::gateway
