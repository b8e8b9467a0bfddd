#include <cstdint>

#include <gateway/config/plain_text.hpp>

namespace headgate::gateway {

namespace {

// The bytes of the character at the start of `text`, by RFC 3629 (no surrogates, nothing overlong); 0 if there is none.
std::size_t utf8_size(std::string_view text) noexcept {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned first = byte(0);
    if (first < 0x80) return 1;
    const std::size_t size = first >= 0xc2 && first < 0xe0   ? 2
                             : (first & 0xf0) == 0xe0        ? 3
                             : first >= 0xf0 && first < 0xf5 ? 4
                                                             : 0;
    if (size == 0 || text.size() < size) return 0;
    for (std::size_t i = 1; i < size; ++i)
        if ((byte(i) & 0xc0) != 0x80) return 0;
    const unsigned second = byte(1);
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second >= 0xa0) || (first == 0xf0 && second < 0x90) ||
        (first == 0xf4 && second >= 0x90))
        return 0;
    return size;
}

std::string hex(unsigned char c) {
    constexpr std::string_view digits = "0123456789abcdef";
    return std::string("0x") + digits[c >> 4] + digits[c & 15];
}

// What is wrong with the character at the start of `text`; null if it is fine.
std::optional<std::string> fault_of(std::string_view text, bool line_begins) {
    const auto c = static_cast<unsigned char>(text.front());
    if (utf8_size(text) == 0) return "the byte " + hex(c) + " is not UTF-8; save the file as UTF-8";
    if (c == '%' && line_begins)
        return "a line that begins with '%' is a directive to YAML readers; none is needed here";
    if (c == '\r' && !text.starts_with("\r\n")) return "a carriage return must be followed by a line feed";
    if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
        return "the control character " + hex(c) + " is not allowed; in double quotes write \\x" + hex(c).substr(2);
    return std::nullopt;
}

} // namespace

std::optional<text_fault> find_fault(std::string_view text) {
    config_mark at{1, 1};
    while (!text.empty()) {
        if (auto message = fault_of(text, at.column == 1)) return text_fault{at, std::move(*message)};
        if (text.front() == '\n')
            at = {at.line + 1, 1};
        else
            ++at.column;
        text.remove_prefix(utf8_size(text));
    }
    return std::nullopt;
}

} // namespace headgate::gateway
