#pragma once

#include <headgate/io/resolver.hpp>

#include <vector>

#include <gateway/endpoint_pool.hpp>

namespace headgate::gateway {

// What a name stands for, and for how long.
struct found_targets {
    std::vector<endpoint_target> targets; // at least one; `where` is an address
    duration ttl;
};

// Looks up all addresses of an endpoint: of its name, or of the names that its SRV record (RFC 2782) leads to, with the
// record's ports, priorities and weights. Names of an SRV record that cannot be found are left out. `limit` is for each
// lookup. What is given must outlive it.
task<result<found_targets>> find_targets(resolver& names, const endpoint_target& of, duration limit);

// The host that answers for an SRV record: its domain, without the service and the protocol.
std::string domain_of_srv(std::string_view name);

} // namespace headgate::gateway
