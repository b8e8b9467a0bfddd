#pragma once

#include <headgate/http/message.hpp>
#include <headgate/io/address.hpp>
#include <headgate/io/networks.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace headgate::gateway {

// The fields in which proxies say for whom they ask. Only those of one kind are read and written; those of the other
// are taken out, for who reads them further on would believe whoever wrote them.
enum class forwarded_fields : std::uint8_t {
    x_forwarded, // X-Forwarded-For, -Proto and -Host
    forwarded,   // Forwarded (RFC 7239)
};

// Where a request comes from. Views are into the request's head, or static.
struct provenance {
    peer_address client{};     // its port is 0 if it is not known
    std::string_view scheme{}; // "http" or "https"; empty if nobody says
    std::string_view host{};   // that the client asked for, with its port; empty if nobody says
};

// What the fields of a request say that came from a trusted proxy, `peer`. The client is the last address in the list,
// which every proxy appends to, that is not one of a trusted proxy: all before it may be invented. It is the first
// address if all are trusted, and `peer` if there is none. An element that is no address ends the search: then the
// client is the proxy that wrote it.
//
// Scheme and host are those of the last X-Forwarded-Proto and X-Forwarded-Host, or of the client's element of
// Forwarded; what is neither a scheme of HTTP nor a host is left out. Nothing at all for a Forwarded that is malformed:
// where its elements begin is anybody's guess, and such a request is not to be served.
std::optional<provenance> provenance_of(const http::message_head& head, const peer_address& peer,
                                        const network_set& trusted, forwarded_fields which);

// "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]:80". Nothing for anything else.
std::optional<peer_address> parse_node(std::string_view text) noexcept;

// One element of Forwarded, for a proxy to append: for=192.0.2.1;host="example.org";proto=https.
std::string forwarded_element(std::string_view address, std::string_view host, std::string_view scheme);

} // namespace headgate::gateway
