#pragma once

#include <headgate/core/task.hpp>

#include <string>

#include <gateway/admin/ask.hpp>

namespace headgate::gateway::top {

// `headgate top`: shows the live flows on this terminal until it is told to quit. Gives the exit status.
task<int> run_top(admin::target where, std::string filter);

} // namespace headgate::gateway::top
