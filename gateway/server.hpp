#pragma once

#include <functional>
#include <memory>
#include <string>

#include <gateway/worker.hpp>

namespace headgate::gateway {

// Makes the service of one worker. Called on the worker's thread.
using make_service = std::function<std::unique_ptr<service>(worker&)>;

// Runs workers, each on a thread of its own with its own listener on the same port (SO_REUSEPORT), until SIGTERM or
// SIGINT: then they stop accepting, requests end until the drain timeout, and what is left is aborted. A second signal
// aborts at once. SIGUSR1 prints what is alive. Returns the exit status; what cannot be set up is reported on standard
// error.
//
// `forwarding_to` is for the line that says that it is ready.
int run_server(const server_options& o, const make_service& make, const std::string& forwarding_to);

} // namespace headgate::gateway
