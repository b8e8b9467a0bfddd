#pragma once

#include <headgate/core/timer.hpp>
#include <headgate/http/message.hpp>

#include <string>
#include <string_view>
#include <vector>

#include <gateway/header_edits.hpp>

namespace headgate::gateway {

// Which pages of other origins may use a route, by the browsers that keep to it (the Fetch Standard, section 3.2).
struct cors_options {
    // "https://example.org", "https://*.example.org" for all names below it, "*" for all; none: no CORS.
    std::vector<std::string> allow_origins{};
    std::vector<std::string> allow_methods{"GET", "HEAD", "POST"}; // "*": whatever is asked for
    std::vector<std::string> allow_headers{};                      // "*": whatever is asked for
    std::vector<std::string> expose_headers{};
    bool allow_credentials = false; // not with "*" as an origin
    duration max_age = std::chrono::seconds(5);

    bool enabled() const noexcept { return !allow_origins.empty(); }
    bool operator==(const cors_options&) const = default;
};

// Whether the text is an origin that may be allowed; see above. In lower case.
bool is_origin_pattern(std::string_view text) noexcept;

// Whether pages of this origin may use the route.
bool admits_origin(const cors_options& o, std::string_view origin) noexcept;

// Whether a browser asks if it may send a request: OPTIONS with Origin and Access-Control-Request-Method.
bool is_preflight(const http::request_head& head) noexcept;
// The method that it asks about.
std::string_view requested_method(const http::request_head& head) noexcept;

// The fields of the answer to a preflight: to an origin that is not allowed, none but Vary.
void add_preflight_fields(const cors_options& o, const http::request_head& head, header_edits& to);

// Changes the answer to any other request: what an upstream says of CORS is replaced.
void add_cors_fields(const cors_options& o, const http::request_head& head, header_edits& to);

} // namespace headgate::gateway
