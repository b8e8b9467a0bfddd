#include <cstdio>

#include <fmt/format.h>

#include <gateway/config/commands.hpp>
#include <gateway/config/load.hpp>

namespace headgate::gateway {

namespace {

std::string counted(std::size_t n, const char* what) { return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s"); }

int tell(const std::vector<config_error>& errors) {
    fmt::print(stderr, "{}", format_errors(errors));
    return 1;
}

int validate(const std::string& file) {
    const auto c = load_config(file);
    if (!c) return tell(c.error());
    fmt::print("{}: ok, {}, {}, {}\n", file, counted(c->listeners.size(), "listener"),
               counted(c->routes.size(), "route"), counted(c->upstreams.size(), "upstream"));
    return 0;
}

} // namespace

config_commands::config_commands(CLI::App& app)
    : validate_(app.add_subcommand("validate", "Check a configuration file, and tell all that is wrong with it")) {
    validate_->add_option("-c,--config", file_, "The configuration file")->type_name("FILE")->required();
}

std::optional<int> config_commands::run() const {
    if (*validate_) return validate(file_);
    return std::nullopt;
}

} // namespace headgate::gateway
