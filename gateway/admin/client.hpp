#pragma once

#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <gateway/admin/ask.hpp>

namespace headgate::gateway::admin {

// The commands that speak to a gateway that runs: reload, upgrade, drain and dump. Their exit status: 0, 1 if the
// gateway cannot be reached or has refused, 2 if the command is wrong.
class commands {
public:
    // Adds them to the command line of `app`, which must outlive this.
    explicit commands(CLI::App& app);
    commands(const commands&) = delete;
    commands& operator=(const commands&) = delete;

    // Runs the one that was given. None if it was another.
    std::optional<int> run() const;

private:
    struct command {
        CLI::App* app;
        const char* method;
        const char* path;
        int wait_seconds; // for the answer
    };

    std::vector<command> all_;
    target_options where_;
    std::string output_;
};

} // namespace headgate::gateway::admin
