#pragma once

#include <headgate/core/timer.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <gateway/upstream_tls.hpp>

namespace headgate::gateway {

// From 0 (none) to 1 (all).
struct ratio {
    double value = 0;
    std::string text() const; // "0.05"
    bool operator==(const ratio&) const = default;
};

// Whose traces are continued.
enum class trace_trust : std::uint8_t {
    trusted_proxies, // of the listener; for all others a trace is begun
    all,
    none,
};

// How requests are traced.
struct tracing_options {
    bool enabled = false;
    ratio sampling{.value = 0.01}; // of the traces that begin here; others are recorded if whoever asks records them
    std::string collector{};       // http[s]://host:port; empty: nothing is recorded, traces only pass through
    upstream_tls tls{};            // with the collector, if it is https
    std::string service_name = "headgate";
    std::vector<std::pair<std::string, std::string>> headers{}; // of each request to the collector
    trace_trust trust = trace_trust::trusted_proxies;
    duration interval = std::chrono::seconds(1); // the longest that a span waits to be sent
    duration timeout = std::chrono::seconds(10); // of one request to the collector
    std::size_t queue_max = 8192;                // spans that wait; beyond, they are dropped
};

} // namespace headgate::gateway
