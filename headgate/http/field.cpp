#include <headgate/http/field.hpp>
#include <headgate/http/scan.hpp>

#include <algorithm>
#include <array>

namespace headgate::http {
namespace {

// In the order of the enumeration.
constexpr std::array<std::string_view, field_count> names = {
    "",
    "Host",
    "Connection",
    "Content-Length",
    "Transfer-Encoding",
    "TE",
    "Trailer",
    "Upgrade",
    "Expect",
    "Keep-Alive",
    "Proxy-Connection",
    "Via",
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "X-Request-ID",
    "traceparent",
    "tracestate",
    "Max-Forwards",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Authentication-Info",
    "Authorization",
    "WWW-Authenticate",
    "Cookie",
    "Set-Cookie",
    "Origin",
    "Referer",
    "User-Agent",
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Accept-Ranges",
    "Content-Type",
    "Content-Encoding",
    "Content-Language",
    "Content-Range",
    "Content-Disposition",
    "Range",
    "Date",
    "Server",
    "Location",
    "Retry-After",
    "Allow",
    "Cache-Control",
    "Pragma",
    "Age",
    "Expires",
    "ETag",
    "Last-Modified",
    "Vary",
    "Warning",
    "If-Match",
    "If-None-Match",
    "If-Modified-Since",
    "If-Unmodified-Since",
    "If-Range",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Accept",
    "Sec-WebSocket-Version",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Extensions",
};
static_assert(std::ranges::all_of(names, [](std::string_view name) { return name.size() <= known_name_max; }));
static_assert(!names.back().empty());

// A perfect hash over the length and three letters. The multiplier is searched for at compile time, so that adding a
// name to the list is all there is to do.
constexpr unsigned slot_bits = 9;

constexpr std::uint32_t key_of(const char* name, std::size_t size) {
    const auto letter = [name](std::size_t at) { return static_cast<std::uint32_t>(name[at] | 0x20) & 0xff; };
    return letter(0) | letter(size / 2) << 8 | letter(size - 1) << 16 | static_cast<std::uint32_t>(size) << 24;
}

constexpr std::size_t slot_of(std::uint32_t key, std::uint32_t multiplier) {
    return (key * multiplier) >> (32 - slot_bits);
}

struct slot_table {
    std::uint32_t multiplier = 0;
    std::array<field, 1u << slot_bits> slots{};
};

consteval slot_table make_slots() {
    std::uint32_t multiplier = 0x9e3779b1;
    for (int attempt = 0; attempt < 2000; ++attempt, multiplier = multiplier * 1664525 + 1013904223) {
        slot_table table{.multiplier = multiplier | 1};
        bool perfect = true;
        for (std::size_t i = 1; i < field_count && perfect; ++i) {
            field& slot = table.slots[slot_of(key_of(names[i].data(), names[i].size()), table.multiplier)];
            perfect = slot == field::other;
            slot = static_cast<field>(i);
        }
        if (perfect) return table;
    }
    throw "two names share length and letters: look at one more letter in key_of";
}

constexpr slot_table hashed = make_slots();

struct alignas(32) lowered_name {
    std::array<char, known_name_max> text{};
};

constexpr std::array<lowered_name, field_count> lowered = [] {
    std::array<lowered_name, field_count> table{};
    for (std::size_t i = 0; i < field_count; ++i) {
        for (std::size_t at = 0; at < names[i].size(); ++at) table[i].text[at] = detail::lower(names[i][at]);
    }
    return table;
}();

// Compares the first `size` bytes. Both can be read in whole blocks of 16.
bool same_name(const char* given, const char* wanted, std::size_t size) noexcept {
#ifdef __SSE2__
    const auto differs = [given, wanted](std::size_t at) {
        const __m128i v = detail::load16(given + at);
        const __m128i upper =
            _mm_and_si128(_mm_cmpgt_epi8(v, _mm_set1_epi8('A' - 1)), _mm_cmplt_epi8(v, _mm_set1_epi8('Z' + 1)));
        const __m128i low = _mm_or_si128(v, _mm_and_si128(upper, _mm_set1_epi8(0x20)));
        const __m128i equal = _mm_cmpeq_epi8(low, _mm_load_si128(reinterpret_cast<const __m128i*>(wanted + at)));
        return static_cast<std::uint64_t>(~_mm_movemask_epi8(equal) & 0xffff) << at;
    };
    std::uint64_t different = differs(0);
    if (size > 16) different |= differs(16);
    return (different & ((std::uint64_t{1} << size) - 1)) == 0;
#else
    return detail::equals_lowered({given, size}, {wanted, size});
#endif
}

constexpr std::uint64_t bits(auto... ids) { return (field_bit(ids) | ...); }

constexpr std::uint64_t hop_by_hop_fields = [] {
    using enum field;
    return bits(connection, keep_alive, proxy_connection, te, transfer_encoding, upgrade, proxy_authenticate,
                proxy_authorization, proxy_authentication_info);
}();

constexpr std::uint64_t forbidden_trailers = [] {
    using enum field;
    return hop_by_hop_fields | bits(host, content_length, trailer, expect, max_forwards) |
           bits(via, forwarded, x_forwarded_for, x_forwarded_host, x_forwarded_proto, x_real_ip, x_request_id) |
           bits(authorization, www_authenticate, cookie, set_cookie, origin, referer) |
           bits(content_type, content_encoding, content_range, content_disposition, range) |
           bits(date, location, retry_after, cache_control, pragma, age, expires, vary, warning) |
           bits(if_match, if_none_match, if_modified_since, if_unmodified_since, if_range) |
           bits(sec_websocket_key, sec_websocket_accept, sec_websocket_version, sec_websocket_protocol,
                sec_websocket_extensions);
}();

} // namespace

std::string_view field_name(field id) noexcept { return names[static_cast<std::size_t>(id)]; }

field lookup_field(std::string_view name, std::size_t readable) noexcept {
    if (name.empty() || name.size() > known_name_max) return field::other;
    const field id = hashed.slots[slot_of(key_of(name.data(), name.size()), hashed.multiplier)];
    const auto index = static_cast<std::size_t>(id);
    if (name.size() != names[index].size()) return field::other;
    const char* wanted = lowered[index].text.data();
    const std::size_t block = name.size() <= 16 ? 16 : known_name_max;
    const bool same = readable >= block ? same_name(name.data(), wanted, name.size())
                                        : detail::equals_lowered(name, {wanted, name.size()});
    return same ? id : field::other;
}

field lookup_field(std::string_view name) noexcept { return lookup_field(name, name.size()); }

bool is_hop_by_hop(field id) noexcept { return (hop_by_hop_fields & field_bit(id)) != 0; }

bool is_forbidden_in_trailer(field id) noexcept { return (forbidden_trailers & field_bit(id)) != 0; }

bool is_forbidden_in_trailer(std::string_view name) noexcept {
    constexpr std::string_view forwarded = "x-forwarded-";
    return is_forbidden_in_trailer(lookup_field(name)) ||
           detail::equals_lowered(name.substr(0, forwarded.size()), forwarded) ||
           detail::equals_lowered(name, "x-client-certificate-subject");
}

} // namespace headgate::http
