#include <headgate/io/networks.hpp>

#include <algorithm>
#include <charconv>
#include <cstring>

#include <arpa/inet.h>

namespace headgate {

namespace {

using number = std::array<std::uint64_t, 2>;

constexpr number mapped_first{0, 0x0000'ffff'0000'0000};
constexpr number mapped_last{0, 0x0000'ffff'ffff'ffff};
constexpr std::uint64_t ones = ~std::uint64_t{0};

constexpr number before(number n) { return {n[1] == 0 ? n[0] - 1 : n[0], n[1] - 1}; }
constexpr number after(number n) { return {n[1] == ones ? n[0] + 1 : n[0], n[1] + 1}; }

// The bits beyond a prefix of so many.
constexpr number beyond(unsigned prefix) {
    const auto half = [](unsigned p) { return p == 0 ? ones : p >= 64 ? 0 : ones >> p; };
    return {half(prefix), half(prefix < 64 ? 0 : prefix - 64)};
}

} // namespace

std::optional<in6_addr> parse_ip(std::string_view text) noexcept {
    std::array<char, INET6_ADDRSTRLEN> copy{};
    const bool brackets = text.starts_with('[') && text.ends_with(']');
    if (brackets) text = text.substr(1, text.size() - 2);
    if (text.size() >= copy.size() || text.contains('\0')) return std::nullopt;
    text.copy(copy.data(), text.size());
    in6_addr ip{};
    if (::inet_pton(AF_INET6, copy.data(), &ip) == 1) return ip;
    in_addr v4{};
    if (brackets || ::inet_pton(AF_INET, copy.data(), &v4) != 1) return std::nullopt;
    ip.s6_addr[10] = ip.s6_addr[11] = 0xff;
    std::memcpy(&ip.s6_addr[12], &v4, sizeof v4);
    return ip;
}

network_set::number network_set::number_of(const in6_addr& ip) noexcept {
    number n{};
    for (std::size_t i = 0; i < 16; ++i) n[i / 8] = n[i / 8] << 8 | ip.s6_addr[i];
    return n;
}

std::optional<network_set::range> network_set::parse(std::string_view text) noexcept {
    if (text == "unix") return range{};
    const std::size_t slash = std::min(text.find('/'), text.size());
    const std::string_view host = text.substr(0, slash);
    const auto ip = host.starts_with('[') ? std::nullopt : parse_ip(host);
    if (!ip) return std::nullopt;
    const unsigned bits = host.contains(':') ? 128 : 32;
    unsigned prefix = bits;
    if (slash != text.size()) {
        const std::string_view digits = text.substr(slash + 1);
        const auto [end, e] = std::from_chars(digits.data(), digits.data() + digits.size(), prefix);
        if (e != std::errc() || end != digits.data() + digits.size() || prefix > bits ||
            (digits.size() > 1 && digits.starts_with('0')))
            return std::nullopt;
    }
    const number rest = beyond(prefix + 128 - bits);
    const number first = number_of(*ip);
    const number last{first[0] | rest[0], first[1] | rest[1]};
    if ((first[0] & rest[0]) != 0 || (first[1] & rest[1]) != 0 || last == number{}) return std::nullopt;
    return range{first, last};
}

bool network_set::is_network(std::string_view text) noexcept { return parse(text).has_value(); }

network_set::network_set(std::span<const std::string> networks) {
    for (const std::string& text : networks) {
        auto r = parse(text);
        if (!r) continue;
        // A network of IPv6 that has the mapped addresses in it does not mean IPv4, nor Unix sockets.
        if (r->first < mapped_first && r->last >= mapped_last) {
            add({r->first == number{} ? number{0, 1} : r->first, before(mapped_first)});
            if (r->last > mapped_last) add({after(mapped_last), r->last});
        } else {
            if (r->first == number{} && r->last != number{}) r->first = {0, 1};
            add(*r);
        }
    }
}

void network_set::add(range r) {
    const auto touches = [](const range& a, const range& b) {
        return a.first <= b.last || (b.last != number{ones, ones} && a.first == after(b.last));
    };
    // Those that overlap or touch it become one with it.
    auto from = std::ranges::find_if(ranges_, [&](const range& x) { return touches(r, x); });
    auto to = from;
    while (to != ranges_.end() && touches(*to, r)) {
        r = {std::min(r.first, to->first), std::max(r.last, to->last)};
        ++to;
    }
    ranges_.insert(ranges_.erase(from, to), r);
}

bool network_set::contains(const in6_addr& ip) const noexcept {
    const number n = number_of(ip);
    const auto next = std::ranges::upper_bound(ranges_, n, {}, &range::first);
    return next != ranges_.begin() && n <= std::prev(next)->last;
}

} // namespace headgate
