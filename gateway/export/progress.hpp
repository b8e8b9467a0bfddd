#pragma once

#include <headgate/core/outcome.hpp>
#include <headgate/core/task.hpp>
#include <headgate/flow/meters.hpp>

#include <cstdint>

namespace headgate::gateway {

// The line on standard error that shows how far an export is:
//
//     1,234,567 rows  88.2 MiB  41.0 MiB/s  ratio 5.2  00:02  limited by query
//
// written over itself four times a second, and for the last time when the export has ended.
class export_progress {
public:
    // `pipelines` is the list that the pipeline is linked into (pipe_options::watchers), null to show nothing.
    export_progress(const list_node* pipelines, const std::uint64_t* rows) noexcept
        : pipelines_(pipelines), rows_(rows) {}

    // Shows how far it is now.
    void show_now();
    // Writes what it came to, and ends the line.
    void last(const outcome& end);
    bool off() const noexcept { return !pipelines_; }

private:
    void write(std::uint64_t bytes, double ratio, duration elapsed, const char* limit);

    const list_node* pipelines_;
    const std::uint64_t* rows_;
    double ratio_ = 0; // as it was when it was last looked at
    bool written_ = false;
};

// Shows it again and again, and never ends.
task<> show(export_progress* progress);

} // namespace headgate::gateway
