#include <headgate/http/scan.hpp>
#include <headgate/http/writer.hpp>

#include <array>
#include <charconv>
#include <cstring>

namespace headgate::http {
namespace {

constexpr std::string_view version = "HTTP/1.1";

// Copies and tells whether there was no control other than HTAB. Checking while copying reads every byte once; the
// overlapping last block spares a loop over single bytes.
bool copy_checked(char* to, const char* from, std::size_t size) noexcept {
#ifdef __SSE2__
    if (size >= 16) {
        __m128i bad = _mm_setzero_si128();
        const auto block = [&](std::size_t at) {
            const __m128i v = detail::load16(from + at);
            bad = _mm_or_si128(bad, detail::controls(v));
            std::memcpy(to + at, &v, sizeof v);
        };
        for (std::size_t at = 0; at + 16 <= size; at += 16) block(at);
        block(size - 16);
        return _mm_movemask_epi8(bad) == 0;
    }
    if (size >= 8) {
        std::array<std::uint64_t, 2> both{};
        std::memcpy(&both[0], from, 8);
        std::memcpy(&both[1], from + size - 8, 8);
        std::memcpy(to, &both[0], 8);
        std::memcpy(to + size - 8, &both[1], 8);
        return _mm_movemask_epi8(detail::controls(detail::load16(reinterpret_cast<const char*>(both.data())))) == 0;
    }
#endif
    unsigned classes = detail::value_byte;
    for (std::size_t i = 0; i < size; ++i) {
        classes &= detail::byte_classes[static_cast<unsigned char>(from[i])];
        to[i] = from[i];
    }
    return classes != 0;
}

} // namespace

bool head_writer::reserve(std::size_t size) noexcept {
    if (fault_ != fault::none) return false;
    if (static_cast<std::size_t>(end_ - at_) >= size) return true;
    fault_ = fault::overflow;
    return false;
}

char* head_writer::put(char* to, std::string_view text) noexcept {
    if (!text.empty()) std::memcpy(to, text.data(), text.size());
    return to + text.size();
}

// The rest of a line whose room was reserved. at_ moves only when the value is good.
void head_writer::put_value(char* to, std::string_view value) noexcept {
    if (!copy_checked(to, value.data(), value.size())) return refuse();
    at_ = put(to + value.size(), "\r\n");
}

void head_writer::request_line(std::string_view method, std::string_view target, std::string_view query) noexcept {
    if (!reserve(method.size() + target.size() + query.size() + version.size() + 4)) return;
    if (!detail::is_token(method) || target.empty() || !detail::all(detail::query_byte, target) ||
        !detail::all(detail::query_byte, query))
        return refuse();
    char* to = put(at_, method);
    to = put(put(put(to, " "), target), query);
    at_ = put(put(put(to, " "), version), "\r\n");
}

void head_writer::status_line(int status, std::string_view reason) noexcept {
    if (!reserve(version.size() + 5 + reason.size() + 2)) return;
    if (status < 100 || status > 599) return refuse();
    const std::array<char, 5> digits = {' ', static_cast<char>('0' + status / 100),
                                        static_cast<char>('0' + status / 10 % 10), static_cast<char>('0' + status % 10),
                                        ' '};
    put_value(put(put(at_, version), {digits.data(), digits.size()}), reason);
}

void head_writer::add(std::string_view name, std::string_view value) noexcept {
    if (!reserve(name.size() + value.size() + 4)) return;
    if (!detail::is_token(name)) return refuse();
    put_value(put(put(at_, name), ": "), value);
}

void head_writer::add(field id, std::string_view value) noexcept {
    const std::string_view name = field_name(id);
    if (!reserve(name.size() + value.size() + 4)) return;
    if (name.empty()) return refuse();
    put_value(put(put(at_, name), ": "), value);
}

void head_writer::add(field id, std::uint64_t number) noexcept {
    std::array<char, 20> digits;
    const auto done = std::to_chars(digits.data(), digits.data() + digits.size(), number);
    add(id, std::string_view{digits.data(), done.ptr});
}

void head_writer::add(const body_framing& framing) noexcept {
    if (framing.how == body_framing::kind::length) add(field::content_length, framing.length);
    if (framing.how == body_framing::kind::chunked) add(field::transfer_encoding, "chunked");
}

std::size_t head_writer::end() noexcept {
    if (!reserve(2)) return 0;
    at_ = put(at_, "\r\n");
    return static_cast<std::size_t>(at_ - begin_);
}

} // namespace headgate::http
