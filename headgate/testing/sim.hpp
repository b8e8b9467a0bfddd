#pragma once

#include <headgate/core/nursery.hpp>
#include <headgate/io/loop.hpp>
#include <headgate/io/simulated_kernel.hpp>
#include <headgate/testing/live_counts.hpp>

#include <string>
#include <utility>

namespace headgate::testing {

// A loop over a simulated kernel: everything that is written for a loop runs in it unchanged, in memory and in virtual
// time, and the same way every time. It is the thread's loop as long as it lives. For GoogleTest see
// testing/fixture.hpp.
class simulation {
public:
    explicit simulation(simulated_options o = {})
        : os(o), home(os), before_(live_counts::now(&home)), began_(os.now()) {}
    simulation(const simulation&) = delete;
    simulation& operator=(const simulation&) = delete;

    simulated_kernel os;
    loop home;

    // Runs a task to its end. When nothing can ever happen any more it ends with EDEADLK.
    template <class T>
    std::expected<T, flow_error> run(task<T> work) {
        return home.run(std::move(work));
    }

    // Lets everything happen that happens within `d` from now, also the work of nurseries.
    void advance(duration d) {
        const time_point until = os.now() + d;
        timer stop;
        stop.fire = [](timer&) {};
        home.arm_at(stop, until);
        while (os.now() < until && !home.turn()) {
        }
        static_cast<void>(home.turn(false)); // what happens at that moment
    }

    // How much virtual time has passed since the beginning.
    duration elapsed() const noexcept { return os.now() - began_; }

    // What is alive that was not when the simulation began, with the open descriptors by name; empty if nothing is.
    std::string leftovers() const { return leftovers_beside(0); }
    // The same, where `frames` coroutine frames are known to be left.
    std::string leftovers_beside(std::size_t frames) const {
        live_counts before = before_;
        before.frames += frames;
        std::string out = live_counts::now(&home).difference(before);
        for (const open_descriptor& d : os.open_descriptors())
            out += (out.empty() ? "" : ", ") + ("descriptor " + std::to_string(d.fd) + " (" + d.what + ")");
        return out;
    }

private:
    live_counts before_;
    time_point began_;
};

// What drop_at_every_turn found.
struct drop_report {
    std::size_t turns = 0; // how many turns of the loop the work took
    std::string problem;   // the first one, with the turn; empty if there was none
};

// Runs `make(simulation&)`, a task<>, again and again: each time for one turn more, and then drops it. Right after each
// drop nothing of it may be alive: no frame, descriptor, wait, timer or byte. Ends when the work ends by itself, or
// after `turns_max`. What the work uses besides must live in the task or outside of the simulation.
template <class Make>
drop_report drop_at_every_turn(Make make, simulated_options o = {}, std::size_t turns_max = 10'000) {
    drop_report report;
    o.events_at_once = 1;
    for (bool ended = false; !ended && report.problem.empty(); ++report.turns) {
        simulation sim(o);
        nursery roots;
        roots.spawn(make(sim));
        for (std::size_t i = 0; i < report.turns && !roots.empty(); ++i)
            if (const std::error_code e = sim.home.turn()) report.problem = "stuck: " + e.message();
        ended = roots.empty();
        roots.clear();
        const std::string left = sim.leftovers();
        if (!left.empty()) report.problem = "dropped after " + std::to_string(report.turns) + " turns, left: " + left;
        if (report.turns == turns_max && !ended) report.problem = "did not end";
    }
    return report;
}

} // namespace headgate::testing
