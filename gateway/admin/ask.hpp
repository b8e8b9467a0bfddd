#pragma once

#include <headgate/core/task.hpp>
#include <headgate/io/address.hpp>

#include <expected>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>

// The client of a gateway's admin server, for the commands.
namespace headgate::gateway::admin {

// Where an admin server is, and what it wants to be shown.
struct target {
    address at;
    std::string token{}; // sent as a bearer token; empty: none
};

// The options that say so: --admin, -c and --token-file.
class target_options {
public:
    static constexpr std::size_t token_bytes_max = 4096;

    // Adds them to a command. This must stay where it is as long as `command` is there.
    void add(CLI::App& command);

    // Gives the exit status, and has printed why, if they lead nowhere.
    std::expected<target, int> resolve() const;

private:
    std::string address_;
    std::string file_;
    std::string token_file_;
};

struct reply {
    int status = 0;
    std::string body{};

    bool good() const noexcept { return status >= 200 && status < 300; }
};

inline constexpr std::size_t reply_bytes_max = 16 << 20;

// Sends a request without a body, on a connection of its own, and reads the whole answer. `wait` is how long the server
// may take for it without a byte. Fails if nobody is there, or it is no gateway.
task<reply> ask(target to, std::string method, std::string path, std::string accept, duration wait);

} // namespace headgate::gateway::admin
