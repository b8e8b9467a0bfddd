#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include <gateway/path.hpp>
#include <gateway/route_table.hpp>

// What finding a route costs, by the number of routes there are.

using namespace headgate::gateway;

namespace {

// A tenth of the routes have a host of their own, half are exact paths, the rest are prefixes.
std::vector<route_match> routes(std::int64_t count) {
    std::vector<route_match> all;
    for (std::int64_t i = 0; i < count; ++i) {
        const std::string number = std::to_string(i);
        route_match m;
        if (i % 10 == 0) m.hosts = {"tenant-" + number + ".example.org"};
        if (i % 2 == 0)
            m.path = "/api/v1/service-" + number + "/status";
        else
            m.path_prefix = "/api/v1/service-" + number;
        all.push_back(std::move(m));
    }
    return all;
}

void find(benchmark::State& state, const route_request& rq, std::int64_t expected) {
    const route_table table(routes(state.range(0)));
    if (table.find(rq).value_or(0) != static_cast<std::size_t>(expected)) return state.SkipWithError("the wrong route");
    for (auto _ : state) {
        if (!is_normal_path(rq.path)) return state.SkipWithError("not normal");
        benchmark::DoNotOptimize(table.find(rq));
    }
}

void exact_path(benchmark::State& state) {
    find(state, {.host = "www.example.org", .path = "/api/v1/service-4/status", .query = {}, .method = "GET"}, 4);
}
void prefix(benchmark::State& state) {
    find(state, {.host = "www.example.org", .path = "/api/v1/service-7/orders/12/lines", .query = {}, .method = "GET"},
         7);
}
void exact_host(benchmark::State& state) {
    find(state, {.host = "tenant-0.example.org", .path = "/api/v1/service-0/status", .query = {}, .method = "GET"}, 0);
}
void no_route(benchmark::State& state) {
    find(state, {.host = "www.example.org", .path = "/nowhere/at/all", .query = {}, .method = "GET"}, 0);
}

BENCHMARK(exact_path)->Arg(10)->Arg(100)->Arg(1'000)->Arg(10'000);
BENCHMARK(prefix)->Arg(10)->Arg(100)->Arg(1'000)->Arg(10'000);
BENCHMARK(exact_host)->Arg(10)->Arg(100)->Arg(1'000)->Arg(10'000);
BENCHMARK(no_route)->Arg(10)->Arg(100)->Arg(1'000)->Arg(10'000);

} // namespace
