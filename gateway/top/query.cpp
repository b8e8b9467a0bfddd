#include <utility>

#include <fmt/format.h>

#include <gateway/top/query.hpp>

namespace headgate::gateway::top {

std::string percent_encoded(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const bool unreserved = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                                c == '-' || c == '.' || c == '_' || c == '~';
        out += unreserved ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    return out;
}

std::string flow_query::path() const {
    std::string out = fmt::format("/api/v1/flows?sort={}&limit={}", percent_encoded(sort), limit);
    for (const auto& [name, value] : {std::pair("route", &route),
                                      {"client", &client},
                                      {"upstream", &upstream},
                                      {"kind", &kind},
                                      {"search", &search}})
        if (!value->empty()) out += fmt::format("&{}={}", name, percent_encoded(*value));
    return out;
}

} // namespace headgate::gateway::top
