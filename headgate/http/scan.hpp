#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

// Byte classes and scans of the HTTP/1.1 codec. Used by the codec's own files; nothing here is a promise to others.
//
// Scans never read outside [p, end). SSE2 is part of every x86-64; other machines take the portable loops.
namespace headgate::http::detail {

// Sets of bytes, one bit each. Names follow the grammar they come from.
enum byte_class : std::uint8_t {
    token_byte = 1,  // tchar (RFC 9110, section 5.6.2)
    path_byte = 2,   // what a request target may hold before its '?' (see parser.hpp for the choice)
    query_byte = 4,  // what it may hold after
    host_byte = 8,   // unreserved / sub-delims / '%' (RFC 3986, section 3.2.2)
    digit_byte = 16, // DIGIT
    hex_byte = 32,   // HEXDIG, either case
    value_byte = 64, // field-vchar / SP / HTAB: everything but controls (RFC 9110, section 5.5)
    alpha_byte = 128 // ALPHA
};

inline constexpr std::array<std::uint8_t, 256> byte_classes = [] {
    std::array<std::uint8_t, 256> table{};
    const auto mark = [&table](std::string_view bytes, unsigned classes) {
        for (const char c : bytes) {
            auto& entry = table[static_cast<unsigned char>(c)];
            entry = static_cast<std::uint8_t>(entry | classes);
        }
    };
    for (unsigned c = 0; c < 256; ++c) {
        if ((c >= 0x20 && c != 0x7f) || c == '\t') table[c] = value_byte;
    }
    mark("0123456789", token_byte | path_byte | query_byte | host_byte | digit_byte | hex_byte);
    mark("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
         token_byte | path_byte | query_byte | host_byte | alpha_byte);
    mark("abcdefABCDEF", hex_byte);
    mark("!#$%&'*+-.^_`|~", token_byte);
    mark("-._~%!$&'()*+,;=", path_byte | query_byte | host_byte);
    mark(":@/[]{}|^`", path_byte | query_byte);
    mark("?\\", query_byte);
    return table;
}();

constexpr bool is(char c, unsigned classes) { return (byte_classes[static_cast<unsigned char>(c)] & classes) != 0; }

// The first byte in [p, end) that is not in the class; end if there is none.
constexpr const char* skip(byte_class wanted, const char* p, const char* end) {
    while (p != end && is(*p, wanted)) ++p;
    return p;
}

// Whether every byte is in the class; true for no bytes. Without a branch per byte.
constexpr bool all(byte_class wanted, std::string_view text) {
    unsigned classes = wanted;
    for (const char c : text) classes &= byte_classes[static_cast<unsigned char>(c)];
    return classes != 0;
}

constexpr bool is_token(std::string_view text) { return !text.empty() && all(token_byte, text); }

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

// Compares without regard to ASCII case. `lowered` must already be lower case.
constexpr bool equals_lowered(std::string_view text, std::string_view lowered) {
    if (text.size() != lowered.size()) return false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (lower(text[i]) != lowered[i]) return false;
    }
    return true;
}

// Removes SP and HTAB at both ends (OWS, RFC 9110, section 5.6.3).
constexpr std::string_view trim(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

#ifdef __SSE2__
// 0xff in each byte that is a control other than HTAB, 0 elsewhere.
inline __m128i controls(__m128i v) {
    const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    const __m128i tab = _mm_cmpeq_epi8(v, _mm_set1_epi8('\t'));
    return _mm_or_si128(_mm_andnot_si128(tab, low), _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
}

inline __m128i load16(const char* p) {
    __m128i v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
#endif

// The first control other than HTAB in [p, end), so CR and LF too; end if there is none.
inline const char* find_control(const char* p, const char* end) {
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        if (const int found = _mm_movemask_epi8(controls(load16(p))); found != 0)
            return p + __builtin_ctz(static_cast<unsigned>(found));
    }
#endif
    return skip(value_byte, p, end);
}

// The first ':' in [p, end); end if there is none. Field names are short, so this beats a call of memchr.
inline const char* find_colon(const char* p, const char* end) {
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        if (const int found = _mm_movemask_epi8(_mm_cmpeq_epi8(load16(p), _mm_set1_epi8(':'))); found != 0)
            return p + __builtin_ctz(static_cast<unsigned>(found));
    }
#endif
    while (p != end && *p != ':') ++p;
    return p;
}

// Takes the text up to the next comma off a list and returns it trimmed; empty elements are returned as empty.
constexpr std::string_view next_element(std::string_view& list) {
    const std::size_t comma = list.find(',');
    const std::string_view element = trim(list.substr(0, comma));
    list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
    return element;
}

} // namespace headgate::http::detail
