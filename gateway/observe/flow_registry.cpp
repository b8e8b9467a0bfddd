#include <headgate/core/executor.hpp>

#include <algorithm>

#include <gateway/observe/flow_registry.hpp>

namespace headgate::gateway {

void flow_labels::set(const live_flow& f) noexcept {
    const flow_facts is = f.facts();
    const std::array texts{is.request_id, f.route, is.listener, is.upstream, is.method, is.target};
    static_assert(std::tuple_size_v<decltype(texts)> == longest.size());
    std::size_t at = 0;
    for (std::size_t n = 0; n < texts.size(); ++n) {
        at += texts[n].copy(texts_.data() + at, longest[n]);
        ends_[n] = static_cast<std::uint16_t>(at);
    }
    if (is.client) client = *is.client;
    status = is.status;
    up_bytes = is.up;
    down_bytes = is.down;
    why = is.why;
}

void route_totals::add(const route_totals& o) noexcept {
    flows += o.flows;
    stalled += o.stalled;
    held += o.held;
    limit += o.limit;
    up_bytes += o.up_bytes;
    down_bytes += o.down_bytes;
    for (std::size_t i = 0; i < blamed.size(); ++i) blamed[i] += o.blamed[i];
    for (std::size_t i = 0; i < waits.size(); ++i) waits[i] += o.waits[i];
}

namespace {

// Whom it waits for at this moment: the phase tells, or else the lane of the verdict, or the other one.
void set_waiting(flow_view& v, const live_flow& f, time_point now) {
    v.waiting = now - f.since();
    switch (v.phase) {
    case flow_phase::head:
    case flow_phase::linger: v.waiting_for = "client"; return;
    case flow_phase::queue:
    case flow_phase::connect: v.waiting_for = v.kind == flow_kind::export_rows ? "database" : "upstream"; return;
    default: break;
    }
    v.waiting = {};
    for (const lane_view& lane : v.lanes) {
        const auto parts = std::span(lane.parts).first(lane.stages);
        const auto at = waited_for(parts);
        if (!at) continue;
        const duration since = parts[*at].in_state;
        if (v.waiting_for && since <= v.waiting) continue;
        v.waiting = since;
        const waited_party who = f.party_of(f.lanes[lane.up ? 1 : 0], *at, lane.stages);
        v.waiting_for = v.kind == flow_kind::files && *at == 0 ? "disk" : to_string(who);
    }
}

} // namespace

flow_view view_of(const live_flow& f, time_point now) {
    flow_view v;
    v.number = f.number();
    v.of.set(f);
    v.kind = f.kind;
    v.phase = f.phase();
    v.age = now - f.begun();
    v.held = f.held();
    v.hold = f.hold_time(now);
    v.holding = f.holding();
    for (std::size_t i = 0; i < f.lanes.size(); ++i) {
        const auto parts = f.report(f.lanes[i], now, v.lanes[i].parts);
        v.lanes[i].up = f.lanes[i].up;
        v.lanes[i].stages = parts.size();
        v.lanes[i].verdict = f.verdict(f.lanes[i], parts, now);
    }
    v.verdict = f.verdict(now);
    set_waiting(v, f, now);
    v.stalled = f.stalled(v.verdict, now);
    if (v.stalled != duration::zero())
        v.stalled_by =
            v.verdict && v.verdict->stalled != duration::zero() ? to_string(v.verdict->party) : v.waiting_for;
    v.transitions = f.transitions(v.recorder);
    return v;
}

live_flow* flow_registry::at(std::uint64_t number) const noexcept {
    for (list_node* i = flows_.next; i != &flows_; i = i->next)
        if (auto* f = static_cast<live_flow*>(i); f->number() == number) return f;
    return nullptr;
}

std::optional<flow_view> flow_registry::find(std::uint64_t number) const {
    const live_flow* f = at(number);
    return f ? std::optional(view_of(*f, executor::current().now())) : std::nullopt;
}

bool flow_registry::abort(std::uint64_t number) noexcept {
    live_flow* f = at(number);
    if (f) f->abort();
    return f != nullptr;
}

void flow_registry::record(live_flow& f) noexcept {
    const time_point now = executor::current().turn_time();
    ended_flow& e = (*ended_)[ended_count_++ % ended_max];
    e.number = f.number_;
    e.serial = ended_count_;
    e.of.set(f);
    e.kind = f.kind;
    e.phase = f.phase_;
    e.why = f.aborted_ ? cause::aborted_by_operator : e.of.why.value_or(cause::drained);
    e.ended_at = now;
    e.age = now - f.begun_;
    e.hold = f.hold_time(now);
    e.held_max = f.held_max_;
    e.verdict = f.last_;
    if (f.stage_count_ == 0 && f.by_phases(f.down())) {
        const duration upstream = f.before_body(now);
        const duration client = f.spent(flow_phase::body, now);
        const bool sink = client > upstream;
        const waited_party who = sink ? waited_party::client : waited_party::upstream;
        if (const duration took = sink ? client : upstream; took > duration{})
            e.verdict = flow_verdict{.stage = to_string(who),
                                     .index = static_cast<std::uint8_t>(sink ? 1 : 0),
                                     .party = who,
                                     .share = static_cast<double>(took.count()) / static_cast<double>(e.age.count())};
    }
    e.stages = f.stage_count_;
    e.left = 0;
    for (std::size_t i = 0; i < e.stages; ++i) {
        e.parts[i] = f.stages_[i];
        e.left += e.parts[i].left;
    }
    remove(f);
}

std::vector<ended_flow> flow_registry::ended(std::size_t limit, std::uint64_t& serial, std::uint64_t& skipped) const {
    const std::uint64_t after = std::exchange(serial, ended_count_);
    const std::uint64_t fresh = ended_count_ - std::min(after, ended_count_);
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>({fresh, ended_max, limit}));
    skipped = fresh - n;
    std::vector<ended_flow> out;
    out.reserve(n);
    const time_point now = executor::current().now();
    const auto clock_now = std::chrono::system_clock::now();
    for (std::size_t i = 0; i < n; ++i) {
        ended_flow& e = out.emplace_back((*ended_)[(ended_count_ - 1 - i) % ended_max]);
        e.ended = clock_now - std::chrono::duration_cast<std::chrono::system_clock::duration>(now - e.ended_at);
    }
    return out;
}

} // namespace headgate::gateway
