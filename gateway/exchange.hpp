#pragma once

#include <headgate/io/relay.hpp>

#include <gateway/request.hpp>
#include <gateway/upstream.hpp>
#include <gateway/worker.hpp>

namespace headgate::gateway {

// What an exchange uses of its route. All of it outlives the exchange.
struct route {
    worker& on;
    const proxy_action& action;
    const route_options& options;    // the action's
    gateway::upstream* upstream;     // where it goes
    gateway::upstream* fallback;     // if that cannot serve it; null for none
    std::string_view matched_prefix; // what replace_prefix stands for
    const spool_options* spool;      // if it reads ahead of the client

    pace_limits client_pace() const { return bounded(options.client_pace(), on.options()); }
    pace_limits upstream_pace() const { return bounded(options.upstream_pace(), on.options()); }
    relay_limits limits(pace_limits source, pace_limits sink, byte_rate& rate, std::uint64_t& total) const {
        return {.buffer_bytes = on.options().stream_buffer,
                .source = source,
                .sink = sink,
                .pipes = &on.pipes(),
                .rate = &rate,
                .total = &total};
    }
};

// Sends a request, whose head has been parsed, to the upstream and its response to the client: heads, 1xx, bodies in
// both directions at once, trailers. Returns when the response is complete; or, if the upstream has switched protocols
// as it was asked to (101), or CONNECT has reached it (200), when the client has been told: then with the connection to
// it, on which the client's bytes may now be passed on.
//
// Everything it holds is in its frame: the lease of the upstream connection (or the connect in progress), the upload,
// the watch on the client. It fails, at once, when the client leaves, the upstream breaks, a limit passes or the worker
// aborts: with side::sink for the client and side::source for the upstream, and `why` set where the error alone does
// not tell.
task<upstream_lease> exchange(request& rq, route r);

// Tells the endpoint's pool of an exchange that failed, for rq.why, if the endpoint was to blame and has not answered.
void report_failure(request& rq) noexcept;

} // namespace headgate::gateway
