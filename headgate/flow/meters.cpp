#include <headgate/flow/meters.hpp>

#include <algorithm>

namespace headgate {

namespace {

constexpr duration none{};

// A part is at work while it is pulled and does not itself pull the part before it. Of the sink the "pulls" are its
// writes.
stage_report report_of(const joint& j, const joint* before, time_point now) noexcept {
    const bool sink = j.where == side::sink;
    const duration source = before ? before->pulled(now) : none;
    const duration active = sink ? j.pulled(now) : j.pulled(now) - source;
    stage_report r{.name = j.name,
                   .where = j.where,
                   .items = j.items,
                   .bytes = j.bytes,
                   .held = j.held,
                   .held_max = j.held_max,
                   .limit = j.limit,
                   .waiting_for_source = source,
                   .working = std::max(active, none),
                   .waiting_for_consumer = sink ? none : std::max(j.waited(now), none)};
    r.in_state = j.begun() ? std::max(now - j.looked_at(), none) : none;
    if (j.ended())
        r.state = stage_state::done;
    else if (sink)
        r.state = j.pulling() ? stage_state::working : stage_state::waiting_for_source;
    else if (!j.pulling())
        r.state = stage_state::waiting_for_consumer;
    else if (before && before->pulling())
        r.state = stage_state::waiting_for_source;
    else
        r.state = stage_state::working;
    if (r.state == stage_state::working && before && before->begun())
        r.in_state = std::min(r.in_state, std::max(now - before->looked_at(), none));
    return r;
}

// A relay keeps the clocks of its sink. Its source has the time between writes.
void report_relay(const joint& source, const joint& sink, time_point now, std::span<stage_report, 2> out) noexcept {
    out[1] = report_of(sink, nullptr, now);
    out[1].waiting_for_source = std::max(sink.waited(now), none);
    out[0] = out[1];
    out[0].name = source.name;
    out[0].where = source.where;
    out[0].held = out[0].held_max = out[0].limit = 0;
    out[0].waiting_for_source = none;
    out[0].working = out[1].waiting_for_source;
    out[0].waiting_for_consumer = out[1].working;
    if (out[1].state == stage_state::waiting_for_source) out[0].state = stage_state::working;
    if (out[1].state == stage_state::working) out[0].state = stage_state::waiting_for_consumer;
}

} // namespace

std::span<stage_report> live_pipeline::report(time_point now, std::span<stage_report> room) const noexcept {
    const std::size_t n = std::min(joints.size(), room.size());
    const bool relayed = joints.size() == 2 && !joints.front().begun() && joints.back().begun();
    if (relayed && n == 2) {
        report_relay(joints.front(), joints.back(), now, room.first<2>());
    } else {
        for (std::size_t i = 0; i < n; ++i) room[i] = report_of(joints[i], i == 0 ? nullptr : &joints[i - 1], now);
    }
    for (std::size_t i = 0; i < n; ++i) {
        const joint& moved = relayed ? joints.back() : joints[i];
        room[i].still = std::max(now - std::max(moved.moved_at, started), none);
    }
    return room.first(n);
}

std::vector<stage_report> live_pipeline::report(time_point now) const {
    std::vector<stage_report> parts(joints.size());
    report(now, parts);
    return parts;
}

std::size_t live_pipeline::bottleneck(time_point now) const {
    const auto parts = report(now);
    std::size_t longest = 0;
    for (std::size_t i = 1; i < parts.size(); ++i)
        if (parts[i].working > parts[longest].working) longest = i;
    return longest;
}

} // namespace headgate
