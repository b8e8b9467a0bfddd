#pragma once

#include <headgate/core/task.hpp>

namespace headgate {

// A whole program that is one task: `int main(int argc, char** argv) { return headgate::run(work(argc, argv)); }`.
//
// Runs the task on a loop with an offload pool and gives its value, or prints the error it failed with and gives 1.
// SIGINT and SIGTERM drop the task, with all it holds, and give 128 plus the signal's number. SIGPIPE is ignored.
int run(task<int> work);

} // namespace headgate
