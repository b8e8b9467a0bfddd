#pragma once

#include <string>
#include <string_view>

namespace headgate::gateway {

// Appends `text` as the inside of a JSON string (RFC 8259, section 7). Bytes beyond ASCII, which come from peers and
// are not known to be UTF-8, are written as the characters U+0080 to U+00FF: each byte can be told.
inline void append_json_text(std::string& out, std::string_view text) {
    static constexpr char digits[] = "0123456789abcdef";
    for (const char c : text) {
        const auto u = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (u < 0x20 || u >= 0x7f) {
            out += "\\u00";
            out += digits[u >> 4];
            out += digits[u & 15];
        } else {
            out += c;
        }
    }
}

} // namespace headgate::gateway
