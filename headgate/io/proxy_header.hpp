#pragma once

#include <headgate/core/task.hpp>
#include <headgate/io/socket.hpp>

#include <cstdint>
#include <string>
#include <string_view>

// The PROXY protocol, versions 1 and 2 (The PROXY protocol, W. Tarreau, 2020-03-05): a header in front of a
// connection's bytes, TLS's included, in which a proxy says for whom it has opened the connection.
namespace headgate {

struct proxy_header {
    bool local = false;         // the proxy speaks for itself, or cannot say for whom: the addresses say nothing
    peer_address source{};      // the client
    peer_address destination{}; // where that one connected to
    bool tls = false;           // the client spoke TLS with the proxy (PP2_TYPE_SSL)
};

// How far the bytes go that were read of a header.
struct proxy_header_result {
    enum class kind : std::uint8_t { more, complete, malformed };
    kind state = kind::more;
    std::size_t more = 0;         // so many bytes at least are still to come; with `more`. What follows is never read
    const char* reason = nullptr; // static text; with `malformed`
    proxy_header header{};        // with `complete`
};

// Headers of version 2 that are longer are refused; of version 1 there are at most 107 bytes.
inline constexpr std::size_t proxy_header_max = 4096;

// Which version it is shows at its first bytes. Fields of version 2 behind the addresses (TLVs) are skipped but for the
// one about TLS. Version 2 about a Unix socket, or about no protocol, is as good as LOCAL; about datagrams, malformed.
proxy_header_result parse_proxy_header(std::string_view bytes) noexcept;

enum class proxy_protocol : std::uint8_t { none, v1, v2 };

// The header to send; for an IPv4 and an IPv6 address the first is mapped. Empty with `none`.
std::string make_proxy_header(proxy_protocol version, const proxy_header& h);

// Reads a header from a connection that has just been accepted, and not a byte that follows it; all of it must come
// within `limit`. Errors are errc::protocol, errc::timed_out, errc::premature_close, or the system's.
task<result<proxy_header>> read_proxy_header(socket& s, duration limit);

} // namespace headgate
