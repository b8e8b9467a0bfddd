#pragma once

#include <headgate/core/error.hpp>

#include <span>
#include <string>
#include <string_view>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace headgate {

// Where a socket listens or connects to: an IPv4 or IPv6 address with a port, or a Unix socket's path.
class address {
public:
    address() = default;
    address(const sockaddr* a, socklen_t size) noexcept;

    // "127.0.0.1:80", "[::1]:80", ":80" (all addresses), "unix:/run/x.sock". Names are not looked up: see
    // io/resolver.hpp. The error's text says what is wrong.
    static std::expected<address, std::string> parse(std::string_view text);

    int family() const noexcept { return storage_.any.sa_family; }
    const sockaddr* data() const noexcept { return &storage_.any; }
    socklen_t size() const noexcept { return size_; }
    // Of a Unix socket; empty otherwise. As long as the address.
    const char* path() const noexcept { return family() == AF_UNIX ? storage_.local.sun_path : ""; }
    // 0 for a Unix socket.
    std::uint16_t port() const noexcept;
    void set_port(std::uint16_t port) noexcept;

    // As parse() takes it.
    std::string text() const;
    // The address alone: "127.0.0.1", "::1"; "unix" for a Unix socket.
    std::string host() const;

private:
    union any_address {
        sockaddr_un local; // the first and largest: {} makes all bytes zero
        sockaddr any;
        sockaddr_in v4;
        sockaddr_in6 v6;
    };
    any_address storage_{};
    socklen_t size_ = 0;
};

// The address of a connection's peer, small enough to keep with every connection: an IPv6 address (IPv4 ones mapped)
// and a port, 0 if that is not known. All zero for a Unix socket.
struct peer_address {
    in6_addr ip{};
    std::uint16_t port = 0;

    static peer_address of(const address& a) noexcept;
    // Writes the address alone, as host() of address does, and returns the length.
    std::size_t write_host(std::span<char, 48> out) const noexcept;
    std::string text() const;
};

} // namespace headgate
