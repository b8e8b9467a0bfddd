#pragma once

#include <optional>
#include <string>

#include <gateway/request.hpp>

namespace headgate::gateway {

// Why a request goes no further than its head, and what is answered.
struct refusal {
    cause why;
    int status;
    std::string detail;
};

// Finds out who the client is: the connection's peer, or whom that one names if it is a trusted proxy. Sets what the
// request is known by from then on. Refuses a request of which a trusted proxy says what cannot be understood.
std::optional<refusal> identify(request& rq);

// Asks the policies of the listener and of the route, in this order, whatever the route does: who may come in.
std::optional<refusal> admit(request& rq, const snapshot::route& r);

} // namespace headgate::gateway
