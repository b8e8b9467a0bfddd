#include <headgate/http/date.hpp>

#include <algorithm>
#include <charconv>
#include <ctime>

#include <gateway/retry.hpp>

namespace headgate::gateway {

bool asks_for_retry(const retry_conditions& on, cause failure) noexcept {
    const bool any = on.gateway_error || on.server_error;
    switch (failure) {
    case cause::upstream_refused:
    case cause::upstream_unreachable:
    case cause::upstream_connect_timeout: return any || on.connect_failure;
    case cause::upstream_closed:
    case cause::upstream_reset:
    case cause::upstream_protocol: return any || on.reset;
    case cause::upstream_timeout:
    case cause::upstream_idle: return any || on.timeout;
    default: return false;
    }
}

bool asks_for_retry(const retry_conditions& on, int status) noexcept {
    if (on.server_error && status >= 500) return true;
    if (on.gateway_error && status >= 502 && status <= 504) return true;
    return std::ranges::any_of(on.statuses, [status](const status_range& r) { return r.contains(status); });
}

duration back_off(const retry_options& o, std::uint32_t n, choice& chance) noexcept {
    duration longest = std::min(o.base_interval, o.max_interval);
    for (std::uint32_t i = 1; i < n && longest < o.max_interval; ++i) longest = std::min(longest * 2, o.max_interval);
    constexpr std::size_t steps = 1000;
    return longest / steps * chance.below(steps + 1);
}

std::optional<duration> retry_after(const http::message_head& head) {
    const http::header* said = head.find(http::field::retry_after);
    if (!said) return std::nullopt;
    std::uint32_t seconds = 0;
    const char* end = said->value.data() + said->value.size();
    if (const auto [stop, error] = std::from_chars(said->value.data(), end, seconds);
        stop == end && error == std::errc())
        return std::chrono::seconds(seconds);
    const std::int64_t now = std::time(nullptr);
    const auto date = http::parse_date(said->value, now);
    if (!date) return std::nullopt;
    return std::chrono::seconds(std::max<std::int64_t>(*date - now, 0));
}

} // namespace headgate::gateway
