#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace headgate::gateway {

// Up to N characters in place. A longer text is cut.
template <std::size_t N>
struct short_text {
    std::size_t size;
    std::array<char, N> bytes; // not cleared: what counts is size

    short_text() noexcept : size(0) {} // NOLINT(cppcoreguidelines-pro-type-member-init)
    void set(std::string_view t) noexcept { size = t.copy(bytes.data(), N); }
    std::string_view view() const noexcept { return {bytes.data(), size}; }
};

} // namespace headgate::gateway
