#include <chrono>
#include <cstdio>
#include <fstream>
#include <random>
#include <sstream>
#include <utility>

#include <gtest/gtest.h>

#include <simulation/scenarios.hpp>

// The gateway's coroutines in the simulation: every seed that has ever found something, and fresh ones, another each
// time.
namespace headgate::simulation_test {
namespace {

using explore_one = testing::exploration_report (*)(std::uint64_t seed);

std::vector<std::uint64_t> seeds_that_failed(const std::string& scenario) {
    std::vector<std::uint64_t> seeds;
    std::ifstream in(HEADGATE_SEEDS);
    for (std::string line; std::getline(in, line);) {
        std::istringstream words(line.substr(0, line.find('#')));
        std::string name;
        std::uint64_t seed = 0;
        if (words >> name >> seed && name == scenario) seeds.push_back(seed);
    }
    return seeds;
}

void explore_for(explore_one one, const std::string& scenario, std::chrono::milliseconds time) {
    if (const std::uint64_t seed = testing::seed_to_replay()) {
        const auto report = one(seed);
        EXPECT_TRUE(report.ok()) << report;
        return;
    }
    for (const std::uint64_t seed : seeds_that_failed(scenario)) {
        const auto report = one(seed);
        EXPECT_TRUE(report.ok()) << report;
    }
    const auto end = std::chrono::steady_clock::now() + time;
    std::random_device fresh;
    int runs = 0;
    for (; runs < 100 && std::chrono::steady_clock::now() < end; ++runs) {
        const auto report = one(fresh());
        ASSERT_TRUE(report.ok()) << report;
    }
    std::printf("%d fresh seeds\n", runs);
    EXPECT_GT(runs, 0);
}

TEST(simulation_test, Tunnel) { explore_for(&explore_tunnel, "tunnel", std::chrono::milliseconds(1500)); }

TEST(simulation_test, Proxy) { explore_for(&explore_proxy, "proxy", std::chrono::milliseconds(2500)); }

void same_seed_same_run(explore_one one) {
    const auto first = one(4711);
    const auto second = one(4711);
    EXPECT_EQ(first.turns, second.turns);
    EXPECT_EQ(first.elapsed, second.elapsed);
    EXPECT_EQ(first.problem, second.problem);
    EXPECT_NE(one(4712).elapsed, first.elapsed);
}

TEST(simulation_test, TheSameSeedIsTheSameRun) {
    same_seed_same_run(&explore_tunnel);
    same_seed_same_run(&explore_proxy);
}

} // namespace
} // namespace headgate::simulation_test
