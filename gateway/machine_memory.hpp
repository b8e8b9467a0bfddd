#pragma once

#include <cstddef>

namespace headgate::gateway {

// How many bytes of memory this process may have: those of the machine, of its control group (cgroup v1 or v2) and of
// those around it, or of RLIMIT_AS, whichever is least. Reads files under /proc and /sys.
std::size_t machine_memory();

} // namespace headgate::gateway
