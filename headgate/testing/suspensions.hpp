#pragma once

#include <headgate/testing/trial.hpp>

#include <chrono>
#include <optional>
#include <ostream>

namespace headgate::testing {

struct suspension_options {
    simulated_options simulated{};
    std::size_t points_max = 20'000; // more is a problem: the flow does not end
    std::size_t stride = 1;          // try only every n-th point: for long flows
    bool names_cause = true; // the flow gives the outcome of its pipeline as it is; false if it recovers or translates
};

struct suspension_report {
    std::size_t points = 0;            // at which the loop has control
    std::size_t frames = 0;            // that the flow asks for
    std::size_t runs = 0;              // in all
    std::vector<std::string> problems; // "source fails at point 12 of 40: ..."; at most 20

    bool ok() const noexcept { return problems.empty(); }
    friend std::ostream& operator<<(std::ostream& to, const suspension_report& r) {
        to << r.points << " points, " << r.runs << " runs";
        for (const std::string& p : r.problems) to << "\n  " << p;
        return to;
    }
};

template <class Make>
struct suspension_runner {
    Make& make;
    const suspension_options& options;
    suspension_report report{};
    std::set<fault> used{};
    std::vector<std::string> specials{};
    std::set<duration> times{}; // of the points, since the beginning

    // Where a fault strikes: at a point of the loop; a deadline at a time, a refused frame at its number.
    struct strike {
        fault what = fault::none;
        std::size_t at = 0;
        duration after = forever;
        std::size_t special = 0;
    };

    struct run_state {
        std::optional<outcome> end;
        bool thrown = false;
    };
    static task<> keep(task<outcome> flow, run_state* to) { to->end.emplace(co_await std::move(flow)); }
    static void note(void* to, const flow_error& e) { static_cast<run_state*>(to)->end.emplace(std::unexpected(e)); }

    void run_all() {
        if (!one({}) || !report.problems.empty()) return;
        for (const fault f :
             {fault::dropped, fault::aborted, fault::source_fails, fault::stage_throws, fault::sink_gone})
            if (f == fault::dropped || used.contains(f))
                for (std::size_t p = 0; p < report.points; p += options.stride) one({.what = f, .at = p});
        for (std::size_t s = 0; s < specials.size(); ++s)
            for (std::size_t p = 0; p < report.points; p += options.stride)
                one({.what = fault::special, .at = p, .special = s});
        if (used.contains(fault::timed_out))
            for (const duration d : times) one({.what = fault::timed_out, .after = d});
        for (std::size_t n = 0; n < report.frames; ++n) one({.what = fault::no_frame, .at = n});
    }

    // Runs the flow once. Gives whether it came to its end.
    bool one(const strike& s) {
        ++report.runs;
        simulated_options o = options.simulated;
        o.events_at_once = 1;
        simulation sim(o);
        sim.home.step_by_step(true);
        trial t(sim);
        t.timeout_ = s.after;
        run_state state;
        nursery owner;
        fail_frame_allocation_after(s.what == fault::no_frame ? s.at : SIZE_MAX - 1);
        try {
            owner.spawn(keep(make(t), &state), &note, &state);
        } catch (const std::bad_alloc&) {
            state.thrown = true;
        }
        std::size_t point = 0;
        std::size_t produced = SIZE_MAX; // when the fault struck
        while (!owner.empty()) {
            if (s.what == fault::none) times.insert(sim.elapsed());
            if (point == s.at && strike_now(s, t, owner)) produced = t.produced_;
            if (owner.empty() || ++point > options.points_max) break;
            if (const std::error_code e = sim.home.turn(); e && !owner.empty()) {
                problem(s, "it hangs: " + e.message());
                break;
            }
        }
        const std::size_t frames = allow_frame_allocations();
        if (point > options.points_max) problem(s, "it does not end");
        const bool ended = owner.empty();
        owner.clear();
        if (s.what == fault::none && ended) {
            report.points = point;
            report.frames = frames;
            used = t.used_;
            for (const auto& special : t.specials_) specials.emplace_back(special.name);
            if (!state.end || !*state.end)
                problem(s, "without a fault it fails: " + (state.end ? state.end->error().message() : ""));
        }
        judge(s, sim, t, state, produced);
        return ended;
    }

