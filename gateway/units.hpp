#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include <gateway/options.hpp>
#include <gateway/trace/options.hpp>

namespace headgate::gateway {

// "500ms", "30s", "5m", "1h"; at least 1ms. The error says what would be right.
std::expected<duration, std::string> parse_duration(std::string_view text);

// "64KiB", "1MiB", "2GiB", or a number of bytes.
std::expected<std::size_t, std::string> parse_bytes(std::string_view text);

// "http://host:port" (port 80 if left out). Neither path nor query nor user: they would have no meaning.
std::expected<endpoint, std::string> parse_http_url(std::string_view text);

// "host:port"; the host may be a name, an IPv4 address, or an IPv6 address in brackets.
std::expected<endpoint, std::string> parse_endpoint(std::string_view text);

// "200-399", or a single status; from 200 to 599.
std::expected<status_range, std::string> parse_status_range(std::string_view text);

// "connect_failure", "reset", "timeout", "gateway_error", "5xx", or statuses from 400 to 599: adds it to `to`; tells
// whether it is one.
bool add_retry_condition(retry_conditions& to, std::string_view text);
// The same, as they are written.
std::vector<std::string> format_retry_conditions(const retry_conditions& c);

// From "0" to "1".
std::expected<ratio, std::string> parse_ratio(std::string_view text);

std::string format_duration(duration d);
std::string format_bytes(std::size_t n);

} // namespace headgate::gateway
