#pragma once

#include <headgate/io/networks.hpp>

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gateway/policy/cors.hpp>
#include <gateway/policy/rate_limit.hpp>

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

// How many requests are in progress, over all workers.
class request_count {
public:
    std::size_t now() const noexcept { return now_.load(std::memory_order_relaxed); }

private:
    friend class request_permit;
    std::atomic<std::size_t> now_ = 0;
};

// The right of one request to be in progress. Counts as long as it lives; must not outlive its count.
class request_permit {
public:
    request_permit() = default;
    // False if there are `most` already.
    request_permit(request_count& of, std::size_t most) noexcept {
        if (of.now_.fetch_add(1, std::memory_order_relaxed) < most)
            of_ = &of;
        else
            of.now_.fetch_sub(1, std::memory_order_relaxed);
    }
    request_permit(request_permit&& o) noexcept : of_(std::exchange(o.of_, nullptr)) {}
    request_permit& operator=(request_permit&& o) noexcept {
        std::swap(of_, o.of_);
        return *this;
    }
    ~request_permit() {
        if (of_) of_->now_.fetch_sub(1, std::memory_order_relaxed);
    }
    explicit operator bool() const noexcept { return of_ != nullptr; }

private:
    request_count* of_ = nullptr;
};

// What holds for the requests of a route, whatever its action is.
struct route_policies_config {
    address_rules_config addresses{};
    std::size_t requests_max = 0; // in progress at a time, over all workers; 0: no limit
    rate_limit_options rate_limit{};
    cors_options cors{};
    bool operator==(const route_policies_config&) const = default;
};

// The same, ready to be asked. What it counts is shared with those of earlier configurations.
struct route_policies {
    // `before` are those of the route with this name before, if there was one.
    route_policies(const route_policies_config& c, const route_policies* before);

    address_rules addresses;
    std::size_t requests_max;
    std::shared_ptr<request_count> requests;    // null without requests_max
    std::shared_ptr<rate_limiter> rate_limiter; // null without a limit
    const cors_options& cors;                   // of the configuration
};

} // namespace headgate::gateway
