#include <headgate/core/error.hpp>
#include <headgate/stages/value_text.hpp>

#include <algorithm>

namespace headgate::detail {

namespace {

constexpr std::string_view base64_digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view hex_digits = "0123456789abcdef";

bool digit(char c) noexcept { return c >= '0' && c <= '9'; }

unsigned byte_at(std::string_view t, std::size_t i) noexcept { return static_cast<unsigned char>(t[i]); }

int hex_value(char c) noexcept {
    if (digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

std::size_t skip_digits(std::string_view t, std::size_t i) noexcept {
    while (i < t.size() && digit(t[i])) ++i;
    return i;
}

} // namespace

std::string_view moment(value_type type, std::string_view text, moment_text& room) noexcept {
    const bool dated = type == value_type::timestamp || type == value_type::timestamptz;
    const bool zoned = type == value_type::timestamptz || type == value_type::timetz;
    if (!(dated || zoned) || text.size() + 3 > room.size() || text.empty() || !digit(text[0])) return text;

    std::size_t end = text.size();
    if (text.ends_with(" BC")) end -= 3;
    char* to = std::copy(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(end), room.data());
    if (dated)
        if (const std::size_t space = text.find(' '); space < end) room[space] = 'T';
    if (zoned) {
        const std::size_t sign = text.find_last_of("+-", end - 1);
        if (sign != std::string_view::npos && sign > text.find(':') && end - sign == 3) {
            if (text.substr(sign + 1, 2) == "00") {
                to -= 3;
                *to++ = 'Z';
            } else {
                to = std::copy_n(":00", 3, to);
            }
        }
    }
    to = std::copy(text.begin() + static_cast<std::ptrdiff_t>(end), text.end(), to);
    return {room.data(), static_cast<std::size_t>(to - room.data())};
}

bool is_json_number(std::string_view t) noexcept {
    std::size_t i = t.starts_with('-') ? 1 : 0;
    const std::size_t first = i;
    i = skip_digits(t, i);
    if (i == first || (t[first] == '0' && i - first > 1)) return false;
    if (i < t.size() && t[i] == '.') {
        const std::size_t fraction = ++i;
        if ((i = skip_digits(t, i)) == fraction) return false;
    }
    if (i < t.size() && (t[i] == 'e' || t[i] == 'E')) {
        if (++i < t.size() && (t[i] == '+' || t[i] == '-')) ++i;
        const std::size_t exponent = i;
        if ((i = skip_digits(t, i)) == exponent) return false;
    }
    return i == t.size();
}

char* write_base64(char* to, std::string_view b) noexcept {
    std::size_t i = 0;
    const auto put = [&to](unsigned bits, int shift) {
        *to++ = base64_digits[static_cast<std::size_t>(bits >> shift & 63)];
    };
    for (; i + 3 <= b.size(); i += 3) {
        const unsigned bits = byte_at(b, i) << 16 | byte_at(b, i + 1) << 8 | byte_at(b, i + 2);
        for (int shift = 18; shift >= 0; shift -= 6) put(bits, shift);
    }
    if (i == b.size()) return to;
    const bool two = b.size() - i == 2;
    const unsigned bits = byte_at(b, i) << 16 | (two ? byte_at(b, i + 1) << 8 : 0);
    put(bits, 18);
    put(bits, 12);
    if (two)
        put(bits, 6);
    else
        *to++ = '=';
    *to++ = '=';
    return to;
}

char* write_hex(char* to, std::string_view bytes) noexcept {
    for (const char c : bytes) {
        const auto b = static_cast<unsigned char>(c);
        *to++ = hex_digits[b >> 4];
        *to++ = hex_digits[b & 15];
    }
    return to;
}

char* read_hex(char* to, std::string_view digits) noexcept {
    if (digits.size() % 2 != 0) return nullptr;
    for (std::size_t i = 0; i < digits.size(); i += 2) {
        const int high = hex_value(digits[i]), low = hex_value(digits[i + 1]);
        if (high < 0 || low < 0) return nullptr;
        *to++ = static_cast<char>(high << 4 | low);
    }
    return to;
}

namespace {

[[noreturn]] void not_hexadecimal() {
    throw std::system_error(make_error_code(errc::protocol), "bytes that are not in hexadecimal");
}

} // namespace

byte_pieces::byte_pieces(value_type type, std::string_view text) : rest_(text), hex_(type == value_type::bytea) {
    if (!hex_) return;
    if (!text.starts_with("\\x")) not_hexadecimal();
    rest_.remove_prefix(2);
}

std::string_view byte_pieces::next() {
    const std::string_view taken = rest_.substr(0, hex_ ? 2 * piece : piece);
    rest_.remove_prefix(taken.size());
    if (!hex_) return taken;
    const char* end = read_hex(decoded_.data(), taken);
    if (!end) not_hexadecimal();
    return {decoded_.data(), static_cast<std::size_t>(end - decoded_.data())};
}

array_reader::array_reader(std::string_view literal, char delimiter) : rest_(literal), delimiter_(delimiter) {
    if (!rest_.starts_with('[')) return;
    const std::size_t equals = rest_.find('=');
    rest_.remove_prefix(equals == std::string_view::npos ? 0 : equals + 1);
}

array_reader::token array_reader::next() {
    if (begun_ && depth_ == 0) return rest_.empty() ? token::end : token::malformed;
    if (rest_.empty() || (!begun_ && rest_[0] != '{')) return token::malformed;
    begun_ = true;
    char c = rest_[0];
    if (after_value_ && c == delimiter_) {
        rest_.remove_prefix(1);
        after_value_ = false;
        if (rest_.empty() || rest_[0] == '}') return token::malformed;
        c = rest_[0];
    } else if (after_value_ && c != '}') {
        return token::malformed;
    }
    if (c != '{' && c != '}') return element();
    rest_.remove_prefix(1);
    after_value_ = c == '}';
    depth_ += c == '{' ? 1 : std::size_t(-1);
    return c == '{' ? token::open : token::close;
}

array_reader::token array_reader::element() {
    after_value_ = true;
    if (rest_[0] == '"') return quoted();
    const std::size_t end = std::min(rest_.find(delimiter_), rest_.find('}'));
    if (end == std::string_view::npos || end == 0) return token::malformed;
    text_ = rest_.substr(0, end);
    rest_.remove_prefix(end);
    return text_ == "NULL" ? token::null : token::element;
}

array_reader::token array_reader::quoted() {
    rest_.remove_prefix(1);
    unescaped_.clear();
    for (;;) {
        const std::size_t end = rest_.find_first_of("\"\\");
        if (end == std::string_view::npos) return token::malformed;
        if (rest_[end] == '"') {
            text_ = rest_.substr(0, end);
            if (!unescaped_.empty()) text_ = unescaped_ += text_;
            rest_.remove_prefix(end + 1);
            return token::element;
        }
        if (end + 1 == rest_.size()) return token::malformed;
        unescaped_ += rest_.substr(0, end);
        unescaped_ += rest_[end + 1];
        rest_.remove_prefix(end + 2);
    }
}

} // namespace headgate::detail
