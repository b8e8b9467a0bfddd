#pragma once

#include <expected>
#include <string>
#include <utility>
#include <vector>

#include <gateway/config/load.hpp>

namespace headgate::gateway {

// A request to think about.
struct explained_request {
    std::string method;
    std::string url; // http://host[:port]/path?query, or only its path; tls://host[:port] for a tcp connection
    std::vector<std::pair<std::string, std::string>> headers{};
};

// What becomes of it, as text: at which listeners it can arrive, which route takes it there and why that one, which
// upstreams it goes to, and every time and limit with where it comes from: a line of `file`, its defaults, or the
// program. The error says what is wrong with the request.
std::expected<std::string, std::string> explain(const loaded_config& c, const std::string& file,
                                                const explained_request& rq);

} // namespace headgate::gateway
