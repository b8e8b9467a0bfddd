#include <headgate/core/sleep.hpp>

#include <algorithm>
#include <map>

#include <gateway/observe/flow_survey.hpp>

namespace headgate::gateway {

namespace {

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

// What lasts is compared as of `asked`: a flow is not older because it was looked at later.
std::int64_t rank_of(const live_flow& f, flow_order order, duration stalled, time_point asked, time_point now) {
    switch (order) {
    case flow_order::stalled: return stalled == duration::zero() ? 0 : (stalled - (now - asked)).count();
    case flow_order::held: return static_cast<std::int64_t>(f.held().held);
    case flow_order::age: return (asked - f.begun()).count();
    case flow_order::hold: return f.hold_time(asked).value_or(duration(-1)).count();
    case flow_order::bytes: {
        const flow_facts is = f.facts();
        return static_cast<std::int64_t>(is.up + is.down);
    }
    }
    return 0;
}

// Tells when it is somebody else's turn. It reads the clock now and then only.
class slice {
public:
    bool over() noexcept {
        constexpr std::size_t flows_between_looks = 8;
        if (seen_ == survey_slice_flows) return true;
        if (++seen_ % flows_between_looks != 0) return false;
        now_ = executor::current().now();
        return now_ - begun_ >= survey_slice;
    }
    time_point now() const noexcept { return now_; }

private:
    const time_point begun_ = executor::current().now();
    time_point now_ = begun_;
    std::size_t seen_ = 0;
};

struct candidate {
    std::int64_t rank;
    std::uint64_t number;
};

// What a flow has that its route has not counted yet.
struct uncounted {
    std::uint64_t number;
    route_totals* route;
    std::array<duration, waited_parties> waits;
    std::uint64_t up;
    std::uint64_t down;
};

// What is found in the first pass.
struct findings {
    std::vector<candidate> found{};
    std::map<std::string, route_totals, std::less<>> routes{};
    std::vector<uncounted> sums{};
    std::size_t total = 0;
    const time_point asked = executor::current().now();

    void look_at(const live_flow& f, const flow_query& q, bool with_sums, time_point now) {
        const auto v = f.verdict(now);
        const duration stalled = f.stalled(v, now);
        auto at = routes.find(f.route);
        if (at == routes.end()) at = routes.try_emplace(std::string(f.route)).first;
        route_totals& r = at->second;
        const auto held = f.held();
        ++total;
        ++r.flows;
        r.held += held.held;
        r.limit += held.limit;
        ++r.blamed[v ? static_cast<std::size_t>(v->party) : waited_parties];
        if (stalled != duration::zero()) ++r.stalled;
        if (with_sums && !f.counted()) {
            const flow_facts is = f.facts();
            sums.push_back({.number = f.number(), .route = &r, .waits = f.waits(now), .up = is.up, .down = is.down});
        }
        if (matches(q, f)) found.push_back({rank_of(f, q.sort, stalled, asked, now), f.number()});
    }

    // The first `limit`, by their numbers. Of two alike the older one is first.
    void choose(std::size_t limit) {
        const auto before = [](const candidate& a, const candidate& b) {
            return a.rank != b.rank ? a.rank > b.rank : a.number < b.number;
        };
        if (found.size() > limit) {
            std::ranges::nth_element(found, found.begin() + static_cast<std::ptrdiff_t>(limit), before);
            found.resize(limit);
        }
        std::ranges::sort(found, {}, &candidate::number);
    }

    // Adds up what is still not counted: of those that have ended since they were looked at, it is. In one piece, or it
    // would not be true of all at once; it is but a walk along two lists.
    void add_sums(const flow_registry& of) {
        auto next = sums.cbegin();
        of.each_from(0, [&](const live_flow& f) {
            while (next != sums.cend() && next->number < f.number()) ++next;
            if (next == sums.cend()) return false;
            if (next->number != f.number() || f.counted()) return true;
            route_totals& r = *next->route;
            for (std::size_t p = 0; p < waited_parties; ++p) r.waits[p] += next->waits[p];
            r.up_bytes += next->up;
            r.down_bytes += next->down;
            return true;
        });
    }
};

} // namespace

// Flows come and go between two slices, so that a place among them is kept as a number: those from there on are still
// to be seen.
task<flow_page> survey(const flow_registry* of, flow_query q, bool sums) {
    findings all;
    for (std::uint64_t next = 0;;) {
        slice s;
        bool whole = true;
        of->each_from(next, [&](const live_flow& f) {
            next = f.number();
            whole = !s.over();
            if (whole) all.look_at(f, q, sums, s.now());
            return whole;
        });
        if (whole) break;
        co_await next_turn();
    }
    flow_page page{.total = all.total, .matched = all.found.size()};
    all.choose(q.limit);
    page.flows.reserve(all.found.size());
    auto wanted = all.found.cbegin();
    while (wanted != all.found.cend()) {
        slice s;
        bool whole = true;
        of->each_from(wanted->number, [&](const live_flow& f) {
            while (wanted != all.found.cend() && wanted->number < f.number()) ++wanted; // it has ended
            if (wanted == all.found.cend()) return false;
            if (wanted->number != f.number()) return true;
            whole = !s.over();
            if (!whole) return false;
            page.flows.push_back(view_of(f, s.now()));
            page.flows.back().rank = wanted->rank;
            return ++wanted != all.found.cend();
        });
        if (whole) break;
        co_await next_turn();
    }
    all.add_sums(*of);
    page.routes.reserve(all.routes.size());
    for (auto& [name, r] : all.routes) {
        r.route = name;
        page.routes.push_back(std::move(r));
    }
    co_return page;
}

} // namespace headgate::gateway
