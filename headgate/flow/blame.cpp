#include <headgate/flow/blame.hpp>

#include <algorithm>

namespace headgate {

// From the sink towards the source, as far as each waits for the one before it.
std::optional<std::size_t> waited_for(std::span<const stage_report> parts) noexcept {
    for (std::size_t i = parts.size(); i-- != 0;) {
        if (parts[i].state == stage_state::working) return i;
        if (parts[i].state != stage_state::waiting_for_source) return std::nullopt;
    }
    return std::nullopt;
}

namespace {

// The part that has taken the longest, of those that the sink has waited for: what is before a part that has had its
// source at hand most of the time was reading ahead of it, however busy it has been.
std::size_t slowest(std::span<const stage_report> parts) noexcept {
    std::size_t longest = parts.size() - 1;
    for (std::size_t i = parts.size(); i-- != 0;) {
        if (parts[i].working > parts[longest].working) longest = i;
        if (parts[i].working >= parts[i].waiting_for_source) break;
    }
    return longest;
}

} // namespace

std::optional<blame> judge(std::span<const stage_report> parts, duration age) noexcept {
    if (parts.empty()) return std::nullopt;
    const auto now = waited_for(parts);
    const auto stall_of = [&](std::size_t i) { return std::min(parts[i].still, parts[i].in_state); };
    const bool stalled = now && stall_of(*now) >= stall_begins;
    blame b{.stage = stalled ? *now : slowest(parts)};
    const duration took = parts[b.stage].working;
    if (!stalled && took <= duration::zero()) return std::nullopt;
    if (age > duration::zero())
        b.share = std::min(1.0, std::chrono::duration<double>(took) / std::chrono::duration<double>(age));
    if (stalled) b.stalled = stall_of(b.stage);
    return b;
}

} // namespace headgate
