#pragma once

#include <headgate/core/chunk.hpp>
#include <headgate/core/task.hpp>

namespace headgate::gateway {

// The sink that writes to standard output, whatever that is: on threads of the offload pool, and never so that one is
// held up for longer than `patience` by a pipe that nobody reads. Fails with the system's error, as EPIPE.
class stdout_sink {
public:
    static constexpr duration patience = std::chrono::milliseconds(50);

    task<> write(chunk item);
    task<> finish() { co_return; }
    const char* name() const noexcept { return "stdout"; }
};

} // namespace headgate::gateway
