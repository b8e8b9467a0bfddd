#include <headgate/stages/utf8.hpp>

#include <array>
#include <cstdint>
#include <cstring>

namespace headgate::detail {

namespace {

struct sequence {
    std::size_t valid;   // bytes of the character; 0 if there is none
    std::size_t invalid; // if there is none: how many bytes belong together
};

sequence first_of(std::string_view t) noexcept {
    const auto byte = [&t](std::size_t i) { return static_cast<unsigned char>(t[i]); };
    const unsigned lead = byte(0);
    if (lead < 0x80) return {1, 0};
    if (lead < 0xc2 || lead > 0xf4) return {0, 1};
    const std::size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    const unsigned low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80; // of the second byte
    const unsigned high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (t.size() < 2 || byte(1) < low || byte(1) > high) return {0, 1};
    for (std::size_t i = 2; i < length; ++i)
        if (i >= t.size() || (byte(i) & 0xc0) != 0x80) return {0, i};
    return {length, 0};
}

} // namespace

std::size_t utf8_valid(std::string_view text) noexcept {
    std::size_t i = 0;
    while (i < text.size()) {
        std::uint64_t eight = 0;
        if (text.size() - i >= sizeof eight) {
            std::memcpy(&eight, text.data() + i, sizeof eight);
            if ((eight & 0x8080808080808080) == 0) {
                i += sizeof eight;
                continue;
            }
        }
        const sequence s = first_of(text.substr(i));
        if (s.valid == 0) return i;
        i += s.valid;
    }
    return i;
}

std::size_t utf8_invalid(std::string_view text) noexcept { return first_of(text).invalid; }

std::string utf8_repaired(std::string_view text) {
    std::string out;
    for (;;) {
        const std::size_t n = utf8_valid(text);
        out += text.substr(0, n);
        text.remove_prefix(n);
        if (text.empty()) return out;
        out += utf8_replacement;
        text.remove_prefix(utf8_invalid(text));
    }
}

std::size_t utf8_cut(std::string_view text, std::size_t n) noexcept {
    if (n >= text.size()) return text.size();
    for (std::size_t back = 0; back < 4 && back < n; ++back)
        if ((static_cast<unsigned char>(text[n - back]) & 0xc0) != 0x80) return n - back;
    return n; // not UTF-8 anyway
}

} // namespace headgate::detail
