#pragma once

#include <gateway/exchange.hpp>
#include <gateway/retry.hpp>

namespace headgate::gateway {

// How a try to get an answer ended without one.
struct failed_try {
    cause why{};
    std::error_code code{};
    std::string_view detail{}; // static; empty: the code's own text, or none
    bool silent = false;       // the connection turned out to be dead before it gave a byte
};

// The coroutines of an exchange's way back. What they are given outlives them. They fail for the client's sake, and
// when a response cannot be passed on.

// Reads the head of the final response into rq.parsers, and passes on the interim ones before it. Gives whether there
// is one; if not, `f` says why.
task<bool> read_response_head(request& rq, const route& r, upstream_lease& up, failed_try& f);

// Sends the response whose head has been read, its body as it comes. Gives whether the upstream keeps the connection.
// If the route reads ahead of the client, `up` goes back, and `share` ends, with the upstream's last byte.
task<bool> send_response(request& rq, const route& r, upstream_lease& up, retry_budget::share& share);

// The head that has been read is a 101: tells the client, unless nobody asked for it.
task<> switch_protocols(request& rq, const route& r, upstream_lease& up);

// The response whose head has been read is not passed on.
void discard_response(request& rq, upstream_lease& up);

// Both messages are complete, unless the request was cut off by its response.
void part(upstream_lease& up, bool uploaded, bool reusable);

} // namespace headgate::gateway
