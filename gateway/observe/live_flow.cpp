#include <algorithm>
#include <utility>

#include <gateway/observe/flow_registry.hpp>
#include <gateway/observe/live_flow.hpp>

namespace headgate::gateway {

namespace {

duration& at(std::array<duration, waited_parties>& of, waited_party p) { return of[static_cast<std::size_t>(p)]; }

} // namespace

const char* to_string(waited_party p) noexcept {
    switch (p) {
    case waited_party::client: return "client";
    case waited_party::upstream: return "upstream";
    case waited_party::database: return "database";
    case waited_party::stage: return "stage";
    }
    return "";
}

const char* to_string(flow_kind k) noexcept {
    switch (k) {
    case flow_kind::request: return "request";
    case flow_kind::upgrade: return "upgrade";
    case flow_kind::tunnel: return "tunnel";
    case flow_kind::export_rows: return "export";
    case flow_kind::files: return "static";
    case flow_kind::other: return "other";
    }
    return "";
}

const char* to_string(flow_phase p) noexcept { return transition_name(static_cast<std::uint8_t>(p)); }

const char* transition_name(std::uint8_t what) noexcept {
    static constexpr const char* names[] = {"head",   "queue",  "connect", "send",    "wait",  "body",
                                            "linger", "tunnel", "lease",   "release", "retry", "abort"};
    return what < std::size(names) ? names[what] : "";
}

void flow_lane::end(list_node& lane, const live_pipeline& p) noexcept {
    const auto& self = static_cast<flow_lane&>(lane);
    self.of->lane_ended(self, p);
}

void live_flow::begin(flow_registry& in, flow_kind k, const void* whose, describer describe) noexcept {
    kind = k;
    whose_ = whose;
    describe_ = describe;
    in_ = &in;
    begun_ = since_ = executor::current().turn_time();
    note(static_cast<std::uint8_t>(phase_), begun_);
    in.enter(*this);
}

void live_flow::forget() noexcept {
    if (in_) std::exchange(in_, nullptr)->remove(*this);
}

void live_flow::leave() noexcept {
    if (!counted_) end(executor::current().turn_time());
    std::exchange(in_, nullptr)->record(*this);
}

void live_flow::end(time_point now) noexcept {
    if (std::exchange(counted_, true)) return;
    release();
    const flow_facts f = facts();
    const cause why = aborted_ ? cause::aborted_by_operator : f.why.value_or(cause::drained);
    in_->count(why);
    if (!meters) return;
    const auto digit = static_cast<std::size_t>(f.status / 100);
    ++meters->answers[digit < meters->answers.size() ? digit : 0];
    if (why != cause::complete || digit == 5) ++meters->errors;
    meters->up_bytes += f.up;
    meters->down_bytes += f.down;
    meters->durations.add(now - begun_);
    if (first_byte_ != time_point()) meters->first_bytes.add(first_byte_ - begun_);
    // Nothing of most went through a pipeline: their phases tell all there is to tell.
    if (stage_count_ == 0 && !lanes[0].linked() && !lanes[1].linked()) {
        if (!by_phases(down())) return;
        at(meters->waits, waited_party::upstream) += before_body(now);
        at(meters->waits, waited_party::client) += spent(flow_phase::body, now);
        return;
    }
    const auto waited = waits(now);
    for (std::size_t i = 0; i < waited.size(); ++i) meters->waits[i] += waited[i];
}

// Where there is no abort_point a wait for the client is all there is: it wakes up to the end of its connection.
bool live_flow::abort() noexcept {
    if (std::exchange(aborted_, true)) return true;
    mark(flow_mark::abort);
    if (abort_at)
        abort_at->of->fail({errc::aborted, side::caller, abort_at->stage, "by an operator"});
    else if (client && *client)
        loop::current().os().shutdown(client->fd(), SHUT_RDWR);
    return true;
}

flow_phase live_flow::phase() const noexcept {
    const live_pipeline* p = down().live();
    if (kind == flow_kind::export_rows && phase_ != flow_phase::queue && p && p->joints.front().items == 0)
        return flow_phase::wait;
    return phase_;
}

std::optional<duration> live_flow::hold_time(time_point now) const noexcept {
    if (holding_) return hold_time_ + std::max(now - held_since_, duration{});
    return held_any_ ? std::optional(hold_time_) : std::nullopt;
}

live_flow::holdings live_flow::held() const noexcept {
    holdings all;
    for (const flow_lane& lane : lanes) {
        const live_pipeline* p = lane.live();
        if (!p) continue;
        for (const joint& j : p->joints) {
            all.held += j.held;
            all.limit += j.limit;
            all.max += j.held_max;
        }
    }
    all.max = std::max(all.max, held_max_);
    return all;
}

// ---- whom it waits for

// Whether what comes before the body is a wait for the source of the lane.
bool live_flow::by_phases(const flow_lane& lane) const noexcept {
    return !lane.up && (kind == flow_kind::request || (kind == flow_kind::upgrade && phase_ != flow_phase::tunnel));
}

// Whether its body is on its way, so that nobody waits for an answer yet.
bool live_flow::sending() const noexcept { return up().live() && phase_ < flow_phase::body; }

// The time in which the upstream was waited for. While a body is being sent, the lane of the upload tells.
duration live_flow::before_body(time_point now) const noexcept {
    duration all{};
    for (const flow_phase p : {flow_phase::queue, flow_phase::connect, flow_phase::wait}) all += spent(p, now);
    return uploads_ ? all : all + spent(flow_phase::send, now);
}

waited_party live_flow::party_of(const flow_lane& lane, std::size_t stage, std::size_t stages) const noexcept {
    const bool source = stage == 0;
    if (!source && stage + 1 != stages) return waited_party::stage;
    if (kind == flow_kind::export_rows) return source ? waited_party::database : waited_party::client;
    if (kind == flow_kind::files || kind == flow_kind::other)
        return source ? waited_party::stage : waited_party::client;
    return source == lane.up ? waited_party::client : waited_party::upstream;
}

const char* live_flow::stage_name(const flow_lane& lane, std::size_t stage, std::size_t stages,
                                  const char* own) const noexcept {
    const waited_party p = party_of(lane, stage, stages);
    if (p != waited_party::stage) return to_string(p);
    return kind == flow_kind::files && stage == 0 ? "file" : own;
}

std::span<stage_report> live_flow::report(const flow_lane& lane, time_point now,
                                          std::span<stage_report> room) const noexcept {
    const duration before = by_phases(lane) ? before_body(now) : duration{};
    std::span<stage_report> parts;
    if (const live_pipeline* p = lane.live()) {
        parts = p->report(now, room);
        parts.front().working += before;
        for (stage_report& r : parts.subspan(1)) r.waiting_for_source += before;
    } else if (by_phases(lane) && !down_ended_ && phase_ != flow_phase::head && !sending() && room.size() >= 2) {
        const bool body = phase_ == flow_phase::body;
        const duration writing = spent(flow_phase::body, now);
        const duration in_phase = now - since_;
        parts = room.first(2);
        for (stage_report& r : parts) r = {};
        parts[0].working = parts[1].waiting_for_source = before;
        parts[1].working = parts[0].waiting_for_consumer = writing;
        parts[1].where = side::sink;
        parts[0].state = body ? stage_state::done : stage_state::working;
        parts[1].state = body ? stage_state::working : stage_state::waiting_for_source;
        for (stage_report& r : parts) r.in_state = r.still = in_phase;
    }
    for (std::size_t i = 0; i < parts.size(); ++i) parts[i].name = stage_name(lane, i, parts.size(), parts[i].name);
    return parts;
}

void live_flow::add_waits(const flow_lane& lane, std::span<const stage_report> parts,
                          std::array<duration, waited_parties>& to) const noexcept {
    for (std::size_t i = 0; i < parts.size(); ++i) at(to, party_of(lane, i, parts.size())) += parts[i].working;
}

std::array<duration, waited_parties> live_flow::waits(time_point now) const noexcept {
    auto all = lane_waits_;
    std::array<stage_report, lane_stages_max> room;
    for (const flow_lane& lane : lanes) add_waits(lane, report(lane, now, room), all);
    if (down_ended_ && by_phases(down())) at(all, waited_party::upstream) += before_body(now);
    return all;
}

std::optional<flow_verdict> live_flow::verdict(const flow_lane& lane, std::span<const stage_report> parts,
                                               time_point now) const noexcept {
    const live_pipeline* p = lane.live();
    const auto b = judge(parts, now - (p && !by_phases(lane) ? p->started : begun_));
    if (!b) return std::nullopt;
    return flow_verdict{.stage = parts[b->stage].name,
                        .index = static_cast<std::uint8_t>(b->stage),
                        .party = party_of(lane, b->stage, parts.size()),
                        .share = b->share,
                        .stalled = b->stalled};
}

// Of two that go on at the same time, the one that has stalled for longer. Of a tunnel nobody must say anything: who
// is waited for there is who does not take.
std::optional<flow_verdict> live_flow::verdict(time_point now) const noexcept {
    std::optional<flow_verdict> worst;
    std::array<stage_report, lane_stages_max> room;
    for (const flow_lane& lane : lanes) {
        const auto parts = report(lane, now, room);
        if (parts.empty() || (phase_ == flow_phase::tunnel && waited_for(parts) != parts.size() - 1)) continue;
        auto v = verdict(lane, parts, now);
        if (v && (!worst || v->stalled > worst->stalled)) worst = v;
    }
    return worst ? worst : last_;
}

// Before there are lanes the phase tells.
duration live_flow::stalled(const std::optional<flow_verdict>& v, time_point now) const noexcept {
    if (phase_ == flow_phase::linger) return {}; // it has its answer
    if (v && v->stalled > duration::zero()) return v->stalled;
    if (phase_ > flow_phase::connect) return {};
    const duration still = now - since_;
    return still >= stall_begins ? still : duration{};
}

void live_flow::lane_ended(const flow_lane& lane, const live_pipeline& p) noexcept {
    const time_point now = executor::current().turn_time();
    std::array<stage_report, lane_stages_max> room;
    auto parts = p.report(now, room);
    add_waits(lane, parts, lane_waits_);
    (lane.up ? uploads_ : down_ended_) = true;
    std::size_t held = 0;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        stage_report& r = parts[i];
        r.name = stage_name(lane, i, parts.size(), r.name);
        held += r.held_max;
        if (stage_count_ < stages_.size())
            stages_[stage_count_++] = {.name = r.name,
                                       .bytes = r.bytes,
                                       .held_max = r.held_max,
                                       .left = r.held,
                                       .up = lane.up,
                                       .items = r.items,
                                       .waiting_for_source = r.waiting_for_source,
                                       .working = r.working,
                                       .waiting_for_consumer = r.waiting_for_consumer};
    }
    held_max_ = std::max(held_max_, held);
    if (const auto v = verdict(lane, parts, now); v && (!last_ || !lane.up)) last_ = v;
}

std::size_t live_flow::transitions(std::span<flow_transition, 16> out) const noexcept {
    const std::size_t n = std::min<std::size_t>(noted_, recorder_.size());
    for (std::size_t i = 0; i < n; ++i) out[i] = recorder_[(noted_ - n + i) % recorder_.size()];
    return n;
}

} // namespace headgate::gateway
