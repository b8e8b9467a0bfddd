#include <headgate/core/sleep.hpp>
#include <headgate/io/loop.hpp>

#include <algorithm>
#include <new>

#include <gateway/cause.hpp>
#include <gateway/endpoint_names.hpp>
#include <gateway/health_check.hpp>
#include <gateway/tell.hpp>
#include <gateway/upstream.hpp>

namespace headgate::gateway {

upstream::upstream(const upstream_config& c, const upstream_surroundings& s,
                   const std::optional<tls_client_context>& tls)
    : config_(c), around_(s), tls_(tls), names_(s.names), limit_(c.options.connections_max, c.options.queue_max),
      budget_(c.options.retry_budget), circuit_(c.options.circuit_breaker), health_(c.options.ejection, 0),
      chance_(loop::current().os().random()) {
    sweep_.self = this;
    sweep_.run = [](ready& r) {
        upstream& u = *static_cast<sweep&>(r).self;
        std::erase_if(u.leaving_, [](const auto& e) { return e->unused(); });
    };
    health_.on_change(
        [](void* u, std::size_t e, health_event what) noexcept { static_cast<upstream*>(u)->changed(e, what); }, this);
    std::vector<endpoint_pool*> order;
    for (std::size_t i = 0; i < c.endpoints.size(); ++i) {
        if (c.endpoints[i].weight == 0) continue;
        endpoints_.push_back(make_pool(target_of(i)));
        order.push_back(endpoints_.back().get());
    }
    arrange(order, time_point::min());
}

// As it is configured. A name is connected to like that until it has been looked up.
endpoint_target upstream::target_of(std::size_t from) const {
    const endpoint_config& e = config_.endpoints[from];
    const std::string host = e.srv.empty() ? e.where.host : domain_of_srv(e.srv);
    return {.where = e.where,
            .srv = e.srv,
            .authority = e.srv.empty() ? e.where.text() : host,
            .server_name = config_.tls.server_name.empty() ? host : config_.tls.server_name,
            .weight = e.weight,
            .from = from};
}

std::unique_ptr<endpoint_pool> upstream::make_pool(endpoint_target t) {
    auto e = std::make_unique<endpoint_pool>(std::move(t), config_.options, around_.alive, tls_, names_, health_,
                                             counts_.tls);
    const sticky_cookie_options& o = config_.options.sticky_cookie;
    if (o.enabled())
        e->set_token(keyed_hash(o.secret.empty() ? around_.key : key_of_secret(o.secret),
                                config_.name + ' ' + std::string(e->name())));
    return e;
}

// Gives the endpoints these places: all that is kept by place is made anew. For want of memory nothing changes.
void upstream::arrange(std::span<endpoint_pool* const> order, time_point now) {
    std::vector<std::size_t> before;
    std::vector<std::uint32_t> priorities;
    std::vector<std::uint32_t> weights;
    std::vector<std::string_view> names;
    for (const endpoint_pool* e : order) {
        before.push_back(e->place());
        priorities.push_back(e->target().priority);
        weights.push_back(e->weight());
        names.push_back(e->name());
    }
    round_robin turns(order.size());
    hash_ring ring;
    if (config_.options.balancing.policy == balancing_policy::consistent_hash) ring = hash_ring(names, weights);
    health_.arrange(before, priorities, now);
    turns_ = std::move(turns);
    ring_ = std::move(ring);
    for (std::size_t i = 0; i < order.size(); ++i) order[i]->set_place(i);
}

void upstream::replace(std::size_t from, std::vector<endpoint_target> with) {
    pools made;
    std::vector<endpoint_pool*> order;
    const auto stays = [&](const endpoint_pool& e) {
        return e.target().from != from ||
               std::ranges::any_of(with, [&](const endpoint_target& t) { return e.target().same_place(t); });
    };
    for (const auto& e : endpoints_)
        if (stays(*e)) order.push_back(e.get());
    for (const endpoint_target& t : with) {
        const auto same = std::ranges::find_if(endpoints_, [&](const auto& e) { return e->target().same_place(t); });
        if (same != endpoints_.end()) {
            (*same)->set_share(t.weight, t.priority);
        } else {
            made.push_back(make_pool(t));
            order.push_back(made.back().get());
        }
    }
    leaving_.reserve(leaving_.size() + endpoints_.size());
    pools next;
    next.reserve(order.size());
    pools old(endpoints_.size());
    arrange(order, executor::current().turn_time()); // nothing after this needs memory
    old.swap(endpoints_);
    for (auto& e : old) {
        if (stays(*e)) {
            next.push_back(std::move(e));
        } else {
            e->leave(sweep_);
            leaving_.push_back(std::move(e));
        }
    }
    for (auto& e : made) next.push_back(std::move(e));
    endpoints_ = std::move(next);
    if (started_)
        for (const auto& e : endpoints_)
            if (e->checks().empty()) check(*e);
}

pick_key upstream::key_of(const http::request_head* head, std::string_view client_address) const noexcept {
    pick_key key = gateway::key_of(config_.options.balancing, head, client_address);
    const sticky_cookie_options& o = config_.options.sticky_cookie;
    if (o.enabled() && head)
        if (const auto value = cookie_of(*head, o.name)) key.home = parse_token(*value);
    return key;
}

std::string upstream::cookie_for(pick_key key, const endpoint_pool& to, bool secure) const {
    const sticky_cookie_options& o = config_.options.sticky_cookie;
    if (!o.enabled() || key.home == to.token() || to.place() == endpoint_pool::nowhere) return {};
    return make_cookie(o, to.token(), secure);
}

endpoint_pool& upstream::pick(pick_key key, const endpoint_pool* not_this) noexcept {
    const time_point now = executor::current().turn_time();
    const auto usable = health_.usable(now);
    if (usable.size() == 1) return *endpoints_[usable.front()];
    std::size_t skip = endpoints_.size();
    if (not_this)
        skip = static_cast<std::size_t>(std::ranges::find(endpoints_, not_this, [](const auto& e) { return e.get(); }) -
                                        endpoints_.begin());
    if (key.home)
        for (const std::uint32_t e : usable)
            if (e != skip && endpoints_[e]->token() == *key.home) return *endpoints_[e];
    if (key.hash) {
        const auto home = ring_.find(*key.hash, [&](std::size_t e) { return e != skip && health_.is_usable(e, now); });
        if (home) return *endpoints_[*home];
    }
    switch (config_.options.balancing.policy) {
    case balancing_policy::least_request: return *endpoints_[least_busy(usable, skip, now)];
    case balancing_policy::round_robin:
        return *endpoints_[turns_.pick(usable, skip, [&](std::size_t e) { return weight(e, now); })];
    default: return *endpoints_[by_chance(usable, skip, now)];
    }
}

// An endpoint that is new, or has come back, begins with a tenth of its weight and has all of it after slow_start.
double upstream::weight(std::size_t e, time_point now) const noexcept {
    constexpr double least = 0.1;
    const auto all = static_cast<double>(endpoints_[e]->weight());
    const duration slow = config_.options.slow_start;
    if (slow == forever || health_.last_return() == time_point::min()) return all;
    const time_point since = health_.well_since(e);
    if (since == time_point::min() || now - since >= slow) return all;
    return all * std::max(least, std::chrono::duration<double>(now - since) / std::chrono::duration<double>(slow));
}

// At least two are usable, here and below.
std::size_t upstream::least_busy(std::span<const std::uint32_t> usable, std::size_t not_this, time_point now) noexcept {
    const std::size_t skipped = not_this == endpoints_.size()
                                    ? usable.size()
                                    : static_cast<std::size_t>(std::ranges::find(usable, not_this) - usable.begin());
    const std::size_t candidates = usable.size() - (skipped < usable.size() ? 1 : 0);
    const auto candidate = [&](std::size_t i) -> std::size_t { return usable[i < skipped ? i : i + 1]; };
    const std::size_t first = chance_.below(candidates);
    const std::size_t a = candidate(first);
    if (candidates == 1) return a;
    const std::size_t other = chance_.below(candidates - 1);
    const std::size_t b = candidate(other < first ? other : other + 1);
    const auto load = [&](std::size_t e) { return static_cast<double>(endpoints_[e]->busy() + 1) / weight(e, now); };
    return load(a) <= load(b) ? a : b;
}

std::size_t upstream::by_chance(std::span<const std::uint32_t> usable, std::size_t not_this, time_point now) noexcept {
    const auto share = [&](std::uint32_t e) { return e == not_this ? 0.0 : weight(e, now); };
    double all = 0;
    for (const std::uint32_t e : usable) all += share(e);
    constexpr std::size_t steps = std::size_t{1} << 31;
    double at = all * static_cast<double>(chance_.below(steps)) / static_cast<double>(steps);
    std::uint32_t last = usable.front();
    for (const std::uint32_t e : usable) {
        if (e == not_this) continue;
        last = e;
        if (at < share(e)) return e;
        at -= share(e);
    }
    return last;
}

proxy_header upstream::proxy_header_for(const peer_address& client, const socket& connection) const noexcept {
    if (config_.options.proxy_protocol == proxy_protocol::none) return {};
    return {.source = client, .destination = connection.local()};
}

task<result<upstream_lease>> upstream::connect(endpoint_pool& first, endpoint_name& name, pick_key key,
                                               const proxy_header* from, duration* handshake) {
    endpoint_pool* to = &first;
    for (std::size_t tried = 1;; ++tried) {
        name.set(to->name());
        auto c = co_await to->connect(from, handshake);
        if (c || out_of_resources(c.error())) co_return c;
        to->report(verdict::failure); // it is there still: what is unused goes in the next turn
        endpoint_pool* const next = &pick(key, to);
        if (next == to || tried == connect_tries_max) co_return c;
        to = next;
    }
}

void upstream::start() {
    started_ = true;
    for (const auto& e : endpoints_) check(*e);
    for (std::size_t i = 0; i < config_.endpoints.size(); ++i) {
        const endpoint_config& e = config_.endpoints[i];
        const bool all = config_.options.dns.resolve == resolve_mode::all || !e.srv.empty();
        if (all && e.weight != 0) resolving_.spawn(keep_resolving(i));
    }
}

// The first checks are spread over the interval, or all workers would ask at the same moment.
void upstream::check(endpoint_pool& e) {
    const health_check_options& o = config_.options.health_check;
    if (o.type == health_check_type::none) return;
    e.checks().spawn(keep_checking(e, o, health_, o.interval * chance_.below(1000) / 1000));
}

// An answer that fails leaves everything as it is, and is asked for again: soon, and then less and less often.
task<> upstream::keep_resolving(std::size_t from) {
    const dns_options& o = config_.options.dns;
    const duration longest = std::max(o.refresh_min, o.refresh_max);
    const endpoint_target of = target_of(from);
    duration after_failure = o.refresh_min;
    for (;;) {
        duration pause = after_failure;
        try {
            auto found = co_await attempt(find_targets(names_, of, config_.options.connect_timeout));
            if (found && *found) {
                replace(from, std::move((*found)->targets));
                if ((*found)->ttl == forever) co_return; // it is an address
                pause = std::clamp((*found)->ttl, o.refresh_min, longest);
                after_failure = o.refresh_min;
            } else {
                after_failure = std::min(after_failure * 2, longest);
            }
        } catch (const std::bad_alloc&) {
            pause = o.refresh_min;
        }
        co_await sleep_for(pause);
    }
}

void upstream::changed(std::size_t endpoint, health_event what) noexcept {
    constexpr const char* texts[] = {"is ejected for its failures", "has its share again", "is found to be down",
                                     "is found to be up"};
    if (what == health_event::ejected) ++counts_.ejections;
    if (what == health_event::down) ++counts_.downs;
    endpoint_pool& e = *endpoints_[endpoint];
    if (what == health_event::down) e.close_idle();
    if (!around_.notices) return;
    const bool well = what == health_event::readmitted || what == health_event::up;
    tell_line(well ? log_level::info : log_level::warning, "upstream {}: {} {}", config_.name, e.name(),
              texts[static_cast<std::size_t>(what)]);
}

void upstream::retire() noexcept {
    resolving_.clear();
    for (const auto& e : endpoints_) e->retire();
}

std::vector<endpoint_state> upstream::states() const {
    std::vector<endpoint_state> all;
    all.reserve(endpoints_.size());
    for (const std::unique_ptr<endpoint_pool>& e : endpoints_)
        all.push_back({.address = std::string(e->name()),
                       .healthy = health_.well(e->place()),
                       .ejected = health_.is_ejected(e->place()),
                       .draining = health_.is_draining(e->place()),
                       .busy = e->busy(),
                       .idle = e->idle(),
                       .weight = e->weight()});
    return all;
}

bool upstream::drain(std::string_view address, bool on) noexcept {
    bool found = false;
    for (const std::unique_ptr<endpoint_pool>& e : endpoints_) {
        if (e->name() != address) continue;
        health_.drain(e->place(), on, executor::current().turn_time());
        found = true;
    }
    return found;
}

std::size_t upstream::idle() const noexcept {
    std::size_t n = 0;
    for (const auto& e : endpoints_) n += e->idle();
    return n;
}

std::size_t upstream::busy() const noexcept {
    std::size_t n = 0;
    for (const auto* list : {&endpoints_, &leaving_})
        for (const auto& e : *list) n += e->busy();
    return n;
}

} // namespace headgate::gateway
