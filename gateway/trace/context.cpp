#include <headgate/http/list_fields.hpp>
#include <headgate/http/token.hpp>

#include <algorithm>
#include <random>

#include <gateway/trace/context.hpp>

namespace headgate::gateway {

namespace {

constexpr std::size_t members_max = 32;
constexpr std::size_t key_max = 256;
constexpr std::size_t value_max = 256;

// Lower case only, as the recommendation wants it.
bool read_hex(std::string_view text, std::uint64_t& to) noexcept {
    to = 0;
    for (const char c : text) {
        const bool digit = c >= '0' && c <= '9';
        if (!digit && (c < 'a' || c > 'f')) return false;
        to = to << 4 | static_cast<std::uint64_t>(digit ? c - '0' : c - 'a' + 10);
    }
    return true;
}

void write_hex(char* to, std::uint64_t n) noexcept {
    for (int i = 15; i >= 0; --i, n >>= 4) to[i] = "0123456789abcdef"[n & 15];
}

bool starts_key(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool in_key(char c) noexcept { return starts_key(c) || c == '_' || c == '-' || c == '*' || c == '/' || c == '@'; }
bool in_value(char c) noexcept { return c >= ' ' && c <= '~' && c != ',' && c != '='; }

bool is_member(std::string_view text) noexcept {
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos || equals == 0 || equals > key_max) return false;
    const std::string_view key = text.substr(0, equals);
    const std::string_view value = text.substr(equals + 1);
    return starts_key(key.front()) && std::ranges::all_of(key, in_key) && !value.empty() && value.size() <= value_max &&
           std::ranges::all_of(value, in_value);
}

} // namespace

std::optional<trace_context> parse_traceparent(std::string_view text) noexcept {
    constexpr std::size_t size = std::tuple_size_v<traceparent_text>;
    if (text.size() < size || text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
    trace_context c;
    std::uint64_t version = 0;
    std::uint64_t flags = 0;
    if (!read_hex(text.substr(0, 2), version) || !read_hex(text.substr(3, 16), c.trace_high) ||
        !read_hex(text.substr(19, 16), c.trace_low) || !read_hex(text.substr(traceparent_span_at, 16), c.span) ||
        !read_hex(text.substr(53, 2), flags))
        return std::nullopt;
    const bool longer = text.size() > size;
    if (version == 0xff || (longer && (version == 0 || text[size] != '-'))) return std::nullopt;
    if ((c.trace_high == 0 && c.trace_low == 0) || c.span == 0) return std::nullopt;
    c.sampled = (flags & 1) != 0;
    return c;
}

traceparent_text format_traceparent(const trace_context& c) noexcept {
    traceparent_text out;
    out[0] = out[1] = out[53] = '0';
    out[2] = out[35] = out[52] = '-';
    write_hex(&out[3], c.trace_high);
    write_hex(&out[19], c.trace_low);
    write_hex(&out[traceparent_span_at], c.span);
    out[54] = c.sampled ? '1' : '0';
    return out;
}

trace_id_text format_trace_id(const trace_context& c) noexcept {
    trace_id_text out;
    write_hex(out.data(), c.trace_high);
    write_hex(out.data() + 16, c.trace_low);
    return out;
}

span_id_text format_span_id(std::uint64_t id) noexcept {
    span_id_text out;
    write_hex(out.data(), id);
    return out;
}

std::optional<trace_context> trace_context_of(const http::message_head& head) noexcept {
    if (!head.headers.contains(http::field::traceparent)) return std::nullopt;
    const http::header* found = nullptr;
    for (const http::header& h : head.headers) {
        if (h.id != http::field::traceparent) continue;
        if (found) return std::nullopt;
        found = &h;
    }
    return found ? parse_traceparent(found->value) : std::nullopt;
}

bool usable_tracestate(const http::message_head& head) noexcept {
    std::size_t members = 0;
    for (const std::string_view member : http::elements(head.headers, http::field::tracestate))
        if (!member.empty() && (!is_member(member) || ++members > members_max)) return false;
    return true;
}

trace_ids::trace_ids() {
    std::random_device random;
    state_ = std::uint64_t{random()} << 32 | random();
}

// SplitMix64 (G. Steele, D. Lea, C. Flood, 2014).
std::uint64_t trace_ids::next() noexcept {
    for (;;) {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        z ^= z >> 31;
        if (z != 0) return z;
    }
}

} // namespace headgate::gateway
