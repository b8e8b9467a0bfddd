#pragma once

#include <headgate/testing/sim.hpp>

#include <optional>
#include <stdexcept>

#include <gtest/gtest.h>

namespace headgate::testing {

// For GoogleTest: a test with a simulation, `sim`. It fails if its work fails or can never end, or if anything is alive
// at the end that was not at the beginning: frames, descriptors, waits, timers, chunk bytes. On failure the seed is
// printed.
class simulated_test : public ::testing::Test {
public:
    // Begins anew with other options; for the first line of a test.
    void restart(simulated_options o) {
        sim_.reset();
        sim_.emplace(o);
        seed_ = o.seed;
    }

protected:
    simulated_test() { sim_.emplace(); }
    ~simulated_test() override {
        const std::string left = sim_->leftovers();
        EXPECT_TRUE(left.empty()) << "left over at the end of the test: " << left;
        if (HasFailure() && seed_ != 0) std::printf("seed of the simulation: %llu\n", seed_);
    }

    simulation& sim() noexcept { return *sim_; }

    // Runs a task to its end and gives its value. Throws, which fails the test, if the task fails.
    template <class T>
    T run(task<T> work) {
        auto end = sim_->run(std::move(work));
        if (!end) throw std::runtime_error(end.error().message() + " (seed " + std::to_string(seed_) + ")");
        if constexpr (!std::is_void_v<T>) return std::move(*end);
    }
    // Runs a task that may fail.
    template <class T>
    std::expected<T, flow_error> try_run(task<T> work) {
        return sim_->run(std::move(work));
    }

private:
    std::optional<simulation> sim_;
    unsigned long long seed_ = 0;
};

} // namespace headgate::testing
