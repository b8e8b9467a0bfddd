#pragma once

#include <headgate/io/tls_context.hpp>

#include <string>

namespace headgate::gateway {

// How TLS is spoken with a server: of an upstream, or a collector.
struct upstream_tls {
    bool enabled = false;
    // What their certificates must name, and what they are asked for (SNI). Empty: the server's own host.
    std::string server_name{};
    tls_client_options options{};

    bool operator==(const upstream_tls&) const = default;
};

} // namespace headgate::gateway
