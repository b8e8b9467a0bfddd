#pragma once

#include <headgate/flow/meters.hpp>

#include <optional>
#include <span>

namespace headgate {

// Who a chain waits for.
struct blame {
    std::size_t stage = 0; // its index
    double share = 0;      // of the chain's age that it was waited for
    duration stalled{};    // how long it has been waited for without an item; zero while it moves
};

// How long nothing must have passed a part that is waited for until that is a stall and not its pace.
inline constexpr duration stall_begins = std::chrono::milliseconds(500);

// The part that is at work, or waits for its outside, at this moment, so that the chain waits for it; none if that is
// none of them: the chain has ended, or is about to go on.
std::optional<std::size_t> waited_for(std::span<const stage_report> parts) noexcept;

// Who is to blame for the pace of a chain of that age: the part that stalls it now, or else the one that has taken the
// longest. None as long as no part has taken any time.
std::optional<blame> judge(std::span<const stage_report> parts, duration age) noexcept;

} // namespace headgate
