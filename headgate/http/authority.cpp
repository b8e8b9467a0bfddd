#include <headgate/http/authority.hpp>
#include <headgate/http/scan.hpp>

namespace headgate::http {
namespace {

using detail::all;
using detail::is;

bool is_ipv4(std::string_view text) {
    for (int part = 0; part < 4; ++part) {
        const std::size_t dot = part < 3 ? text.find('.') : text.size();
        if (dot == std::string_view::npos) return false;
        const std::string_view digits = text.substr(0, dot);
        if (digits.empty() || digits.size() > 3 || !all(detail::digit_byte, digits)) return false;
        if (digits.size() > 1 && digits[0] == '0') return false;
        if (digits.size() == 3 && digits > "255") return false;
        text.remove_prefix(part < 3 ? dot + 1 : dot);
    }
    return text.empty();
}

// Counts 16-bit groups up to the end of the text; an IPv4 tail counts two. -1 if a group is malformed.
int count_groups(std::string_view text, bool ipv4_allowed) {
    int groups = 0;
    while (!text.empty()) {
        const std::size_t colon = text.find(':');
        const std::string_view group = text.substr(0, colon);
        if (colon == std::string_view::npos && ipv4_allowed && is_ipv4(group)) return groups + 2;
        if (group.empty() || group.size() > 4 || !all(detail::hex_byte, group)) return -1;
        ++groups;
        if (colon == std::string_view::npos) return groups;
        text.remove_prefix(colon + 1);
        if (text.empty()) return -1;
    }
    return groups;
}

// RFC 3986, section 3.2.2. Zone identifiers have no place in HTTP; IPvFuture has no users.
bool is_ipv6(std::string_view text) {
    const std::size_t gap = text.find("::");
    if (gap == std::string_view::npos) return count_groups(text, true) == 8;
    const int before = count_groups(text.substr(0, gap), false);
    const int after = count_groups(text.substr(gap + 2), true);
    return before >= 0 && after >= 0 && before + after <= 7;
}

bool is_name(std::string_view text) {
    if (text.empty() || !all(detail::host_byte, text)) return false;
    for (std::size_t at = text.find('%'); at != std::string_view::npos; at = text.find('%', at + 3)) {
        if (at + 2 >= text.size() || !is(text[at + 1], detail::hex_byte) || !is(text[at + 2], detail::hex_byte))
            return false;
    }
    return true;
}

} // namespace

bool parse_authority(std::string_view text, authority& out) noexcept {
    out.text = text;
    out.port = 0;
    std::string_view rest;
    if (text.starts_with('[')) {
        const std::size_t close = text.find(']');
        if (close == std::string_view::npos || !is_ipv6(text.substr(1, close - 1))) return false;
        out.host = text.substr(0, close + 1);
        rest = text.substr(close + 1);
    } else {
        const std::size_t size = static_cast<std::size_t>(
            detail::skip(detail::host_byte, text.data(), text.data() + text.size()) - text.data());
        out.host = text.substr(0, size);
        rest = text.substr(size);
        if (!is_name(out.host)) return false;
    }
    if (rest.empty()) return true;
    if (rest[0] != ':' || rest.size() > 6 || !all(detail::digit_byte, rest.substr(1))) return false;
    unsigned port = 0;
    for (const char digit : rest.substr(1)) port = port * 10 + static_cast<unsigned>(digit - '0');
    if (port > 65535) return false;
    out.port = static_cast<std::uint16_t>(port);
    return true;
}

std::optional<authority> parse_authority(std::string_view text) noexcept {
    authority found;
    if (!parse_authority(text, found)) return std::nullopt;
    return found;
}

} // namespace headgate::http
