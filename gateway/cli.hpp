#pragma once

namespace headgate::gateway {

// The command line. Returns the exit status: 0, 1 if the service could not run, 2 if the command line is wrong.
int run_command_line(int argc, char** argv);

} // namespace headgate::gateway
