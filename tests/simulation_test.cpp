#include <cstdlib>
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

constexpr int fresh_seeds = 25;

void explore_all(explore_one one, const std::string& scenario) {
    if (const std::uint64_t seed = testing::seed_to_replay()) {
        const auto report = one(seed);
        EXPECT_TRUE(report.ok()) << report;
        return;
    }
    for (const std::uint64_t seed : seeds_that_failed(scenario)) {
        const auto report = one(seed);
        EXPECT_TRUE(report.ok()) << report;
    }
    std::random_device fresh;
    for (int i = 0; i < fresh_seeds; ++i) {
        const auto report = one(fresh());
        ASSERT_TRUE(report.ok()) << report;
    }
}

TEST(simulation_test, Tunnel) { explore_all(&explore_tunnel, "tunnel"); }

TEST(simulation_test, Proxy) { explore_all(&explore_proxy, "proxy"); }

TEST(simulation_test, ASeedFromTheEnvironmentIsReplayed) {
    const char* given = std::getenv("HEADGATE_SEED");
    const std::string before = given ? given : "";
    ::setenv("HEADGATE_SEED", "4711", 1);
    EXPECT_EQ(testing::seed_to_replay(), 4711u);
    const auto report = explore_tunnel(testing::seed_to_replay());
    EXPECT_EQ(report.seed, 4711u);
    ::unsetenv("HEADGATE_SEED");
    EXPECT_EQ(testing::seed_to_replay(), 0u);
    if (given) ::setenv("HEADGATE_SEED", before.c_str(), 1);
}

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
