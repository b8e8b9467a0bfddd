#include <algorithm>

#include <gateway/path.hpp>

namespace headgate::gateway {

namespace {

int hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

// Characters that mean the same encoded or not (RFC 3986, section 2.3).
bool unreserved(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

// The encodings spelled in one way; nothing else is changed.
std::string decode_unreserved(std::string_view path) {
    static constexpr char digits[] = "0123456789ABCDEF";
    std::string out;
    out.reserve(path.size());
    for (std::size_t i = 0; i < path.size(); ++i) {
        const int byte = encoded_byte(path, i);
        if (byte < 0) {
            out += path[i];
            continue;
        }
        if (const char c = static_cast<char>(byte); unreserved(c))
            out += c;
        else
            (((out += '%') += digits[byte / 16]) += digits[byte % 16]);
        i += 2;
    }
    return out;
}

} // namespace

int encoded_byte(std::string_view text, std::size_t percent) noexcept {
    if (text[percent] != '%' || percent + 2 >= text.size()) return -1;
    const int high = hex_digit(text[percent + 1]);
    const int low = hex_digit(text[percent + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

bool is_normal_path(std::string_view path) noexcept {
    if (!path.starts_with('/')) return true;
    for (std::size_t i = 0; i < path.size(); ++i) {
        if (path[i] == '%') return false;
        if (path[i] != '/' || i + 1 == path.size()) continue;
        if (path[i + 1] == '/') return false;
        if (path[i + 1] == '.') return false; // it may be a name such as ".well-known": that is looked at with care
    }
    return true;
}

std::string normal_path(std::string_view path) {
    if (!path.starts_with('/')) return std::string(path);
    const std::string decoded = decode_unreserved(path);
    std::string out;
    out.reserve(decoded.size());
    for (std::size_t at = 0; at < decoded.size();) {
        const std::size_t end = std::min(decoded.find('/', at + 1), decoded.size());
        const std::string_view segment = std::string_view(decoded).substr(at + 1, end - at - 1);
        const bool last = end == decoded.size();
        if (segment == "..") {
            out.resize(out.empty() ? 0 : out.rfind('/'));
            if (last) out += '/';
        } else if (segment == "." || segment.empty()) {
            if (last) out += '/';
        } else {
            (out += '/') += segment;
        }
        at = end;
    }
    return out;
}

bool has_path_prefix(std::string_view path, std::string_view prefix) noexcept {
    while (prefix.ends_with('/')) prefix.remove_suffix(1);
    return path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/');
}

} // namespace headgate::gateway
