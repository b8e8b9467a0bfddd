#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace headgate::http {

// Who a request is for: host [":" port] (RFC 3986, section 3.2; RFC 9110, section 7.2). Views into the text given.
struct authority {
    std::string_view text;  // all of it, as received
    std::string_view host;  // a name or an address; an IPv6 address keeps its brackets. Case as received
    std::uint16_t port = 0; // 0: not given (an empty port, as in "example.com:", counts as not given)

    bool empty() const noexcept { return text.empty(); }
};

// Reads an authority strictly. Nothing for an empty host, user information, a port over 65535, a bad percent-encoding,
// an address in brackets that is not IPv6, or any byte the grammar does not have.
std::optional<authority> parse_authority(std::string_view text) noexcept;

// The same into `out`, which is unspecified if the answer is false.
bool parse_authority(std::string_view text, authority& out) noexcept;

} // namespace headgate::http
