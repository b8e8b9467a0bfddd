#pragma once

#include <headgate/core/abort.hpp>
#include <headgate/core/task.hpp>
#include <headgate/core/timer.hpp>

// Waits as tasks, for all() and race().
namespace headgate {

task<> wait_for(duration d);
task<> wait_for(abort_signal s); // until it is set

} // namespace headgate
