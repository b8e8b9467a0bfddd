#pragma once

#include <headgate/core/abort_watch.hpp>
#include <headgate/core/outcome.hpp>
#include <headgate/core/sleep.hpp>
#include <headgate/core/stream.hpp>
#include <headgate/flow/compose.hpp>
#include <headgate/flow/meters.hpp>
#include <headgate/flow/sink.hpp>

#include <array>
#include <span>
#include <tuple>

namespace headgate {

// How a pipeline may be ended from outside, and who watches it. All may be left out.
struct pipe_options {
    abort_signal abort{};          // ends the chain with the signal's reason
    duration timeout = forever;    // for the whole chain, from its start: errc::timed_out
    duration idle = forever;       // the longest time without an item reaching the sink: errc::idle
    list_node* watchers = nullptr; // a list that the live_pipeline is linked into while the chain lives
    // Is told with the list when the chain has ended, however it did: its parts are gone, its meters are still there.
    void (*ended)(list_node& watchers, const live_pipeline&) noexcept = nullptr;
};

namespace detail {

// The parts of the chain that end it from outside, all of them waits that are taken back with the chain.
class chain_limits : timer {
public:
    chain_limits(const pipe_options& options, joint& sink) : sink_(sink), options_(options), abort_(sink) {
        timer::fire = [](timer& t) { static_cast<chain_limits&>(t).check_idle(); };
        timeout_.fire = [](timer& t) { static_cast<deadline&>(t).self->end(errc::timed_out, {}); };
    }

    void start() {
        executor& e = executor::current();
        e.arm(timeout_, options_.timeout);
        sink_.begin(e.turn_time());
        e.arm(*this, options_.idle);
        abort_.start(options_.abort);
    }

private:
    struct deadline : timer {
        chain_limits* self;
    };

    void end(std::error_code why, std::string detail) {
        sink_.of->fail({why, side::caller, sink_.stage, std::move(detail)});
    }
    // Looked at when the limit has passed since it was armed: items that moved meanwhile only left a time stamp.
    void check_idle() {
        executor& e = executor::current();
        if (e.turn_time() - sink_.moved_at >= options_.idle)
            end(errc::idle, "nothing moved");
        else
            e.arm_at(*this, sink_.moved_at + options_.idle);
    }

