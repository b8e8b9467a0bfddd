#include <gateway/policy/policies.hpp>

namespace headgate::gateway {

route_policies::route_policies(const route_policies_config& c, const route_policies* before)
    : addresses(c.addresses), requests_max(c.requests_max), cors(c.cors) {
    // Requests that began earlier count on, whatever the limit is now.
    if (c.requests_max != 0)
        requests = before && before->requests ? before->requests : std::make_shared<request_count>();
    if (c.rate_limit.requests == 0) return;
    const bool same = before && before->rate_limiter && before->rate_limiter->options() == c.rate_limit;
    rate_limiter = same ? before->rate_limiter : std::make_shared<gateway::rate_limiter>(c.rate_limit);
}

} // namespace headgate::gateway
