#pragma once

#include <headgate/testing/explore.hpp>

// Scenarios over the gateway's own coroutines on simulated sockets, each one run per seed.
namespace headgate::simulation_test {

// Scripted-random clients and servers talk through the tunnel and leave in every way, at any time. What arrives is the
// beginning of what was sent; an end that looks orderly comes only after everything, if the other side has ended.
testing::exploration_report explore_tunnel(std::uint64_t seed);

// The same with HTTP clients and an HTTP origin around the proxy, and some faults of the system. No response is mixed
// up with another's, no byte lost or repeated in the midst, no cut body looks whole, in either direction; no request
// that is not idempotent arrives twice.
testing::exploration_report explore_proxy(std::uint64_t seed);

} // namespace headgate::simulation_test
