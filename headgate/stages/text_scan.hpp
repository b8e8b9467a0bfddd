#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

// Text as the formatters look at it: 16 bytes at a time on x86-64, elsewhere one by one.
namespace headgate::detail {

#ifdef __SSE2__

// Up to 16 bytes, without reading past them; the others are 0.
inline __m128i load_up_to_16(const char* p, std::size_t n) noexcept {
    const auto word = [](const char* at, auto w) {
        std::memcpy(&w, at, sizeof w);
        return w;
    };
    if (n >= 16) return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    std::uint64_t low = 0, high = 0;
    if (n > 8) {
        low = word(p, low);
        high = word(p + n - 8, high) >> (8 * (16 - n));
    } else if (n >= 4) {
        low = word(p, std::uint32_t{}) | std::uint64_t{word(p + n - 4, std::uint32_t{})} << (8 * (n - 4));
    } else {
        for (std::size_t i = 0; i < n; ++i) low |= std::uint64_t{static_cast<unsigned char>(p[i])} << (8 * i);
    }
    return _mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low));
}

#endif

// What a scan has seen.
struct text_seen {
    bool special = false; // a byte that was looked for
    bool high = false;    // a byte of 0x80 and above: not ASCII
};

// Looks for a delimiter, quotes and ends of lines.
inline text_seen scan_csv(std::string_view text, char delimiter) noexcept {
    text_seen seen;
#ifdef __SSE2__
    const __m128i d = _mm_set1_epi8(delimiter), quote = _mm_set1_epi8('"');
    const __m128i cr = _mm_set1_epi8('\r'), lf = _mm_set1_epi8('\n');
    __m128i found = _mm_setzero_si128(), all = found;
    for (std::size_t i = 0; i < text.size(); i += 16) {
        const __m128i v = load_up_to_16(text.data() + i, text.size() - i);
        found = _mm_or_si128(found, _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, d), _mm_cmpeq_epi8(v, quote)),
                                                 _mm_or_si128(_mm_cmpeq_epi8(v, cr), _mm_cmpeq_epi8(v, lf))));
        all = _mm_or_si128(all, v);
    }
    seen.special = _mm_movemask_epi8(found) != 0;
    seen.high = _mm_movemask_epi8(all) != 0;
#else
    for (const char c : text) {
        seen.special |= c == delimiter || c == '"' || c == '\r' || c == '\n';
        seen.high |= static_cast<unsigned char>(c) >= 0x80;
    }
#endif
    return seen;
}

// Copies up to the first byte that a JSON string cannot have as it is: a control, a quote, a backslash. Gives how many
// bytes that were, and notes those that are not ASCII. `to` must have room for 16 bytes more than the text has.
inline std::size_t copy_json_plain(char* to, std::string_view text, bool& high) noexcept {
    std::size_t i = 0;
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), last = _mm_set1_epi8(0x1f);
    while (i < text.size()) {
        const std::size_t n = text.size() - i < 16 ? text.size() - i : 16;
        const __m128i v = load_up_to_16(text.data() + i, n);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), v);
        const __m128i special = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, backslash)),
                                             _mm_cmpeq_epi8(_mm_min_epu8(v, last), v));
        const unsigned found = static_cast<unsigned>(_mm_movemask_epi8(special)) & (0xffffU >> (16 - n));
        high |= _mm_movemask_epi8(v) != 0;
        if (found != 0) return i + static_cast<std::size_t>(__builtin_ctz(found));
        i += n;
    }
#else
    for (; i < text.size(); ++i) {
        const auto c = static_cast<unsigned char>(text[i]);
        if (c < 0x20 || c == '"' || c == '\\') break;
        high |= c >= 0x80;
        to[i] = text[i];
    }
#endif
    return i;
}

} // namespace headgate::detail
