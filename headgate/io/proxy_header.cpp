#include <headgate/io/networks.hpp>
#include <headgate/io/proxy_header.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include <arpa/inet.h>

namespace headgate {

namespace {

using kind = proxy_header_result::kind;

constexpr std::string_view signature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::string_view v1_begin = "PROXY ";
constexpr std::size_t v1_max = 107;
constexpr const char* too_long = "its line is longer than 107 bytes";
constexpr std::size_t v2_begin = 16;

proxy_header_result malformed(const char* reason) noexcept { return {.state = kind::malformed, .reason = reason}; }
proxy_header_result more(std::size_t bytes) noexcept { return {.state = kind::more, .more = bytes}; }
proxy_header_result complete(const proxy_header& h) noexcept { return {.state = kind::complete, .header = h}; }

std::string_view take_word(std::string_view& line) noexcept {
    const std::string_view word = line.substr(0, line.find(' '));
    line.remove_prefix(std::min(word.size() + 1, line.size()));
    return word;
}

bool read_port(std::string_view text, std::uint16_t& port) noexcept {
    const auto [end, e] = std::from_chars(text.data(), text.data() + text.size(), port);
    return e == std::errc() && end == text.data() + text.size() && (text.size() == 1 || !text.starts_with('0'));
}

bool read_address(std::string_view text, bool v6, in6_addr& ip) noexcept {
    const auto parsed = text.starts_with('[') ? std::nullopt : parse_ip(text);
    if (!parsed || text.contains(':') != v6 || IN6_IS_ADDR_UNSPECIFIED(&*parsed)) return false;
    ip = *parsed;
    return true;
}

// A whole line, its CR LF left out.
proxy_header_result read_v1(std::string_view line) noexcept {
    line.remove_prefix(v1_begin.size());
    const std::string_view protocol = take_word(line);
    if (protocol == "UNKNOWN") return complete({.local = true});
    const bool v6 = protocol == "TCP6";
    if (!v6 && protocol != "TCP4") return malformed("its protocol is neither TCP4, TCP6 nor UNKNOWN");
    proxy_header h;
    const bool right = read_address(take_word(line), v6, h.source.ip) &&
                       read_address(take_word(line), v6, h.destination.ip) && read_port(take_word(line), h.source.port);
    if (!right || !read_port(line, h.destination.port)) return malformed("its addresses are malformed");
    return complete(h);
}

proxy_header_result parse_v1(std::string_view bytes) noexcept {
    const std::size_t end = bytes.find_first_of("\r\n");
    if (end == std::string_view::npos) {
        // The line is at least as long as the shortest of its protocol, and its end is two bytes.
        const std::string_view protocol = bytes.substr(v1_begin.size(), 5);
        const std::size_t shortest = protocol == "TCP4 " ? 32 : protocol == "TCP6 " ? 22 : 15;
        if (bytes.size() + 2 > v1_max) return malformed(too_long);
        return more(std::max(shortest, bytes.size() + 2) - bytes.size());
    }
    if (bytes[end] == '\r' && end + 1 == bytes.size()) return end + 2 > v1_max ? malformed(too_long) : more(1);
    if (bytes.substr(end) != "\r\n") return malformed("its line does not end with CR LF");
    return read_v1(bytes.substr(0, end));
}

std::size_t number_at(std::string_view bytes, std::size_t at) noexcept {
    return std::size_t{static_cast<unsigned char>(bytes[at])} << 8 | static_cast<unsigned char>(bytes[at + 1]);
}

peer_address address_at(std::string_view bytes, std::size_t at, bool v6) noexcept {
    peer_address a;
    if (v6) {
        std::memcpy(&a.ip, bytes.data() + at, 16);
    } else {
        a.ip.s6_addr[10] = a.ip.s6_addr[11] = 0xff;
        std::memcpy(&a.ip.s6_addr[12], bytes.data() + at, 4);
    }
    return a;
}

// The type-length-value fields behind the addresses.
proxy_header_result read_fields(std::string_view fields, proxy_header h) noexcept {
    constexpr char ssl = 0x20;
    while (!fields.empty()) {
        if (fields.size() < 3 || fields.size() - 3 < number_at(fields, 1)) return malformed("one of its fields is cut");
        const std::size_t length = number_at(fields, 1);
        if (fields[0] == ssl) {
            if (length < 5) return malformed("its field about TLS is cut");
            h.tls = (fields[3] & 1) != 0;
        }
        fields.remove_prefix(3 + length);
    }
    return complete(h);
}

// A whole header.
proxy_header_result read_v2(std::string_view bytes) noexcept {
    const auto version_and_command = static_cast<unsigned char>(bytes[12]);
    const auto family_and_protocol = static_cast<unsigned char>(bytes[13]);
    if (version_and_command == 0x20) return complete({.local = true});
    if (version_and_command != 0x21) return malformed("its version or command is unknown");
    const std::string_view rest = bytes.substr(v2_begin);
    std::size_t addresses = 0;
    proxy_header h;
    switch (family_and_protocol) {
    case 0x00: return complete({.local = true});
    case 0x31: addresses = 216, h.local = true; break; // a Unix socket
    case 0x11: addresses = 12; break;
    case 0x21: addresses = 36; break;
    default: return malformed("it is about neither TCP nor a Unix socket");
    }
    if (rest.size() < addresses) return malformed("its addresses are cut");
    if (!h.local) {
        const bool v6 = addresses == 36;
        const std::size_t one = v6 ? 16 : 4;
        h.source = address_at(rest, 0, v6);
        h.destination = address_at(rest, one, v6);
        h.source.port = static_cast<std::uint16_t>(number_at(rest, 2 * one));
        h.destination.port = static_cast<std::uint16_t>(number_at(rest, 2 * one + 2));
        if (IN6_IS_ADDR_UNSPECIFIED(&h.source.ip)) return malformed("its source is no address");
    }
    return read_fields(rest.substr(addresses), h);
}

void append_number(std::string& to, std::size_t n) {
    to += static_cast<char>(n >> 8);
    to += static_cast<char>(n);
}

} // namespace

proxy_header_result parse_proxy_header(std::string_view bytes) noexcept {
    const std::string_view first = bytes.substr(0, signature.size());
    if (first == signature.substr(0, first.size())) {
        if (bytes.size() < v2_begin) return more((bytes.size() < 12 ? 12 : v2_begin) - bytes.size());
        const std::size_t size = v2_begin + number_at(bytes, 14);
        if (size > proxy_header_max) return malformed("it is longer than 4096 bytes");
        if (bytes.size() < size) return more(size - bytes.size());
        if (bytes.size() > size) return malformed("more was read than the header");
        return read_v2(bytes);
    }
    const std::size_t compared = std::min(bytes.size(), v1_begin.size());
    if (bytes.substr(0, compared) != v1_begin.substr(0, compared)) return malformed("there is no PROXY header");
    // No header is shorter than this.
    if (bytes.size() < signature.size()) return more(signature.size() - bytes.size());
    return parse_v1(bytes);
}

std::string make_proxy_header(proxy_protocol version, const proxy_header& h) {
    const bool v4 = IN6_IS_ADDR_V4MAPPED(&h.source.ip) && IN6_IS_ADDR_V4MAPPED(&h.destination.ip);
    const bool known =
        !h.local && !IN6_IS_ADDR_UNSPECIFIED(&h.source.ip) && !IN6_IS_ADDR_UNSPECIFIED(&h.destination.ip);
    if (version == proxy_protocol::none) return {};
    if (version == proxy_protocol::v1) {
        if (!known) return "PROXY UNKNOWN\r\n";
        std::string out = v4 ? "PROXY TCP4" : "PROXY TCP6";
        for (const peer_address* a : {&h.source, &h.destination}) {
            std::array<char, INET6_ADDRSTRLEN> text{};
            ::inet_ntop(v4 ? AF_INET : AF_INET6, &a->ip.s6_addr[v4 ? 12 : 0], text.data(), text.size());
            out.append(" ").append(text.data());
        }
        return out + " " + std::to_string(h.source.port) + " " + std::to_string(h.destination.port) + "\r\n";
    }
    std::string out(signature);
    out += known ? '\x21' : '\x20';
    out += !known ? '\0' : v4 ? '\x11' : '\x21';
    append_number(out, !known ? 0 : v4 ? 12 : 36);
    if (!known) return out;
    for (const peer_address* a : {&h.source, &h.destination})
        out.append(reinterpret_cast<const char*>(&a->ip.s6_addr[v4 ? 12 : 0]), v4 ? 4 : 16);
    append_number(out, h.source.port);
    append_number(out, h.destination.port);
    return out;
}

task<result<proxy_header>> read_proxy_header(socket& s, duration limit) {
    const time_point deadline = executor::current().turn_time() + limit;
    std::string bytes;
    for (;;) {
        const proxy_header_result r = parse_proxy_header(bytes);
        if (r.state == kind::complete) co_return r.header;
        if (r.state == kind::malformed) co_return std::unexpected(make_error_code(errc::protocol));
        const std::size_t had = bytes.size();
        bytes.resize(had + r.more);
        const duration left = std::max(deadline - executor::current().turn_time(), duration::zero());
        const auto n = co_await s.read_some(std::span(bytes).subspan(had), left);
        if (!n) co_return std::unexpected(n.error());
        if (*n == 0) co_return std::unexpected(make_error_code(errc::premature_close));
        bytes.resize(had + *n);
    }
}

} // namespace headgate
