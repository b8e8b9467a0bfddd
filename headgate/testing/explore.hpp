#pragma once

#include <headgate/testing/sim.hpp>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

namespace headgate::testing {

// One run of a scenario, in which everything that is left to chance comes from one seed: the same seed gives the same
// run. It has a simulation with odd sizes and delays, and actors: coroutines that the run is about, such as clients.
class exploration {
public:
    explicit exploration(std::uint64_t s) : seed(s), chance(s * 2 + 1), sim(conditions(s)) {}

    const std::uint64_t seed;
    random_source chance;
    simulation sim;

    std::size_t below(std::size_t n) noexcept { return static_cast<std::size_t>(chance.below(n)); }
    std::size_t between(std::size_t least, std::size_t most) noexcept { return least + below(most - least + 1); }
    bool one_in(std::size_t n) noexcept { return below(n) == 0; }
    // A time up to `most`; half of the times are short.
    duration up_to(duration most) noexcept {
        const auto n = static_cast<std::size_t>(most.count());
        return duration(static_cast<duration::rep>(one_in(2) ? below(n + 1) : below(n / 50 + 1)));
    }
    // A size up to `most`; small ones and round ones are as likely as large ones.
    std::size_t size_up_to(std::size_t most) noexcept {
        std::size_t n = most;
        while (n > 1 && one_in(2)) n /= 8;
        return below(n + 1);
    }

    // The run lasts as long as any actor.
    void actor(task<> work) { actors_.spawn(std::move(work)); }
    // Something is wrong. The first one counts.
    void problem(std::string what) {
        if (problem_.empty()) problem_ = std::move(what);
    }
    const std::string& first_problem() const noexcept { return problem_; }

private:
    template <class Scenario>
    friend struct explorer;

    // Sizes and delays of the simulation: from generous to unkind.
    static simulated_options conditions(std::uint64_t seed) noexcept {
        random_source r(seed ^ 0x5bd1e995);
        simulated_options o;
        o.seed = seed == 0 ? 1 : seed;
        o.delay_max = std::chrono::microseconds(r.below(2) ? r.below(5'000) : 0);
        o.latency_to_listener = std::chrono::microseconds(r.below(2) ? r.below(20'000) : 0);
        o.latency_to_connector = std::chrono::microseconds(r.below(2) ? r.below(20'000) : 0);
        o.send_buffer = std::size_t{4096} << r.below(6);
        o.receive_buffer = std::size_t{4096} << r.below(6);
        o.events_at_once = r.below(2) ? 256 : 1 + r.below(8);
        return o;
    }

    std::string problem_;
    nursery actors_;
};

struct exploration_limits {
    duration time_max = std::chrono::hours(2); // virtual: longer, and it hangs
    duration rest = std::chrono::minutes(10);  // after the last actor, until at_rest is asked
    std::size_t turns_max = 2'000'000;
};

// What came of a run. `problem` is empty if nothing was found; else it says what, at which turn, and how to see it
// again.
struct exploration_report {
    std::uint64_t seed = 0;
    std::size_t turns = 0;
    duration elapsed{};
    std::string problem;

    bool ok() const noexcept { return problem.empty(); }
    friend std::ostream& operator<<(std::ostream& to, const exploration_report& r) {
        return to << (r.ok() ? "no problem" : r.problem) << " (HEADGATE_SEED=" << r.seed << ", " << r.turns
                  << " turns, " << std::chrono::duration_cast<std::chrono::milliseconds>(r.elapsed).count()
                  << " ms of virtual time)";
    }
};

template <class Scenario>
struct explorer {
    exploration x;
    exploration_limits limits;
    exploration_report report{};

    // One turn and the look at the invariants after it. Gives whether to go on.
    template <class World>
    bool step(World& world, bool may_wait) {
        ++report.turns;
        const std::error_code e = x.sim.home.turn(may_wait);
        if (e && e != std::errc::resource_deadlock_would_occur) x.problem("the loop fails: " + e.message());
        if (std::string wrong = world.check(); !wrong.empty()) x.problem(std::move(wrong));
        if (report.turns > limits.turns_max) x.problem("it takes too many turns");
        if (e && !x.actors_.empty()) x.problem("it hangs: nothing can ever happen any more");
        return !e && x.first_problem().empty();
    }
    template <class World>
    void run_with(World& world) {
        while (!x.actors_.empty() && step(world, true))
            if (x.sim.elapsed() > limits.time_max) x.problem("it hangs: actors are not done after all this time");
        if (!x.first_problem().empty()) return;
        timer stop;
        stop.fire = [](timer&) {};
        const time_point until = x.sim.os.now() + limits.rest;
        x.sim.home.arm_at(stop, until);
        while (stop.armed() && step(world, true)) {
        }
        if (std::string wrong = world.at_rest(); !wrong.empty()) x.problem("at rest: " + std::move(wrong));
    }
    void run(Scenario& scenario) {
        {
            auto world = scenario(x);
            run_with(*world);
            report.elapsed = x.sim.elapsed();
            x.actors_.clear();
        }
        const std::string left = x.sim.leftovers();
        if (!left.empty()) x.problem("left at the end: " + left);
        report.problem = x.first_problem();
        if (!report.ok()) report.problem += ", at turn " + std::to_string(report.turns);
    }
};

// Runs a scenario with one seed. `scenario(exploration&)` sets it up: it starts the actors and gives (by unique_ptr)
// what is under test with all that belongs to it. This has check(), asked after every turn of the loop, and at_rest(),
// asked when the actors are done and time has passed; both give what is wrong in words, or an empty string. When it is
// destroyed nothing may be left: no frame, descriptor, wait, timer or chunk byte.
template <class Scenario>
exploration_report explore(std::uint64_t seed, Scenario scenario, exploration_limits limits = {}) {
    explorer<Scenario> e{exploration(seed), limits, {}};
    e.report.seed = seed;
    e.run(scenario);
    return std::move(e.report);
}

// The seed in the environment, HEADGATE_SEED, to see one run again; 0 if there is none.
inline std::uint64_t seed_to_replay() noexcept {
    const char* text = std::getenv("HEADGATE_SEED");
    return text ? std::strtoull(text, nullptr, 0) : 0;
}

} // namespace headgate::testing
