#include <headgate/io/tls_error.hpp>

#include <gateway/cause.hpp>

namespace headgate::gateway {

const char* to_string(cause c) noexcept {
    switch (c) {
    case cause::complete: return "complete";
    case cause::client_closed: return "client_closed";
    case cause::client_reset: return "client_reset";
    case cause::client_idle: return "client_idle";
    case cause::client_slow_header: return "client_slow_header";
    case cause::client_protocol: return "client_protocol";
    case cause::client_method: return "client_method";
    case cause::client_denied: return "client_denied";
    case cause::client_rate: return "client_rate";
    case cause::route_busy: return "route_busy";
    case cause::no_route: return "no_route";
    case cause::client_too_large: return "client_too_large";
    case cause::upstream_refused: return "upstream_refused";
    case cause::upstream_unreachable: return "upstream_unreachable";
    case cause::upstream_connect_timeout: return "upstream_connect_timeout";
    case cause::upstream_closed: return "upstream_closed";
    case cause::upstream_reset: return "upstream_reset";
    case cause::upstream_busy: return "upstream_busy";
    case cause::upstream_circuit_open: return "upstream_circuit_open";
    case cause::upstream_timeout: return "upstream_timeout";
    case cause::upstream_idle: return "upstream_idle";
    case cause::upstream_protocol: return "upstream_protocol";
    case cause::query_failed: return "query_failed";
    case cause::file_error: return "file_error";
    case cause::drained: return "drained";
    case cause::overloaded: return "overloaded";
    case cause::aborted_by_operator: return "aborted_by_operator";
    case cause::internal: return "internal";
    }
    return "internal";
}

const char* side_of(cause c) noexcept {
    switch (c) {
    case cause::complete: return nullptr;
    case cause::client_closed:
    case cause::client_reset:
    case cause::client_idle:
    case cause::client_slow_header:
    case cause::client_protocol:
    case cause::client_method:
    case cause::client_denied:
    case cause::client_rate:
    case cause::no_route:
    case cause::client_too_large: return "client";
    case cause::upstream_refused:
    case cause::upstream_unreachable:
    case cause::upstream_connect_timeout:
    case cause::upstream_closed:
    case cause::upstream_reset:
    case cause::upstream_busy:
    case cause::upstream_circuit_open:
    case cause::upstream_timeout:
    case cause::upstream_idle:
    case cause::upstream_protocol:
    case cause::query_failed: return "upstream";
    case cause::route_busy:
    case cause::file_error:
    case cause::drained:
    case cause::overloaded:
    case cause::aborted_by_operator:
    case cause::internal: return "gateway";
    }
    return "gateway";
}

cause cause_of(std::error_code e, party who) noexcept {
    const bool client = who == party::client;
    if (e == errc::premature_close) return client ? cause::client_closed : cause::upstream_closed;
    if (e == errc::idle || e == errc::timed_out) return client ? cause::client_idle : cause::upstream_idle;
    if (e == errc::protocol || is_tls_error(e)) return client ? cause::client_protocol : cause::upstream_protocol;
    if (e == errc::limit_exceeded) return client ? cause::client_too_large : cause::upstream_protocol;
    if (e == errc::aborted) return cause::drained;
    if (e == std::errc::connection_reset || e == std::errc::broken_pipe || e == std::errc::timed_out ||
        e == std::errc::not_connected || e == std::errc::host_unreachable || e == std::errc::network_unreachable)
        return client ? cause::client_reset : cause::upstream_reset;
    return cause::internal;
}

bool out_of_resources(std::error_code e) noexcept {
    return e == std::errc::too_many_files_open || e == std::errc::too_many_files_open_in_system ||
           e == std::errc::not_enough_memory || e == std::errc::no_buffer_space;
}

cause cause_of_connect(std::error_code e) noexcept {
    if (e == std::errc::connection_refused) return cause::upstream_refused;
    if (e == errc::timed_out || e == std::errc::timed_out) return cause::upstream_connect_timeout;
    if (out_of_resources(e)) return cause::overloaded;
    return cause::upstream_unreachable;
}

} // namespace headgate::gateway
