#include <algorithm>

#include <gateway/health.hpp>

namespace headgate::gateway {

upstream_health::upstream_health(const ejection_options& o, std::size_t endpoints) : options_(o), states_(endpoints) {
    usable_.reserve(endpoints);
    choose();
}

void upstream_health::report(std::size_t endpoint, verdict v, time_point now) noexcept {
    if (now >= next_return_) readmit(now);
    state& s = states_[endpoint];
    if (s.ejected && !panic_) return;
    if (v == verdict::success) {
        s.failures = s.server_errors = s.ejections = 0;
        if (!s.ejected) return;
        s.ejected = false;
        --ejected_;
        return choose();
    }
    s.failures = v == verdict::failure ? s.failures + 1 : 0;
    ++s.server_errors;
    const bool failing = options_.consecutive_failures != 0 && s.failures >= options_.consecutive_failures;
    const bool erring = options_.consecutive_5xx != 0 && s.server_errors >= options_.consecutive_5xx;
    if ((failing || erring) && !s.ejected && may_eject()) eject(s, now);
}

// The only endpoint there is would be used all the same.
bool upstream_health::may_eject() const noexcept {
    if (states_.size() < 2) return false;
    return ejected_ < std::max<std::size_t>(1, states_.size() * options_.max_ejection_percent / 100);
}

void upstream_health::eject(state& s, time_point now) noexcept {
    ++s.ejections;
    const duration base = options_.base_ejection_time;
    const duration longest = options_.max_ejection_time;
    const bool as_long_as_may_be = base > duration::zero() && s.ejections >= longest / base;
    s.until = now + (as_long_as_may_be ? longest : base * s.ejections);
    s.ejected = true;
    ++ejected_;
    choose();
}

// The counts stay: if its first request fails, it is ejected again, for longer.
void upstream_health::readmit(time_point now) noexcept {
    for (state& s : states_) {
        if (!s.ejected || s.until > now) continue;
        s.ejected = false;
        --ejected_;
    }
    choose();
}

void upstream_health::checked(std::size_t endpoint, bool up) noexcept {
    states_[endpoint].down = !up;
    choose();
}

bool upstream_health::is_usable(std::size_t endpoint, time_point now) noexcept {
    if (now >= next_return_) readmit(now);
    return states_[endpoint].usable;
}

void upstream_health::choose() noexcept {
    next_return_ = time_point::max();
    panic_ = true;
    for (state& s : states_) {
        if (s.ejected) next_return_ = std::min(next_return_, s.until);
        s.usable = !s.ejected && !s.down;
        if (s.usable) panic_ = false;
    }
    usable_.clear(); // within what was reserved
    for (std::uint32_t i = 0; i < states_.size(); ++i) {
        if (panic_) states_[i].usable = true;
        if (states_[i].usable) usable_.push_back(i);
    }
}

} // namespace headgate::gateway
