#pragma once

#include <headgate/core/nursery.hpp>
#include <headgate/flow/finished.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/testing/sim.hpp>

#include <cstdint>
#include <functional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace headgate::testing {

// What at_every_suspension does to a flow.
enum class fault : std::uint8_t {
    none,         // nothing: the run that counts
    dropped,      // its owner destroys it
    aborted,      // its abort signal fires
    timed_out,    // its deadline passes
    source_fails, // with EIO
    stage_throws, // std::runtime_error
    sink_gone,    // with ECONNRESET
    no_frame,     // the memory for one coroutine frame is refused
    special,      // one of those that the flow has added itself
};
inline const char* to_string(fault f) noexcept {
    constexpr const char* names[] = {"none",         "dropped",   "aborted",  "timed out", "source fails",
                                     "stage throws", "sink gone", "no frame", "special"};
    return names[static_cast<std::size_t>(f)];
}

// One run of a flow under at_every_suspension: what its maker wires the flow with, so that faults reach it and the run
// can be judged. A fault whose part the flow does not use is left out. Outlives the flow.
class trial {
public:
    explicit trial(simulation& s) : sim(s) {}
    trial(const trial&) = delete;
    trial& operator=(const trial&) = delete;

    simulation& sim;

    // For pipe_options. The deadline counts from the moment it is asked for: call it where the flow is made.
    abort_signal abort() { return uses(fault::aborted), abort_.signal(); }
    duration timeout() { return uses(fault::timed_out), timeout_; }

    // Parts of the chain that can be told to fail at any moment, also while nobody resumes them: the source itself,
    // which counts what it produces; a stage; the sink.
    template <class T>
    stream<T> source(stream<T> in) {
        return failing_source(std::move(in), this, (uses(fault::source_fails), source_.signal()));
    }
    struct throwing_stage;
    throwing_stage stage();
    template <class Sink>
    struct leaving_sink;
    template <class Sink>
    leaving_sink<Sink> sink(Sink s);

    // A stream whose end is counted: it must be told exactly once, whatever happens.
    template <class T>
    stream<T> finished(stream<T> in) {
        auto [out, end] = headgate::finished(std::move(in));
        ends_.push_back(std::move(end));
        return std::move(out);
    }

    // Work that is the flow's surroundings and not part of it: clients, servers. It goes on when the flow is dropped.
    void beside(task<> work) { world_.spawn(std::move(work)); }
    // A fault of the flow's own: for example, that a client resets its connection.
    void special(const char* name, std::function<void()> strike) { specials_.push_back({name, std::move(strike)}); }
    // Another question to be asked at the end of each run; its answer is a problem, or empty. It must not hold
    // anything.
    void check(std::function<std::string()> question) { checks_.push_back(std::move(question)); }

private:
    template <class Make>
    friend struct suspension_runner;
    struct special_fault {
        const char* name;
        std::function<void()> strike;
    };

    void uses(fault f) { used_.insert(f); }

    static task<> fail_when(abort_signal told, trial* t, std::error_code code) {
        co_await told.wait();
        t->struck_ = true;
        co_await fail(code);
    }
    static task<> throw_when(abort_signal told, trial* t) {
        co_await told.wait();
        t->struck_ = true;
        throw std::runtime_error("thrown by the test");
    }
    static task<std::error_code> gone(abort_signal told, trial* t) {
        co_await told.wait();
        t->struck_ = true;
        co_return std::make_error_code(std::errc::connection_reset);
    }
    template <class T>
    static stream<T> failing_source(stream<T> in, trial* t, abort_signal told) {
        strand watching;
        watching.start(fail_when(std::move(told), t, std::make_error_code(std::errc::io_error)), co_await here());
        while (auto item = co_await in.next()) {
            ++t->produced_;
            co_yield std::move(*item);
        }
    }
    template <class T>
    static stream<T> throwing(stream<T> in, trial* t, abort_signal told) {
        strand watching;
        watching.start(throw_when(std::move(told), t), co_await here());
        while (auto item = co_await in.next()) co_yield std::move(*item);
    }

    std::set<fault> used_;
    duration timeout_ = forever;
    abort_source abort_;
    abort_source source_;
    abort_source stage_;
    abort_source sink_;
    bool struck_ = false; // a part has been told, and was there to be
    std::size_t produced_ = 0;
    std::vector<task<outcome>> ends_;
    std::vector<special_fault> specials_;
    std::vector<std::function<std::string()>> checks_;
    nursery world_;
};

struct trial::throwing_stage {
    trial* t;
    abort_signal told;

    template <class T>
    stream<T> operator()(stream<T> in) const {
        return throwing(std::move(in), t, told);
    }
    const char* name() const noexcept { return "throwing stage"; }
};
inline trial::throwing_stage trial::stage() { return uses(fault::stage_throws), throwing_stage{this, stage_.signal()}; }

template <class Sink>
struct trial::leaving_sink {
    Sink to;
    trial* t;
    abort_signal told;

    template <class T>
    task<> write(T item) {
        return to.write(std::move(item));
    }
    task<> finish() { return to.finish(); }
    task<std::error_code> closed() { return gone(told, t); }
    const char* name() const noexcept { return "leaving sink"; }
};
template <class Sink>
trial::leaving_sink<Sink> trial::sink(Sink s) {
    return uses(fault::sink_gone), leaving_sink<Sink>{std::move(s), this, sink_.signal()};
}

} // namespace headgate::testing
