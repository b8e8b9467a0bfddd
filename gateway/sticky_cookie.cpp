#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <stdexcept>

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>

#include <gateway/sticky_cookie.hpp>

namespace headgate::gateway {

// Once per endpoint, so that it may allocate.
std::uint64_t keyed_hash(const sticky_key& key, std::string_view bytes) {
    std::array<unsigned char, 16> secret;
    std::memcpy(secret.data(), key.data(), secret.size());
    std::array<unsigned char, 8> out;
    std::size_t size = out.size();
    const std::array parameters{OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size), OSSL_PARAM_construct_end()};
    std::size_t written = 0;
    if (!EVP_Q_mac(nullptr, "SIPHASH", nullptr, nullptr, parameters.data(), secret.data(), secret.size(),
                   reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), out.data(), out.size(),
                   &written))
        throw std::runtime_error("OpenSSL has no SipHash");
    return std::bit_cast<std::uint64_t>(out);
}

sticky_key key_of_secret(std::string_view secret) { return {keyed_hash({0, 0}, secret), keyed_hash({0, 1}, secret)}; }

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
