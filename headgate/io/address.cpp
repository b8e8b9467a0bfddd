#include <headgate/io/address.hpp>

#include <charconv>
#include <cstring>
#include <span>

#include <arpa/inet.h>

namespace headgate {

namespace {

std::unexpected<std::string> wrong(std::string_view text, std::string_view why) {
    return std::unexpected("'" + std::string(text) + "' is not an address: " + std::string(why));
}

} // namespace

address::address(const sockaddr* a, socklen_t size) noexcept : size_(std::min<socklen_t>(size, sizeof storage_)) {
    std::memcpy(&storage_, a, size_);
}

std::expected<address, std::string> address::parse(std::string_view text) {
    address a;
    if (text.starts_with("unix:")) {
        const std::string_view path = text.substr(5);
        if (path.empty() || path.size() >= sizeof a.storage_.local.sun_path)
            return wrong(text, "a Unix socket's path has 1 to 107 bytes");
        a.storage_.local.sun_family = AF_UNIX;
        std::memcpy(a.storage_.local.sun_path, path.data(), path.size());
        a.size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
        return a;
    }
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos)
        return wrong(text, "it has no port; write host:port, for example 127.0.0.1:8080");
    const std::string_view port_text = text.substr(colon + 1);
    std::uint16_t port = 0;
    const auto [end, e] = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
    if (e != std::errc() || end != port_text.data() + port_text.size())
        return wrong(text, "the port must be a number from 0 to 65535");
    std::string host(text.substr(0, colon));
    if (host.empty()) host = "0.0.0.0";
    if (host.front() == '[' && host.back() == ']') {
        host = host.substr(1, host.size() - 2);
        a.storage_.v6.sin6_family = AF_INET6;
        a.size_ = sizeof(sockaddr_in6);
        if (::inet_pton(AF_INET6, host.c_str(), &a.storage_.v6.sin6_addr) != 1)
            return wrong(text, "what stands in the brackets is no IPv6 address");
    } else {
        a.storage_.v4.sin_family = AF_INET;
        a.size_ = sizeof(sockaddr_in);
        if (::inet_pton(AF_INET, host.c_str(), &a.storage_.v4.sin_addr) != 1)
            return wrong(text, "the host must be an IPv4 address, or an IPv6 address in brackets");
    }
    a.set_port(port);
    return a;
}

std::uint16_t address::port() const noexcept {
    if (family() == AF_INET) return ntohs(storage_.v4.sin_port);
    if (family() == AF_INET6) return ntohs(storage_.v6.sin6_port);
    return 0;
}

void address::set_port(std::uint16_t port) noexcept {
    if (family() == AF_INET) storage_.v4.sin_port = htons(port);
    if (family() == AF_INET6) storage_.v6.sin6_port = htons(port);
}

std::string address::host() const {
    char out[INET6_ADDRSTRLEN]{};
    if (family() == AF_INET) ::inet_ntop(AF_INET, &storage_.v4.sin_addr, out, sizeof out);
    if (family() == AF_INET6) ::inet_ntop(AF_INET6, &storage_.v6.sin6_addr, out, sizeof out);
    return *out ? out : "unix";
}

std::string address::text() const {
    if (family() == AF_UNIX) return std::string("unix:") + storage_.local.sun_path;
    const std::string h = family() == AF_INET6 ? "[" + host() + "]" : host();
    return h + ":" + std::to_string(port());
}

peer_address peer_address::of(const address& a) noexcept {
    peer_address p;
    p.port = a.port();
    if (a.family() == AF_INET6) {
        p.ip = reinterpret_cast<const sockaddr_in6*>(a.data())->sin6_addr;
    } else if (a.family() == AF_INET) {
        p.ip.s6_addr[10] = p.ip.s6_addr[11] = 0xff;
        std::memcpy(&p.ip.s6_addr[12], &reinterpret_cast<const sockaddr_in*>(a.data())->sin_addr, 4);
    }
    return p;
}

std::size_t peer_address::write_host(std::span<char, 48> out) const noexcept {
    if (IN6_IS_ADDR_UNSPECIFIED(&ip)) {
        std::memcpy(out.data(), "unix", 4);
        return 4;
    }
    if (IN6_IS_ADDR_V4MAPPED(&ip)) {
        char* to = out.data();
        for (int i = 12; i < 16; ++i) {
            if (i > 12) *to++ = '.';
            to = std::to_chars(to, out.data() + out.size(), ip.s6_addr[i]).ptr;
        }
        return static_cast<std::size_t>(to - out.data());
    }
    ::inet_ntop(AF_INET6, &ip, out.data(), static_cast<socklen_t>(out.size()));
    return std::strlen(out.data());
}

std::string peer_address::text() const {
    char host[48];
    std::string h(host, write_host(host));
    if (port == 0 || IN6_IS_ADDR_UNSPECIFIED(&ip)) return h;
    return (IN6_IS_ADDR_V4MAPPED(&ip) ? h : "[" + h + "]") + ":" + std::to_string(port);
}

} // namespace headgate
