#pragma once

#include <headgate/core/timer.hpp>
#include <headgate/http/message.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <gateway/client_table.hpp>

namespace headgate::gateway {

// Whose requests are counted together.
enum class rate_key : std::uint8_t {
    client_address, // an IPv4 address, or an IPv6 /64 network
    header,         // the value of a field; requests without it share one key
};

struct rate_limit_options {
    std::uint64_t requests = 0; // in `per`, in the long run; 0: no limit
    duration per = std::chrono::seconds(1);
    std::uint64_t burst = 0; // at once; 0: as many as `requests`
    rate_key key = rate_key::client_address;
    std::string header{};
    std::size_t keys_max = 100'000;
    bool headers = false; // RateLimit fields also on answers that are within the limit

    bool operator==(const rate_limit_options&) const = default;
};

// Token buckets, one per key, over all workers. A bucket holds `burst` tokens, is filled evenly, and a request takes
// one (the generic cell rate algorithm, ITU-T I.371: one moment per key says it all). May be used by any thread.
//
// The table has room for `keys_max` keys, rounded up, from the beginning: 32 bytes each. A key whose bucket is full
// again needs no room. Where there is none left for a new key, the fullest bucket of a few is forgotten: its key may
// make at most the requests again that it still had to wait for.
class rate_limiter {
public:
    explicit rate_limiter(const rate_limit_options& o);

    using key = client_key;
    // Of any text. Two texts have one key only if somebody finds a collision of half of SHA-256.
    static key key_of(std::string_view text) noexcept;
    // By what the options say; `client` is the client's address.
    key key_of(const http::message_head& head, const in6_addr& client) const noexcept;

    struct verdict {
        bool admitted;
        std::uint64_t remaining; // requests that may follow at once
        duration next;           // until there is a token; zero if there is one
        duration full;           // until the bucket is full
    };
    // Takes a token, if there is one.
    verdict take(const key& k, time_point now);

    const rate_limit_options& options() const noexcept { return options_; }
    std::size_t keys_max() const noexcept { return sets_.size() * ways; }

private:
    // When the bucket will be full: `now` or before for one that is.
    struct bucket {
        key k{};
        time_point full_at{};
    };
    static constexpr std::size_t ways = 16;
    static constexpr std::size_t locks = 64;
    struct set {
        std::array<bucket, ways> buckets;
    };
    std::size_t set_of(const key& k) const noexcept;

    rate_limit_options options_;
    duration token_;  // the time that one takes to come
    duration bucket_; // that a bucket takes to fill
    std::uint64_t seed_;
    std::vector<set> sets_;
    std::array<std::mutex, locks> mutexes_; // each for every 64th set
};

// The values of RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10), for a policy by the name
// "default".
std::string rate_limit_policy_field(const rate_limit_options& o);
std::string rate_limit_field(const rate_limiter::verdict& v);
// Whole seconds, rounded up; at least 1.
std::uint64_t seconds_of(duration d) noexcept;

} // namespace headgate::gateway
