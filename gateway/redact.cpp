#include <algorithm>

#include <gateway/redact.hpp>

namespace headgate::gateway::detail {

namespace {

int hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

// Takes a character off the front, as it is meant.
char take(std::string_view& text) noexcept {
    if (text.size() >= 3 && text.front() == '%' && hex_digit(text[1]) >= 0 && hex_digit(text[2]) >= 0) {
        const char c = static_cast<char>(hex_digit(text[1]) << 4 | hex_digit(text[2]));
        text.remove_prefix(3);
        return c;
    }
    const char c = text.front();
    text.remove_prefix(1);
    return c;
}

bool same(std::string_view encoded, std::string_view name) noexcept {
    for (const char c : name)
        if (encoded.empty() || lower(take(encoded)) != lower(c)) return false;
    return encoded.empty();
}

} // namespace

bool is_redacted(std::string_view name, std::span<const std::string> names) noexcept {
    return std::ranges::any_of(names, [name](const std::string& n) { return n == "*" || same(name, n); });
}

} // namespace headgate::gateway::detail
