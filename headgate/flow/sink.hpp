#pragma once

#include <headgate/core/task.hpp>

#include <concepts>
#include <string_view>

namespace headgate {

// Where a chain ends. `write(item)` completes when there is room for more. `finish()` is the only success: a sink that
// is destroyed without it must make its end visible as a failure (a file is removed, a socket reset). Both are tasks
// that fail the flow when they cannot do it.
//
// Optional: `closed()`, a task that ends, with the reason, when the sink has gone away while nobody writes. A pipeline
// watches it.
template <class Sink, class T>
concept sink_of = std::move_constructible<Sink> && requires(Sink& s, T item) {
    { s.write(std::move(item)) } -> std::same_as<task<>>;
    { s.finish() } -> std::same_as<task<>>;
};

template <class Sink>
concept closable_sink = requires(Sink& s) {
    { s.closed() } -> std::same_as<task<std::error_code>>;
};

} // namespace headgate
