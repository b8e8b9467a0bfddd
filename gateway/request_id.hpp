#pragma once

#include <array>
#include <cstdint>
#include <random>
#include <string_view>

namespace headgate::gateway {

// Makes request ids: 32 hex digits, unlike any other of this or another process with overwhelming likelihood. Not
// secret.
class request_ids {
public:
    request_ids() {
        std::random_device random;
        high_ = std::uint64_t{random()} << 32 | random();
        low_ = std::uint64_t{random()} << 32 | random();
    }

    using id = std::array<char, 32>;
    id next() noexcept {
        id out;
        write(out.data(), high_);
        write(out.data() + 16, scramble(++low_));
        return out;
    }

private:
    static void write(char* to, std::uint64_t n) noexcept {
        for (int i = 15; i >= 0; --i, n >>= 4) to[i] = "0123456789abcdef"[n & 15];
    }
    // The finaliser of SplitMix64 (G. Steele, D. Lea, C. Flood, 2014): one to one, so no two counts give the same id.
    static std::uint64_t scramble(std::uint64_t z) noexcept {
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
    }

    std::uint64_t high_;
    std::uint64_t low_;
};

} // namespace headgate::gateway
