#pragma once

#include <headgate/core/error.hpp>

#include <chrono>

namespace headgate {

// What a flow has moved to its sink.
struct transfer {
    std::uint64_t items = 0;
    std::uint64_t bytes = 0;
    std::chrono::nanoseconds elapsed{0};
};

// How a flow ended: with a transfer, or with one error, its first cause.
class [[nodiscard]] outcome : public std::expected<transfer, flow_error> {
public:
    using std::expected<transfer, flow_error>::expected;
};

} // namespace headgate
