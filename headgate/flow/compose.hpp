#pragma once

#include <headgate/core/stream.hpp>

#include <tuple>
#include <utility>

namespace headgate {

// A stage is anything callable that takes a stream by value and gives a stream. It is called when a pipeline is wired;
// what it must remember from one item to the next lives in the coroutine it starts, so a stage can be used any number
// of times.
template <class Stage, class In>
using stage_output = std::invoke_result_t<const Stage&, stream<In>>;

// Stages packaged as one: see compose().
template <class... Stages>
struct composed {
    std::tuple<Stages...> stages;

    template <class In>
    auto operator()(stream<In> in) const {
        return std::apply([&](const auto&... stage) { return through(std::move(in), stage...); }, stages);
    }

private:
    template <class In>
    static stream<In> through(stream<In> in) {
        return in;
    }
    template <class In, class First, class... Rest>
    static auto through(stream<In> in, const First& first, const Rest&... rest) {
        return through(first(std::move(in)), rest...);
    }
};

// A stage made of stages: `const auto csv_gz = compose(&format_csv, gzip());`. A recipe: copyable, usable in any
// pipeline, any number of times. A pipeline shows the stages inside of it one by one.
template <class... Stages>
composed<Stages...> compose(Stages... stages) {
    return {{std::move(stages)...}};
}

} // namespace headgate
