#include <algorithm>
#include <limits>

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
        came_back(s, now);
        choose();
        return tell(s, health_event::readmitted);
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
    tell(s, health_event::ejected);
}

void upstream_health::tell(const state& s, health_event what) noexcept {
    if (told_) told_(whom_, static_cast<std::size_t>(&s - states_.data()), what);
}

void upstream_health::came_back(state& s, time_point now) noexcept {
    if (!s.may_be_used()) return;
    s.since = now;
    last_return_ = std::max(last_return_, now);
}

// The counts stay: if its first request fails, it is ejected again, for longer.
void upstream_health::readmit(time_point now) noexcept {
    for (state& s : states_) {
        if (!s.ejected || s.until > now) continue;
        s.ejected = false;
        --ejected_;
        came_back(s, now);
        tell(s, health_event::readmitted);
    }
    choose();
}

void upstream_health::checked(std::size_t endpoint, bool up, time_point now) noexcept {
    state& s = states_[endpoint];
    if (s.down == !up) return;
    s.down = !up;
    if (up) came_back(s, now);
    choose();
    tell(s, up ? health_event::up : health_event::down);
}

void upstream_health::drain(std::size_t endpoint, bool on, time_point now) noexcept {
    state& s = states_[endpoint];
    if (s.draining == on) return;
    s.draining = on;
    came_back(s, now);
    choose();
}

void upstream_health::arrange(std::span<const std::size_t> before, std::span<const std::uint32_t> priorities,
                              time_point now) {
    std::vector<state> next(before.size());
    usable_.reserve(before.size());
    ejected_ = 0;
    for (std::size_t i = 0; i < before.size(); ++i) {
        if (before[i] < states_.size()) {
            next[i] = states_[before[i]];
        } else if (now != time_point::min()) {
            came_back(next[i], now);
        }
        next[i].priority = priorities[i];
        if (next[i].ejected) ++ejected_;
    }
    states_ = std::move(next);
    choose();
}

bool upstream_health::is_usable(std::size_t endpoint, time_point now) noexcept {
    if (now >= next_return_) readmit(now);
    return states_[endpoint].usable;
}

void upstream_health::choose() noexcept {
    next_return_ = time_point::max();
    panic_ = true;
    std::uint32_t first = std::numeric_limits<std::uint32_t>::max();
    for (const state& s : states_) {
        if (s.ejected) next_return_ = std::min(next_return_, s.until);
        if (!s.may_be_used()) continue;
        panic_ = false;
        first = std::min(first, s.priority);
    }
    usable_.clear(); // within what was reserved
    for (std::uint32_t i = 0; i < states_.size(); ++i) {
        const state& s = states_[i];
        states_[i].usable = panic_ || (s.may_be_used() && s.priority == first);
        if (states_[i].usable) usable_.push_back(i);
    }
}

} // namespace headgate::gateway
