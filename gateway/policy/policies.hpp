#pragma once

#include <headgate/io/networks.hpp>

#include <string>
#include <vector>

namespace headgate::gateway {

// Who may come in, by address.
struct address_rules_config {
    std::vector<std::string> allow{}; // networks; none: everybody
    std::vector<std::string> deny{};  // networks; whoever is in one stays out, also if he is allowed
    bool operator==(const address_rules_config&) const = default;
};

class address_rules {
public:
    address_rules() = default;
    explicit address_rules(const address_rules_config& c) : allow_(c.allow), deny_(c.deny) {}

    bool admit(const in6_addr& ip) const noexcept {
        return (deny_.empty() || !deny_.contains(ip)) && (allow_.empty() || allow_.contains(ip));
    }

private:
    network_set allow_;
    network_set deny_;
};

// What holds for the requests of a route whatever its action is, ready to be asked.
struct route_policies {
    address_rules addresses;
};

} // namespace headgate::gateway
