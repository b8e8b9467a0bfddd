#pragma once

#include <headgate/core/error.hpp>

#include <cstddef>
#include <cstdint>

namespace headgate::gateway {

// Why a request or a tunnel ended. A closed list: what the log says under `end=`.
enum class cause : std::uint8_t {
    complete,
    client_closed, // FIN before the end
    client_reset,
    client_idle,          // nothing, or too little, moved to or from the client for too long
    client_slow_header,   // its head was not complete in time
    client_protocol,      // its request was refused as malformed
    client_method,        // its method is not served here
    client_denied,        // its address is not allowed
    client_rate,          // it made more requests than it may
    route_busy,           // as many requests as may be were in progress on its route
    no_route,             // no route takes its request
    client_too_large,     // its request's body was longer than allowed
    upstream_refused,     // connection refused
    upstream_unreachable, // not found, no route, and other reasons not to be connected
    upstream_connect_timeout,
    upstream_closed, // FIN before the end
    upstream_reset,
    upstream_busy,         // all connections to it were in use, and none came free in time or for all who wait
    upstream_circuit_open, // it has failed too often, and is left alone for a while
    upstream_timeout,      // no response head in time
    upstream_idle,         // nothing, or too little, moved to or from the upstream for too long
    upstream_protocol,     // its response was refused as malformed
    query_failed,          // the database refused the query, or its result was larger than allowed
    file_error,            // a file could not be read, or became shorter while it was sent
    drained,               // aborted at the drain deadline
    overloaded,            // a limit of our own
    aborted_by_operator,   // through the admin API
    internal,
};
inline constexpr std::size_t causes = static_cast<std::size_t>(cause::internal) + 1;

const char* to_string(cause c) noexcept;
// Who ended what ended so: "client", "upstream" or "gateway"; null if nobody did, for it was complete.
const char* side_of(cause c) noexcept;

enum class party : std::uint8_t { client, upstream };

// The cause of an error that arose while reading from, or writing to, one of the parties.
cause cause_of(std::error_code e, party who) noexcept;
// Whether the system has no more descriptors or memory for us.
bool out_of_resources(std::error_code e) noexcept;
// The cause of a failure to connect to the upstream.
cause cause_of_connect(std::error_code e) noexcept;

} // namespace headgate::gateway
