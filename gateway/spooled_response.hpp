#pragma once

#include <gateway/exchange.hpp>
#include <gateway/retry.hpp>

namespace headgate::gateway {

// A response whose head has been taken off its connection, and what is given back when the rest has come.
struct arriving_response {
    upstream_lease& up;
    retry_budget::share& share;
    http::body_framing framing;
    bool at_hand;  // all of it has come
    bool reusable; // the upstream keeps the connection
};

// Sends a response, its body as fast as the upstream gives it into the route's spool, and from there as fast as the
// client takes it. `to` is how the body is framed for the client; `coding` is what to compress it with, or empty.
//
// With the last byte from the upstream its connection goes back, with the permit that it keeps, unless the request is
// still being sent on it. Fails the flow as the exchange does, with rq.why set.
task<> send_spooled(request& rq, const route& r, arriving_response from, http::body_framing to, chunk head,
                    std::string_view coding);

} // namespace headgate::gateway
