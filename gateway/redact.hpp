#pragma once

#include <span>
#include <string>
#include <string_view>

namespace headgate::gateway {

// Gives a request's target to `put`, piece by piece, with "-" for the values of the parameters of its query that have
// one of these names, in any case of letters, or for all if "*" is among them. A name that is percent-encoded is
// compared as it is meant. Allocates nothing.
template <class Put>
void redact(std::string_view target, std::span<const std::string> names, Put put);

namespace detail {

bool is_redacted(std::string_view name, std::span<const std::string> names) noexcept;

} // namespace detail

template <class Put>
void redact(std::string_view target, std::span<const std::string> names, Put put) {
    std::size_t at = target.find('?');
    if (at == std::string_view::npos || names.empty()) return put(target);
    put(target.substr(0, ++at));
    for (;;) {
        const std::size_t end = std::min(target.find_first_of("&;#", at), target.size());
        const std::string_view pair = target.substr(at, end - at);
        const std::size_t equals = pair.find('=');
        if (equals != std::string_view::npos && detail::is_redacted(pair.substr(0, equals), names)) {
            put(pair.substr(0, equals + 1));
            put(std::string_view("-"));
        } else {
            put(pair);
        }
        if (end == target.size()) return;
        put(target.substr(end, 1));
        at = end + 1;
    }
}

} // namespace headgate::gateway
