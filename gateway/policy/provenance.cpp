#include <headgate/http/authority.hpp>
#include <headgate/http/list_fields.hpp>
#include <headgate/http/token.hpp>

#include <algorithm>
#include <array>
#include <charconv>

#include <gateway/policy/provenance.hpp>

namespace headgate::gateway {

using http::field;

namespace {

std::string_view scheme_of(std::string_view text) {
    if (http::same_token(text, "https")) return "https";
    if (http::same_token(text, "http")) return "http";
    return {};
}

std::string_view host_of(std::string_view text) {
    http::authority parsed;
    return http::parse_authority(text, parsed) ? text : std::string_view();
}

// The last element of all fields with this name; empty if there is none.
std::string_view last_element(const http::message_head& head, field id) {
    std::string_view last;
    for (const std::string_view e : http::elements(head.headers, id))
        if (!e.empty()) last = e;
    return last;
}

// Takes the last element off a list without quoted strings.
std::string_view take_last(std::string_view& list) {
    const std::size_t comma = list.rfind(',');
    const std::string_view last = comma == std::string_view::npos ? list : list.substr(comma + 1);
    list = comma == std::string_view::npos ? std::string_view() : list.substr(0, comma);
    return http::detail::trim(last);
}

provenance of_x_forwarded(const http::message_head& head, const peer_address& peer, const network_set& trusted) {
    provenance out{.client = peer,
                   .scheme = scheme_of(last_element(head, field::x_forwarded_proto)),
                   .host = host_of(last_element(head, field::x_forwarded_host))};
    for (std::size_t i = head.headers.size(); i-- > 0;) {
        if (head.headers[i].id != field::x_forwarded_for) continue;
        for (std::string_view list = head.headers[i].value; !list.empty();) {
            const std::string_view element = take_last(list);
            if (element.empty()) continue;
            const auto node = parse_node(element);
            if (!node) return out;
            out.client = *node;
            if (!trusted.contains(node->ip)) return out;
        }
    }
    return out;
}

// One element of Forwarded: a view of each value, without quotes.
struct element {
    std::string_view for_{};
    std::string_view host{};
    std::string_view proto{};
};

// Takes a value off the front: a token or a quoted string. Quotes and escapes occur in no address, host or scheme, so
// that a value with an escape may keep it: it is none of them. False if it is neither.
bool take_value(std::string_view& text, std::string_view& value) {
    if (!text.starts_with('"')) {
        const auto end = std::ranges::find_if_not(text, [](char c) { return http::is_token({&c, 1}); });
        const auto size = static_cast<std::size_t>(end - text.begin());
        value = text.substr(0, size);
        text.remove_prefix(size);
        return size != 0;
    }
    for (std::size_t i = 1; i < text.size(); ++i) {
        if (text[i] == '\\') {
            ++i;
        } else if (text[i] == '"') {
            value = text.substr(1, i - 1);
            text.remove_prefix(i + 1);
            return true;
        }
    }
    return false;
}

void skip_space(std::string_view& text) { text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size())); }

// Takes the first element, and the comma after it, off a Forwarded field (RFC 7239, section 4). False if it is
// malformed. Space around ';' is taken, too: senders are found that put it there.
bool take_element(std::string_view& text, element& out) {
    for (;;) {
        skip_space(text);
        if (!text.empty() && text.front() != ',' && text.front() != ';') {
            const std::size_t equals = text.find('=');
            if (equals == std::string_view::npos || !http::is_token(text.substr(0, equals))) return false;
            const std::string_view name = text.substr(0, equals);
            text.remove_prefix(equals + 1);
            std::string_view value;
            if (!take_value(text, value)) return false;
            std::string_view* const to = http::same_token(name, "for")     ? &out.for_
                                         : http::same_token(name, "host")  ? &out.host
                                         : http::same_token(name, "proto") ? &out.proto
                                                                           : nullptr;
            if (to && to->data()) return false; // each at most once
            if (to) *to = value.data() ? value : std::string_view("");
            skip_space(text);
        }
        if (text.empty()) return true;
        const char after = text.front();
        text.remove_prefix(1);
        if (after == ',') return true;
        if (after != ';') return false;
    }
}

// The elements can only be told apart from the front, because of quotes, and must be read from the back. So each pass
// from the front keeps the last ones that a small array takes: nobody has more proxies of his own.
constexpr std::size_t proxies_max = 32;

std::optional<provenance> of_forwarded(const http::message_head& head, const peer_address& peer,
                                       const network_set& trusted) {
    std::array<element, proxies_max> last;
    std::size_t count = 0;
    for (const http::header& h : head.headers) {
        if (h.id != field::forwarded) continue;
        for (std::string_view text = h.value; !text.empty();) {
            element e;
            if (!take_element(text, e)) return std::nullopt;
            if (e.for_.data() || e.host.data() || e.proto.data()) last[count++ % proxies_max] = e;
        }
    }
    provenance out{.client = peer};
    for (std::size_t n = 0; n < std::min(count, proxies_max); ++n) {
        const element& e = last[(count - 1 - n) % proxies_max];
        out.scheme = scheme_of(e.proto);
        out.host = host_of(e.host);
        const auto node = parse_node(e.for_);
        if (!node) break; // "unknown", or an obfuscated identifier
        out.client = *node;
        if (!trusted.contains(node->ip)) break;
    }
    return out;
}

} // namespace

std::optional<peer_address> parse_node(std::string_view text) noexcept {
    peer_address out;
    std::string_view port;
    if (text.starts_with('[')) {
        const std::size_t end = std::min(text.find(']'), text.size() - 1);
        port = text.substr(end + 1);
        text = text.substr(0, end + 1);
    } else if (const std::size_t colon = text.find(':'); colon != std::string_view::npos && colon == text.rfind(':')) {
        port = text.substr(colon);
        text = text.substr(0, colon);
    }
    if (!port.empty()) {
        const auto [end, e] = std::from_chars(port.data() + 1, port.data() + port.size(), out.port);
        if (port.front() != ':' || port.size() == 1 || e != std::errc() || end != port.data() + port.size())
            return std::nullopt;
    }
    const auto ip = parse_ip(text);
    if (!ip || IN6_IS_ADDR_UNSPECIFIED(&*ip)) return std::nullopt;
    out.ip = *ip;
    return out;
}

std::optional<provenance> provenance_of(const http::message_head& head, const peer_address& peer,
                                        const network_set& trusted, forwarded_fields which) {
    if (which == forwarded_fields::forwarded) return of_forwarded(head, peer, trusted);
    return of_x_forwarded(head, peer, trusted);
}

std::string forwarded_element(std::string_view address, std::string_view host, std::string_view scheme) {
    std::string out = "for=";
    if (address.contains(':'))
        out.append("\"[").append(address).append("]\"");
    else
        out.append(address == "unix" ? "unknown" : address);
    if (!host.empty()) out.append(";host=\"").append(host).append("\"");
    return out.append(";proto=").append(scheme);
}

} // namespace headgate::gateway
