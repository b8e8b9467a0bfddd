#include <headgate/http/token.hpp>

#include <algorithm>
#include <numeric>
#include <string>

#include <gateway/balancing.hpp>

namespace headgate::gateway {

namespace {

// The value of a cookie in a Cookie field: "a=1; b=2" (RFC 6265, section 4.2.1). Null data if it is not there.
std::string_view cookie(std::string_view field, std::string_view name) noexcept {
    while (!field.empty()) {
        const std::size_t end = std::min(field.find(';'), field.size());
        std::string_view pair = field.substr(0, end);
        field.remove_prefix(std::min(end + 1, field.size()));
        while (pair.starts_with(' ')) pair.remove_prefix(1);
        if (pair.size() > name.size() && pair.starts_with(name) && pair[name.size()] == '=')
            return pair.substr(name.size() + 1);
    }
    return {};
}

} // namespace

// FNV-1a, and the end of MurmurHash3 (A. Appleby), for the sake of the upper bits.
std::uint64_t stable_hash(std::string_view bytes) noexcept {
    std::uint64_t h = 0xcbf29ce484222325;
    for (const char c : bytes) {
        h ^= static_cast<unsigned char>(c);
        h *= 0x100000001b3;
    }
    h = (h ^ (h >> 33)) * 0xff51afd7ed558ccd;
    h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53;
    return h ^ (h >> 33);
}

pick_key key_of(const balancing_options& b, const http::request_head* head, std::string_view client_address) noexcept {
    if (b.policy != balancing_policy::consistent_hash) return {};
    if (b.hash_on == hash_source::client_address) return {stable_hash(client_address)};
    if (!head) return {};
    if (b.hash_on == hash_source::header) {
        const http::header* h = head->headers.find(b.hash_name);
        return h ? pick_key{stable_hash(h->value)} : pick_key{};
    }
    const auto value = cookie_of(*head, b.hash_name);
    return value ? pick_key{stable_hash(*value)} : pick_key{};
}

std::optional<std::string_view> cookie_of(const http::request_head& head, std::string_view name) noexcept {
    for (const http::header& h : head.headers) {
        if (h.id != http::field::cookie) continue;
        if (const std::string_view value = cookie(h.value, name); value.data()) return value;
    }
    return std::nullopt;
}

// A point's place depends on its endpoint's name and its number alone, so that another configuration moves few keys.
hash_ring::hash_ring(std::span<const std::string_view> names, std::span<const std::uint32_t> weights) {
    const auto all = std::accumulate(weights.begin(), weights.end(), std::uint64_t{0});
    for (std::uint32_t e = 0; e < names.size(); ++e) {
        const std::uint64_t n = std::max<std::uint64_t>(1, points * weights[e] / all);
        for (std::uint64_t i = 0; i < n; ++i)
            ring_.push_back({stable_hash(std::string(names[e]) + '#' + std::to_string(i)), e});
    }
    std::ranges::sort(ring_);
}

std::size_t hash_ring::first_after(std::uint64_t key) const noexcept {
    return static_cast<std::size_t>(std::ranges::lower_bound(ring_, key, {}, &point::at) - ring_.begin());
}

} // namespace headgate::gateway
