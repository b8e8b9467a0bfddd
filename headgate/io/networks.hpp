#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <netinet/in.h>

namespace headgate {

// An address without its port: "192.0.2.1" or "2001:db8::1", with or without brackets. An IPv4 address is mapped
// (RFC 4291, section 2.5.5.2), and so is one that is written "::ffff:192.0.2.1". Nothing for anything else.
std::optional<in6_addr> parse_ip(std::string_view text) noexcept;

// A set of addresses, made of networks. Asking costs a binary search; networks that overlap or touch are one.
class network_set {
public:
    network_set() = default;
    // Of the texts that are networks (see is_network); others are left out.
    explicit network_set(std::span<const std::string> networks);

    // Whether the text is a network: "192.0.2.0/24", "2001:db8::/32", an address alone, or "unix" for whoever comes by
    // a Unix socket. No bit may be set beyond the prefix. "::/0" is all of IPv6 and "0.0.0.0/0" all of IPv4: neither
    // has the other's addresses.
    static bool is_network(std::string_view text) noexcept;

    // An IPv4 address is to be mapped, as peer_address keeps it; all zero for a Unix socket.
    bool contains(const in6_addr& ip) const noexcept;
    bool empty() const noexcept { return ranges_.empty(); }

private:
    using number = std::array<std::uint64_t, 2>; // the address, its first half first
    struct range {
        number first;
        number last;
    };
    static number number_of(const in6_addr& ip) noexcept;
    static std::optional<range> parse(std::string_view text) noexcept;
    void add(range r);

    std::vector<range> ranges_; // in order, apart from each other
};

} // namespace headgate
