#include <headgate/core/executor.hpp>

#include <algorithm>
#include <map>

#include <gateway/observe/flow_registry.hpp>

namespace headgate::gateway {

void flow_labels::set(const live_flow& f) noexcept {
    const flow_facts is = f.facts();
    request_id.set(is.request_id);
    route.set(f.route);
    listener.set(is.listener);
    upstream.set(is.upstream);
    method.set(is.method);
    target.set(is.target);
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
    v.transitions = f.transitions(v.recorder);
    return v;
}

bool matches(const flow_query& q, const live_flow& f) {
    if (!q.route.empty() && f.route != q.route) return false;
    if (!q.kind.empty() && q.kind != to_string(f.kind)) return false;
    if (q.client.empty() && q.upstream.empty() && q.search.empty()) return true;
    const flow_facts is = f.facts();
    if (!q.upstream.empty() && is.upstream != q.upstream) return false;
    std::array<char, 48> text;
    const std::string_view client(text.data(), is.client ? is.client->write_host(text) : 0);
    if (!q.client.empty() && client != q.client) return false;
    return q.search.empty() || is.target.contains(q.search) || is.request_id.contains(q.search) ||
           client.contains(q.search);
}

std::int64_t key_of(const live_flow& f, flow_order order, const std::optional<flow_verdict>& v, time_point now) {
    switch (order) {
    case flow_order::stalled: return v ? v->stalled.count() : -1;
    case flow_order::held: return static_cast<std::int64_t>(f.held().held);
    case flow_order::age: return (now - f.begun()).count();
    case flow_order::hold: return f.hold_time(now).value_or(duration(-1)).count();
    case flow_order::bytes: {
        const flow_facts is = f.facts();
        return static_cast<std::int64_t>(is.up + is.down);
    }
    }
    return 0;
}

} // namespace

flow_page flow_registry::select(const flow_query& q) const {
    const time_point now = executor::current().now();
    flow_page page{.total = size_};
    struct candidate {
        std::int64_t key;
        const live_flow* flow;
    };
    std::vector<candidate> found;
    found.reserve(size_);
    std::map<std::string_view, route_totals> routes; // their names live as long as the flows
    for (const list_node* i = flows_.next; i != &flows_; i = i->next) {
        const auto& f = *static_cast<const live_flow*>(i);
        const auto v = f.verdict(now);
        route_totals& r = routes[f.route];
        const auto held = f.held();
        ++r.flows;
        r.held += held.held;
        r.limit += held.limit;
        ++r.blamed[v ? static_cast<std::size_t>(v->party) : waited_parties];
        if (v && v->stalled >= stalled_after) ++r.stalled;
        if (!f.counted()) {
            const auto waits = f.waits(now);
            for (std::size_t p = 0; p < waits.size(); ++p) r.waits[p] += waits[p];
            const flow_facts is = f.facts();
            r.up_bytes += is.up;
            r.down_bytes += is.down;
        }
        if (matches(q, f)) found.push_back({key_of(f, q.sort, v, now), &f});
    }
    page.matched = found.size();
    const std::size_t n = std::min(found.size(), q.limit);
    const auto more = [](const candidate& a, const candidate& b) { return a.key > b.key; };
    std::ranges::partial_sort(found, found.begin() + static_cast<std::ptrdiff_t>(n), more);
    page.flows.reserve(n);
    for (std::size_t i = 0; i < n; ++i) page.flows.push_back(view_of(*found[i].flow, now));
    page.routes.reserve(routes.size());
    for (auto& [name, r] : routes) {
        r.route = name;
        page.routes.push_back(std::move(r));
    }
    return page;
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
