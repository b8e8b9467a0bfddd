#include <headgate/core/timer.hpp>

#include <algorithm>
#include <bit>

namespace headgate {

using std::chrono::milliseconds;

std::uint64_t timer_wheel::tick_of(time_point t) const noexcept {
    return t <= start_ ? 0 : static_cast<std::uint64_t>((t - start_) / milliseconds(1));
}

void timer_wheel::arm(timer& t, time_point when) noexcept {
    t.unlink();
    constexpr std::uint64_t furthest = (std::uint64_t{1} << (level_bits * levels)) - 1;
    const std::uint64_t down = tick_of(when);
    const bool exact = when <= start_ || start_ + milliseconds(static_cast<std::int64_t>(down)) == when;
    t.tick = std::clamp(exact ? down : down + 1, current_ + 1, std::max(furthest, current_ + 1));
    place(t);
}

// A timer stands in the level of the highest group of bits in which its tick differs from the current one: the slots of
// a level are then all later than those of the levels below, and later than the current slot.
void timer_wheel::place(timer& t) noexcept {
    const std::uint64_t differ = (t.tick ^ current_) | 1;
    const int at = std::min((63 - std::countl_zero(differ)) / level_bits, levels - 1);
    const std::uint64_t slot = (t.tick >> (at * level_bits)) % slots;
    levels_[static_cast<std::size_t>(at)].occupied |= std::uint64_t{1} << slot;
    levels_[static_cast<std::size_t>(at)].slot[slot].push_back(t);
}

bool timer_wheel::first_occupied(position& out) noexcept {
    for (int at = 0; at < levels; ++at) {
        level& l = levels_[static_cast<std::size_t>(at)];
        while (l.occupied != 0) {
            const auto slot = static_cast<std::uint64_t>(std::countr_zero(l.occupied));
            if (l.slot[slot].linked()) {
                const std::uint64_t above = current_ >> ((at + 1) * level_bits) << ((at + 1) * level_bits);
                out = {at, slot, above | (slot << (at * level_bits))};
                return true;
            }
            l.occupied &= ~(std::uint64_t{1} << slot); // its timers were disarmed
        }
    }
    return false;
}

time_point timer_wheel::next() noexcept {
    if (due_.linked()) return start_;
    position p;
    if (!first_occupied(p)) return time_point::max();
    return start_ + milliseconds(static_cast<std::int64_t>(p.tick));
}

timer* timer_wheel::next_due(time_point now) noexcept {
    const std::uint64_t now_tick = tick_of(now);
    position p;
    while (!due_.linked()) {
        if (!first_occupied(p) || p.tick > now_tick) {
            current_ = std::max(current_, now_tick);
            return nullptr;
        }
        level& l = levels_[static_cast<std::size_t>(p.level)];
        l.occupied &= ~(std::uint64_t{1} << p.slot);
        current_ = p.tick;
        if (p.level == 0) {
            due_.take_all(l.slot[p.slot]);
        } else { // spread the slot over the levels below
            list_node moving;
            moving.take_all(l.slot[p.slot]);
            while (moving.linked()) {
                auto& t = static_cast<timer&>(*moving.next);
                t.unlink();
                if (t.tick <= current_)
                    due_.push_back(t);
                else
                    place(t);
            }
        }
    }
    auto& t = static_cast<timer&>(*due_.next);
    t.unlink();
    return &t;
}

std::size_t timer_wheel::armed() const noexcept {
    std::size_t n = 0;
    auto count = [&n](const list_node& list) {
        for (const list_node* i = list.next; i != &list; i = i->next) ++n;
    };
    count(due_);
    for (const level& l : levels_)
        for (const list_node& slot : l.slot) count(slot);
    return n;
}

} // namespace headgate