    // Gives whether the fault has struck with certainty.
    bool strike_now(const strike& s, trial& t, nursery& owner) {
        switch (s.what) {
        case fault::dropped: return owner.clear(), true;
        case fault::aborted: return t.abort_.abort(), false;
        case fault::source_fails: return strike_part(t, t.source_);
        case fault::stage_throws: return strike_part(t, t.stage_);
        case fault::sink_gone: return strike_part(t, t.sink_);
        case fault::special: return t.specials_[s.special].strike(), false;
        default: return false;
        }
    }
    // The part is told, at once, if it is there.
    static bool strike_part(trial& t, abort_source& part) {
        part.abort();
        for (int i = 0; i < 3 && !t.struck_; ++i) static_cast<void>(t.sim.home.turn(false));
        return t.struck_;
    }

    void judge(const strike& s, simulation& sim, trial& t, const run_state& state, std::size_t produced) {
        // Everything of the flow is gone at once; what is left is known, and goes now.
        t.world_.clear();
        const std::string leaked = sim.leftovers_beside(t.ends_.size());
        if (!leaked.empty()) problem(s, "left: " + leaked);
        if (sim.home.remote_away() != 0) problem(s, "left: a blocking call");
        if (produced != SIZE_MAX && t.produced_ > produced)
            problem(s, std::to_string(t.produced_ - produced) + " items were produced after it");
        for (auto& end : t.ends_)
            if (!sim.run(std::move(end))) problem(s, "a stream's end was not told");
        for (const auto& question : t.checks_)
            if (std::string answer = question(); !answer.empty()) problem(s, answer);
        if (options.names_cause && s.what != fault::dropped && s.what != fault::special) judge_cause(s, t, state);
    }

    // A fault that came too late has done nothing. One that has struck is what the flow says it ended for.
    void judge_cause(const strike& s, const trial& t, const run_state& state) {
        if (s.what == fault::no_frame && state.thrown) return;
        if (!state.end) return problem(s, "it gave no outcome");
        if (*state.end) {
            if (t.struck_ || s.what == fault::no_frame) problem(s, "it says that all went well");
            return;
        }
        const flow_error& e = state.end->error();
        const auto is = [&](std::error_code code, side where) { return e.code == code && e.where == where; };
        bool right = false;
        switch (s.what) {
        case fault::aborted: right = is(errc::aborted, side::caller); break;
        case fault::timed_out: right = is(errc::timed_out, side::caller); break;
        case fault::source_fails: right = is(std::make_error_code(std::errc::io_error), side::source); break;
        case fault::stage_throws: right = is(errc::failed, side::stage) && e.detail == "thrown by the test"; break;
        case fault::sink_gone: right = is(std::make_error_code(std::errc::connection_reset), side::sink); break;
        case fault::no_frame: right = e.code == std::errc::not_enough_memory; break;
        default: break;
        }
        if (!right) problem(s, "it names another cause: " + e.message());
    }

    void problem(const strike& s, const std::string& what) {
        if (report.problems.size() >= 20) return;
        std::string where = s.what == fault::special ? specials[s.special] : to_string(s.what);
        if (s.what == fault::no_frame)
            where += " (number " + std::to_string(s.at) + " of " + std::to_string(report.frames) + ")";
        else if (s.what == fault::timed_out)
            where += " after " +
                     std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(s.after).count()) + " us";
        else if (s.what != fault::none)
            where += " at point " + std::to_string(s.at) + " of " + std::to_string(report.points);
        report.problems.push_back(where + ": " + what);
    }
};

// Runs a flow, which `make(trial&)` makes afresh as a task<outcome> each time, in a simulation: once to the end, to
// count the points at which the loop has control; then again for each of these points and each fault, which strikes
// there; and for each coroutine frame, which is refused. After each run nothing of the flow may be left: no frame,
// registered wait, timer, descriptor or chunk byte, and no blocking call; no item was produced after the fault; each
// stream watched with trial::finished has told its end; and the outcome names the fault.
//
//     const auto report = at_every_suspension([](trial& t) {
//         return pipeline({.abort = t.abort(), .timeout = t.timeout()}, t.source(rows(10)), gzip(), t.stage(),
//         t.sink(some_sink()));
//     });
//     EXPECT_TRUE(report.ok()) << report;
template <class Make>
suspension_report at_every_suspension(Make make, const suspension_options& options = {}) {
    suspension_runner<Make> runner{.make = make, .options = options};
    runner.run_all();
    return std::move(runner.report);
}

} // namespace headgate::testing
