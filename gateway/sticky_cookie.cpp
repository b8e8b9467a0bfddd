#include <bit>
#include <charconv>

#include <fmt/format.h>

#include <gateway/sticky_cookie.hpp>

namespace headgate::gateway {

namespace {

struct sip_state {
    std::uint64_t v0, v1, v2, v3;

    explicit sip_state(const sticky_key& k) noexcept
        : v0(k[0] ^ 0x736f6d6570736575), v1(k[1] ^ 0x646f72616e646f6d), v2(k[0] ^ 0x6c7967656e657261),
          v3(k[1] ^ 0x7465646279746573) {}
    void rounds(int n) noexcept {
        for (; n > 0; --n) {
            v0 += v1, v1 = std::rotl(v1, 13) ^ v0, v0 = std::rotl(v0, 32);
            v2 += v3, v3 = std::rotl(v3, 16) ^ v2;
            v0 += v3, v3 = std::rotl(v3, 21) ^ v0;
            v2 += v1, v1 = std::rotl(v1, 17) ^ v2, v2 = std::rotl(v2, 32);
        }
    }
    void take(std::uint64_t word) noexcept {
        v3 ^= word;
        rounds(2);
        v0 ^= word;
    }
};

std::uint64_t word_of(std::string_view bytes) noexcept {
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i)
        word |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
    return word;
}

} // namespace

std::uint64_t keyed_hash(const sticky_key& key, std::string_view bytes) noexcept {
    sip_state s(key);
    const std::uint64_t size = bytes.size();
    for (; bytes.size() >= 8; bytes.remove_prefix(8)) s.take(word_of(bytes.substr(0, 8)));
    s.take(size << 56 | word_of(bytes));
    s.v2 ^= 0xff;
    s.rounds(4);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

sticky_key key_of_secret(std::string_view secret) noexcept {
    return {keyed_hash({0, 0}, secret), keyed_hash({0, 1}, secret)};
}

std::string format_token(std::uint64_t token) { return fmt::format("{:016x}", token); }

std::optional<std::uint64_t> parse_token(std::string_view value) noexcept {
    std::uint64_t token = 0;
    const char* end = value.data() + value.size();
    const auto [stop, error] = std::from_chars(value.data(), end, token, 16);
    if (value.size() != 16 || stop != end || error != std::errc()) return std::nullopt;
    return token;
}

std::string make_cookie(const sticky_cookie_options& o, std::uint64_t token, bool secure) {
    constexpr std::string_view sites[] = {"Lax", "Strict", "None"};
    std::string out = fmt::format("{}={}; Path={}", o.name, format_token(token), o.path);
    if (o.ttl != forever) out += fmt::format("; Max-Age={}", std::chrono::ceil<std::chrono::seconds>(o.ttl).count());
    out += "; HttpOnly";
    if (secure || o.secure) out += "; Secure";
    return out + "; SameSite=" + std::string(sites[static_cast<std::size_t>(o.same_site)]);
}

} // namespace headgate::gateway
