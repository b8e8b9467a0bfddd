#pragma once

#include <headgate/io/proxy_header.hpp>

#include <optional>

#include <gateway/cause.hpp>
#include <gateway/client_table.hpp>
#include <gateway/snapshot.hpp>

namespace headgate::gateway {

// What is known of a connection before its first byte.
struct arrival {
    std::optional<cause> refused{}; // why it is not served: it is to be reset
    bool tls = false;               // the client spoke TLS with the proxy that says so
};

// Finds out for whom a connection was opened, if its listener wants to be told in the PROXY protocol: then `peer`
// becomes that one, and counts as that one. The header must come within the listener's header_timeout, from a trusted
// proxy if there are any. `here` must stay.
task<arrival> arrive(socket& client, client_peer& peer, const snapshot::entrance& here);

// Whether a connection from there is one of a client's own. Those of proxies are for many.
bool counts_as_client(const snapshot::entrance* here, const peer_address& from) noexcept;

} // namespace headgate::gateway