    joint& sink_;
    const pipe_options& options_;
    abort_watch abort_;
    deadline timeout_{{}, this};
};

template <class Sink>
task<> watch(Sink& sink, place& at) {
    const std::error_code why = co_await sink.closed();
    at.of->fail({why ? why : make_error_code(errc::premature_close), side::sink, at.stage, {}});
}

// How much a chain whose parts are always ready does before others have their turn, and with them its own limits.
inline constexpr std::size_t items_at_once_max = 256;
inline constexpr duration time_at_once_max = std::chrono::milliseconds(1);

// Pulls from the source and writes to the sink until the end. It owns both, and is destroyed sink first.
template <class T, class Sink>
task<> pump(stream<T> in, Sink sink, std::span<joint> joints, chain_limits& limits) {
    joint& out = joints.back();
    place& inside = co_await here();
    for (joint& j : joints) j.of = j.home = inside.of;
    strand watching;
    if constexpr (closable_sink<Sink>) watching.start(watch(sink, out), out);
    limits.start();
    std::size_t at_once = 0;
    while (auto item = co_await in.next()) {
        const std::size_t bytes = item_bytes(*item);
        out.begin_pull();
        co_await at_place(sink.write(std::move(*item)), out);
        out.end_pull(bytes);
        if (++at_once < items_at_once_max && out.moved_at + time_at_once_max > out.looked_at()) continue;
        at_once = 0;
        co_await next_turn();
    }
    out.begin_pull();
    co_await at_place(sink.finish(), out);
    out.end();
}

template <class Stage>
inline constexpr std::size_t stage_count = 1;
template <class... Stages>
inline constexpr std::size_t stage_count<composed<Stages...>> = (std::size_t{0} + ... + stage_count<Stages>);

template <class Part>
const char* part_name(const Part& part, const char* otherwise) noexcept {
    if constexpr (requires {
                      { part.name() } -> std::convertible_to<const char*>;
                  })
        return part.name();
    else
        return otherwise;
}

// Wires stage by stage, with a joint behind each; `j` is the joint of the stage that is wired next.
template <class T>
stream<T> wire(stream<T> in, joint*&) {
    return in;
}
template <class T, class... Inside, class... Rest>
auto wire(stream<T> in, joint*& j, const composed<Inside...>& first, const Rest&... rest);
template <class T, class First, class... Rest>
auto wire(stream<T> in, joint*& j, const First& first, const Rest&... rest) {
    j->name = part_name(first, "stage");
    j->where = side::stage;
    auto out = first(std::move(in));
    out.meter(*j++);
    return wire(std::move(out), j, rest...);
}
template <class T, class... Inside, class... Rest>
auto wire(stream<T> in, joint*& j, const composed<Inside...>& first, const Rest&... rest) {
    return std::apply([&](const auto&... stage) { return wire(std::move(in), j, stage..., rest...); }, first.stages);
}

// A source is a stream, or what a stream can be made of: `into_stream()`.
template <class T>
stream<T> as_stream(stream<T> s) {
    return s;
}
template <class Source>
    requires requires(Source s) { std::move(s).into_stream(); }
auto as_stream(Source s) {
    return std::move(s).into_stream();
}

} // namespace detail

// What moves bytes from a source to a sink faster than through chunks: see io/relay.hpp. A source and a sink that have
// one declare `task<> relay(Source, Sink&, joint& out, chain_limits&)` for argument-dependent lookup.
template <class Source, class Sink>
concept relayable = requires(Source source, Sink sink, joint& out, detail::chain_limits& limits) {
    { relay(std::move(source), std::move(sink), out, limits) } -> std::same_as<task<>>;
};

// Moves everything from the source through the stages to the sink: `co_await pipeline(options, source, stages...,
// sink)`.
//
// Gives what was moved, or the one error that ended the chain: its first cause, from a source, a stage, the sink (which
// it watches also while the source is silent), the abort signal or a limit of the options. When it returns, all parts
// have been destroyed, from the sink back to the source, with all they held; and so they are when the task is dropped.
// After the first failure the source never runs again. Parts are taken by value: whatever goes wrong while wiring, they
// are released.
template <class... Parts>
task<outcome> pipeline(pipe_options options, Parts... parts) {
    static_assert(sizeof...(Parts) >= 2, "a pipeline has a source and a sink");
    constexpr std::size_t last = sizeof...(Parts) - 1;
    constexpr std::size_t joint_count = (std::size_t{0} + ... + detail::stage_count<Parts>);

    std::array<joint, joint_count> joints;
    for (std::size_t i = 0; i < joint_count; ++i) joints[i].stage = static_cast<std::uint16_t>(i);
    joint& out = joints.back();
    out.where = side::sink;
    live_pipeline live;
    live.joints = joints;
    live.started = executor::current().turn_time();
    if (options.watchers) live.watch(*options.watchers, options.ended);
    detail::chain_limits limits(options, out);

    std::optional<std::tuple<Parts...>> wiring_parts(std::in_place, std::move(parts)...);
    auto& source = std::get<0>(*wiring_parts);
    auto& sink = std::get<last>(*wiring_parts);
    out.name = detail::part_name(sink, "sink");
    joints[0].where = side::source;
    joints[0].name = detail::part_name(source, "source");
    if (options.abort.aborted()) {
        wiring_parts.reset();
        co_return std::unexpected(flow_error{options.abort.reason(), side::caller, 0, {}});
    }

    task<> chain;
    joint* wiring = joints.data();
    std::exception_ptr thrown;
    try {
        using source_type = std::remove_reference_t<decltype(source)>;
        using sink_type = std::remove_reference_t<decltype(sink)>;
        if constexpr (sizeof...(Parts) == 2 && relayable<source_type, sink_type>) {
            chain = relay(std::move(source), std::move(sink), out, limits);
        } else {
            auto in = detail::as_stream(std::move(source));
            in.meter(*wiring++);
            auto wired = [&]<std::size_t... I>(std::index_sequence<I...>) {
                return detail::wire(std::move(in), wiring, std::get<I + 1>(*wiring_parts)...);
            }(std::make_index_sequence<last - 1>());
            chain = detail::pump(std::move(wired), std::move(sink), std::span<joint>(joints), limits);
        }
    } catch (...) {
        thrown = std::current_exception();
    }
    wiring_parts.reset();
    if (thrown) {
        co_return std::unexpected(error_of(thrown, *wiring));
    }
    auto end = co_await attempt(std::move(chain));
    if (!end) co_return std::unexpected(std::move(end.error()));
    co_return transfer{out.items, out.bytes, executor::current().now() - live.started};
}

// The same, with no limits from outside.
template <class... Parts>
    requires(!std::same_as<std::tuple_element_t<0, std::tuple<Parts...>>, pipe_options>)
task<outcome> pipeline(Parts... parts) {
    return pipeline(pipe_options{}, std::move(parts)...);
}

} // namespace headgate
