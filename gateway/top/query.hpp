#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace headgate::gateway::top {

// As part of a path or a query (RFC 3986, 2.3: all but unreserved characters).
std::string percent_encoded(std::string_view text);

// Which live flows are asked for; empty: any.
struct flow_query {
    std::string sort = "stalled";
    std::size_t limit = 100;
    std::string route{}, client{}, upstream{}, kind{}, search{};

    std::string path() const;
};

} // namespace headgate::gateway::top
