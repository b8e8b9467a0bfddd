#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <gateway/options.hpp>

namespace headgate::gateway {

using sticky_key = std::array<std::uint64_t, 2>;

// SipHash-2-4 (J.-P. Aumasson, D. J. Bernstein, 2012): whoever does not know the key can neither make a value nor learn
// from one what it was made of.
std::uint64_t keyed_hash(const sticky_key& key, std::string_view bytes);

// The key that a secret of the configuration stands for: the same in every process that knows it.
sticky_key key_of_secret(std::string_view secret);

// A token as the value of a cookie: 16 hexadecimal digits.
std::string format_token(std::uint64_t token);
std::optional<std::uint64_t> parse_token(std::string_view value) noexcept;

// The value of Set-Cookie (RFC 6265, section 4.1).
std::string make_cookie(const sticky_cookie_options& o, std::uint64_t token, bool secure);

} // namespace headgate::gateway
