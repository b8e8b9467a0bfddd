#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string_view>

#include <simulation/scenarios.hpp>

// simulate [SCENARIO] N [FIRST]: runs the scenario (proxy, tunnel; both if left out) with N seeds from FIRST on, 1 if
// left out. Prints what fails, and ends with 1 if anything has.
int main(int argc, char** argv) {
    using namespace headgate::simulation_test;
    std::string_view only;
    if (argc > 1 && (std::string_view(argv[1]) == "proxy" || std::string_view(argv[1]) == "tunnel")) {
        only = argv[1];
        ++argv;
        --argc;
    }
    const std::uint64_t n = argc > 1 ? std::strtoull(argv[1], nullptr, 0) : 0;
    const std::uint64_t first = argc > 2 ? std::strtoull(argv[2], nullptr, 0) : 1;
    if (n == 0 || argc > 3) {
        std::fprintf(stderr, "usage: simulate [proxy|tunnel] N [FIRST]\n");
        return 2;
    }
    std::uint64_t failed = 0;
    const auto run = [&](const char* name, auto explore, std::uint64_t seed) {
        if (!only.empty() && only != name) return;
        const auto report = explore(seed);
        if (report.ok()) return;
        ++failed;
        std::cout << name << ": " << report << std::endl;
    };
    for (std::uint64_t seed = first; seed - first < n; ++seed) {
        run("proxy", &explore_proxy, seed);
        run("tunnel", &explore_tunnel, seed);
        if ((seed - first + 1) % 100 == 0)
            std::cerr << seed - first + 1 << " of " << n << " seeds, " << failed << " failed" << std::endl;
    }
    std::cout << n << " seeds from " << first << ", " << failed << " failed\n";
    return failed == 0 ? 0 : 1;
}
