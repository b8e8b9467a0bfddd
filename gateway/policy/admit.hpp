#pragma once

#include <optional>
#include <string>

#include <gateway/request.hpp>

namespace headgate::gateway {

// Why a request goes no further than its head, and what is answered. With cause::complete it is no refusal, but all
// there is to say: a status without a body.
struct refusal {
    cause why;
    int status;
    std::string detail;
};

// Finds out who the client is: the connection's peer, or whom that one names if it is a trusted proxy. Sets what the
// request is known by from then on. Refuses a request of which a trusted proxy says what cannot be understood.
std::optional<refusal> identify(request& rq);

// Asks the policies of the listener and of the route whatever the route does, in this order: who may come in (403),
// what browsers ask about other origins (a preflight is answered), how often (429), how many at a time (503). What a
// policy takes is given back when the request ends; what it has to say in the answer is in rq.answer_edits.
std::optional<refusal> admit(request& rq, const snapshot::route& r);

} // namespace headgate::gateway
