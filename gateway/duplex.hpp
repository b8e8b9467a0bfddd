#pragma once

#include <headgate/core/task.hpp>
#include <headgate/http/inbound.hpp>
#include <headgate/io/socket.hpp>

#include <cstdint>
#include <optional>

#include <gateway/cause.hpp>
#include <gateway/worker.hpp>

namespace headgate::gateway {

// Two connections to be joined, and what is known of it. Must outlive relay_both_ways().
struct duplex {
    worker& on;
    live_flow& flow;
    const route_life& life;
    socket& client;
    socket& upstream;
    duration idle_timeout;       // nothing moved either way
    duration half_close_timeout; // nothing moved, after one side has ended
    // What came on the connections before they were joined, and goes on first; null for none.
    http::inbound* from_client = nullptr;
    http::inbound* from_upstream = nullptr;

    std::uint64_t up = 0; // bytes passed on, kept current
    std::uint64_t down = 0;
    std::optional<cause> why{}; // set when it fails
};

// Passes bytes on in both directions: two pipelines. A clean end of one side is passed on as a half-close and the other
// direction goes on, under a clock; any failure of either side, an idle limit, or the end of the route's life ends both
// at once: the flow fails. The sockets are left for their owners to close, or to reset.
task<> relay_both_ways(duplex& d);

} // namespace headgate::gateway
