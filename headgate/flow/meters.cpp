#include <headgate/flow/meters.hpp>

namespace headgate {

// A part is at work while it is pulled and does not itself pull the part before it. Of the sink the "pulls" are its
// writes.
std::vector<stage_report> live_pipeline::report(time_point now) const {
    std::vector<stage_report> parts;
    parts.reserve(joints.size());
    const joint* before = nullptr;
    for (const joint& j : joints) {
        const bool sink = j.where == side::sink;
        const duration source = before ? before->pulled(now) : duration{};
        const duration active = sink ? j.pulled(now) : j.pulled(now) - source;
        parts.push_back({.name = j.name,
                         .where = j.where,
                         .items = j.items,
                         .bytes = j.bytes,
                         .held = j.held,
                         .held_max = j.held_max,
                         .limit = j.limit,
                         .waiting_for_source = source,
                         .working = std::max(active, duration{}),
                         .waiting_for_consumer = sink ? duration{} : j.waited(now)});
        before = &j;
    }
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
