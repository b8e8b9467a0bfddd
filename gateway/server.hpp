#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gateway/inheritance.hpp>
#include <gateway/snapshot.hpp>

namespace headgate::gateway {

// What a server serves, and where it gets it from.
struct server_source {
    std::shared_ptr<const snapshot> first;
    // Reads the configuration again, for SIGHUP; is given what is served now. The error is for people, and may have
    // several lines. Null: the configuration does not change.
    std::function<std::expected<std::shared_ptr<const snapshot>, std::string>(const snapshot&)> again = nullptr;
    // What is said of it when it is ready: "forwarding to ...".
    std::string about{};
    // The command line, to start the program again when it is to be replaced.
    std::vector<std::string> arguments{};
    inheritance given{};
};

// Runs workers, each on a thread of its own with its own listeners on the same ports (SO_REUSEPORT), until SIGTERM or
// SIGINT: then they stop accepting, requests end until the drain timeout, and what is left is aborted. A second signal
// aborts at once. SIGUSR1 prints what is alive. SIGHUP reads the configuration again: if all of it is good it is served
// from then on, and what began before goes on as it began; otherwise nothing changes. Files of TLS that change are read
// again by themselves, with all others, under the same rule. Returns the exit status; what cannot be set up is reported
// on standard error.
int run_server(server_source from);

} // namespace headgate::gateway
