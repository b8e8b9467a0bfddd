#pragma once

#include <optional>
#include <string>

#include <CLI/CLI.hpp>
#include <gateway/admin/ask.hpp>
#include <gateway/options.hpp>
#include <gateway/top/query.hpp>

namespace headgate::gateway::top {

// The commands that look at a gateway that runs: top, flows and status. Their exit status: 0; 1 if the gateway cannot
// be reached or has refused; 2 if the command is wrong; 3 from flows if no flow fits, from status if the gateway is not
// ready.
class commands {
public:
    // Adds them to the command line of `app`, which must outlive this.
    explicit commands(CLI::App& app);
    commands(const commands&) = delete;
    commands& operator=(const commands&) = delete;

    // Runs the one that was given. None if it was another.
    std::optional<int> run() const;

private:
    CLI::App* top_;
    CLI::App* flows_;
    CLI::App* status_;
    admin::target_options where_;
    flow_query which_;
    duration stalled_ = duration::zero(); // only flows that have been for so long
    bool json_ = false;
};

} // namespace headgate::gateway::top
