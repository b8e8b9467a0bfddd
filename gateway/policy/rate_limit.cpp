#include <algorithm>
#include <cstring>
#include <random>

#include <fmt/format.h>
#include <openssl/sha.h>

#include <gateway/policy/rate_limit.hpp>

namespace headgate::gateway {

rate_limiter::rate_limiter(const rate_limit_options& o)
    : options_(o), token_(std::max<duration>(o.per / static_cast<duration::rep>(o.requests), duration(1))),
      bucket_(token_ * static_cast<duration::rep>(o.burst != 0 ? o.burst : o.requests)),
      seed_((std::uint64_t{std::random_device()()} << 32) | std::random_device()()),
      sets_((o.keys_max + ways - 1) / ways) {}

rate_limiter::key rate_limiter::key_of(std::string_view text) noexcept {
    std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
    SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
    key k;
    std::memcpy(k.data(), digest.data(), k.size());
    return k;
}

rate_limiter::key rate_limiter::key_of(const http::message_head& head, const in6_addr& client) const noexcept {
    if (options_.key == rate_key::client_address) return key_of_client(client);
    const http::header* const first = head.find(options_.header);
    return key_of(first ? first->value : std::string_view());
}

// Which keys share a set must not be known, or a few could be made to crowd each other out. (MurmurHash3's finalizer,
// A. Appleby.)
std::size_t rate_limiter::set_of(const key& k) const noexcept {
    std::array<std::uint64_t, 2> halves;
    std::memcpy(halves.data(), k.data(), k.size());
    std::uint64_t h = seed_;
    for (const std::uint64_t half : halves) {
        h ^= half;
        h = (h ^ (h >> 33)) * 0xff51afd7ed558ccd;
        h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53;
        h ^= h >> 33;
    }
    return h % sets_.size();
}

rate_limiter::verdict rate_limiter::take(const key& k, time_point now) {
    const std::size_t at = set_of(k);
    const std::lock_guard lock(mutexes_[at % locks]);
    auto& buckets = sets_[at].buckets;
    auto found = std::ranges::find(buckets, k, &bucket::k);
    const bool is_new = found == buckets.end();
    if (is_new) found = std::ranges::min_element(buckets, {}, &bucket::full_at);
    const time_point full_at = std::max(is_new ? now : found->full_at, now) + token_;
    const duration full = full_at - now;
    if (full > bucket_) return {false, 0, full - bucket_, full - token_};
    *found = {k, full_at};
    const duration left = bucket_ - full;
    return {true, static_cast<std::uint64_t>(left / token_), std::max(token_ - left, duration::zero()), full};
}

std::uint64_t seconds_of(duration d) noexcept {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(std::chrono::ceil<std::chrono::seconds>(d).count(), 1));
}

std::string rate_limit_policy_field(const rate_limit_options& o) {
    return fmt::format(R"("default";q={};w={})", o.requests, seconds_of(o.per));
}

std::string rate_limit_field(const rate_limiter::verdict& v) {
    return fmt::format(R"("default";r={};t={})", v.remaining, seconds_of(v.full));
}

} // namespace headgate::gateway
