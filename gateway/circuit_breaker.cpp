#include <algorithm>

#include <gateway/circuit_breaker.hpp>

namespace headgate::gateway {

void circuit_pass::report(bool success, time_point now) noexcept {
    circuit_breaker* const b = std::exchange(of_, nullptr);
    if (!b) return;
    if (probe_ == 0) return b->closed_report(success, now);
    // A probe of an earlier time tells nothing about this one.
    if (b->state_ != circuit_breaker::state::half_open || probe_ != b->opened_) return;
    if (!success) return b->open(now);
    if (++b->well_ >= b->options_.half_open_probes) b->close();
}

// A probe without a word leaves its place to another.
void circuit_pass::forget() noexcept {
    circuit_breaker* const b = std::exchange(of_, nullptr);
    if (b && probe_ != 0 && b->state_ == circuit_breaker::state::half_open && probe_ == b->opened_) --b->probes_;
}

circuit_breaker::state circuit_breaker::now_is(time_point now) noexcept {
    if (state_ == state::open && now >= until_) {
        state_ = state::half_open;
        probes_ = well_ = 0;
    }
    return state_;
}

bool circuit_breaker::lets_pass(time_point now) noexcept {
    switch (now_is(now)) {
    case state::closed: return true;
    case state::open: return false;
    case state::half_open: return probes_ < options_.half_open_probes;
    }
    return true;
}

circuit_pass circuit_breaker::enter(time_point now) noexcept {
    if (!lets_pass(now)) return {};
    if (state_ == state::closed) return {*this, 0};
    ++probes_;
    return {*this, opened_};
}

duration circuit_breaker::open_for(time_point now) const noexcept {
    return state_ == state::open ? std::max<duration>(until_ - now, duration::zero()) : duration::zero();
}

std::int64_t circuit_breaker::slice_of(time_point t) const noexcept {
    return t.time_since_epoch() / std::max<duration>(options_.window / slices, duration(1));
}

// What a request tells that began before the circuit opened is not news.
void circuit_breaker::closed_report(bool success, time_point now) noexcept {
    if (state_ != state::closed || !enabled()) return;
    const std::int64_t slice = slice_of(now);
    counts& c = window_[static_cast<std::size_t>(slice) % slices];
    if (c.slice != slice) c = {.slice = slice};
    ++c.requests;
    if (success) {
        in_a_row_ = 0;
        return;
    }
    ++c.failures;
    ++in_a_row_;
    if (too_many(now)) open(now);
}

bool circuit_breaker::too_many(time_point now) const noexcept {
    if (options_.consecutive_failures != 0 && in_a_row_ >= options_.consecutive_failures) return true;
    if (options_.failure_percent == 0) return false;
    const std::int64_t slice = slice_of(now);
    std::uint64_t requests = 0, failures = 0;
    for (const counts& c : window_)
        if (c.slice > slice - static_cast<std::int64_t>(slices)) requests += c.requests, failures += c.failures;
    return requests >= options_.min_requests && failures * 100 >= requests * options_.failure_percent;
}

void circuit_breaker::open(time_point now) noexcept {
    state_ = state::open;
    until_ = now + options_.open_time;
    ++opened_;
}

void circuit_breaker::close() noexcept {
    state_ = state::closed;
    window_ = {};
    in_a_row_ = 0;
}

} // namespace headgate::gateway
