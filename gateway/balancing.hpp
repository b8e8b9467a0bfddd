#pragma once

#include <headgate/http/message.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <gateway/options.hpp>

namespace headgate::gateway {

// What the choice of an endpoint depends on, beside the endpoints.
struct pick_key {
    std::optional<std::uint64_t> hash{}; // requests with the same one go to the same endpoint, if the policy says so
    std::optional<std::uint64_t> home{}; // the token of the endpoint that the request's cookie names
};

// The key of a request under `b`, or of a client that is no request's (`head` is null). Without a hash if the request
// does not have what is asked for, or nothing is. Of several fields or cookies of a name the first counts.
pick_key key_of(const balancing_options& b, const http::request_head* head, std::string_view client_address) noexcept;

// The value of a request's cookie; nothing if it does not have it. Of several the first counts.
std::optional<std::string_view> cookie_of(const http::request_head& head, std::string_view name) noexcept;

// The same in every process and on every machine.
std::uint64_t stable_hash(std::string_view bytes) noexcept;

// Chance for choices: xorshift64* (S. Vigna, 2016), fast, and good enough.
class choice {
public:
    explicit choice(std::uint64_t seed) noexcept : state_(seed | 1) {}
    // A number below n.
    std::size_t below(std::size_t n) noexcept {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return static_cast<std::size_t>((state_ * 0x2545f4914f6cdd1d >> 32) * n >> 32);
    }

private:
    std::uint64_t state_;
};

// Chooses by weight, in turn, and spreads each endpoint's turns evenly: with weights 3 and 1, a a b a and not a a a b
// (nginx's smooth weighted round robin).
class round_robin {
public:
    explicit round_robin(std::size_t endpoints = 0) : credit_(endpoints) {}

    // One of `usable`, which is not empty; never `not_this`, unless that is the only one. `weight` gives that of an
    // endpoint now. Each gains its weight, and who has most pays for all.
    template <class Weight>
    std::size_t pick(std::span<const std::uint32_t> usable, std::size_t not_this, Weight weight) noexcept {
        double all = 0;
        std::size_t best = usable.front();
        bool found = false;
        for (const std::uint32_t i : usable) {
            if (i == not_this) continue;
            const double gain = weight(i);
            credit_[i] += gain;
            all += gain;
            if (!found || credit_[i] > credit_[best]) best = i;
            found = true;
        }
        credit_[best] -= all;
        return best;
    }

private:
    std::vector<double> credit_; // whole numbers, as long as weights are
};

// Consistent hashing (D. Karger et al., 1997): endpoints have points on a ring, by their names, about 1024 in all and
// in proportion to their weights; a key belongs to the first point after it. When an endpoint goes, its keys are spread
// over the others, and no other key moves; when it comes back, so do they. The same in every worker and process.
class hash_ring {
public:
    static constexpr std::size_t points = 1024;

    hash_ring() = default; // empty
    hash_ring(std::span<const std::string_view> names, std::span<const std::uint32_t> weights);

    // The endpoint of a key for which `may` holds; nothing if there is none.
    template <class May>
    std::optional<std::size_t> find(std::uint64_t key, May may) const noexcept {
        const std::size_t first = first_after(key);
        for (std::size_t i = 0; i < ring_.size(); ++i) {
            const point& p = ring_[(first + i) % ring_.size()];
            if (may(p.endpoint)) return p.endpoint;
        }
        return std::nullopt;
    }

private:
    struct point {
        std::uint64_t at;
        std::uint32_t endpoint;
        friend auto operator<=>(const point&, const point&) = default;
    };
    std::size_t first_after(std::uint64_t key) const noexcept;

    std::vector<point> ring_;
};

} // namespace headgate::gateway
