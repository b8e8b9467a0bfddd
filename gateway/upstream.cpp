#include <headgate/io/loop.hpp>

#include <algorithm>

#include <gateway/cause.hpp>
#include <gateway/health_check.hpp>
#include <gateway/upstream.hpp>

namespace headgate::gateway {

upstream_lease::upstream_lease(endpoint_pool& home, std::unique_ptr<upstream_connection> c, bool reused) noexcept
    : home_(&home), c_(std::move(c)), reused_(reused) {
    ++home.busy_;
}

void upstream_lease::drop() noexcept {
    if (!c_) return;
    --home_->busy_;
    c_->connection.reset();
    c_.reset();
    permit_.release();
}

void upstream_lease::close() noexcept {
    if (!c_) return;
    --home_->busy_;
    c_->connection.close();
    c_.reset();
    permit_.release();
}

// A connection that may have something to read is asked: there must be nothing.
void upstream_lease::give_back() noexcept {
    char surplus;
    const bool clean =
        c_->in.empty() && !c_->connection.state().peer_closed && !c_->connection.try_read(std::span(&surplus, 1));
    if (!clean || home_->used_up(*c_)) return close();
    --home_->busy_;
    home_->park(std::move(c_));
    permit_.release();
}

upstream_connection& endpoint_pool::member(list_node* n) noexcept {
    return static_cast<upstream_connection&>(static_cast<pool_link&>(*n));
}

upstream_lease endpoint_pool::reuse() noexcept {
    if (!idle_.linked()) return {};
    auto c = unpark(member(idle_.next));
    ++c->requests_;
    return {*this, std::move(c), true};
}

// Whether it has served its time, or its number of requests, or is for one client alone.
bool endpoint_pool::used_up(const upstream_connection& c) const noexcept {
    return options_.proxy_protocol != proxy_protocol::none || c.requests_ >= options_.requests_per_connection_max ||
           executor::current().turn_time() - c.opened_ >= options_.connection_lifetime_max;
}

void endpoint_pool::park(std::unique_ptr<upstream_connection> c) noexcept {
    if (options_.idle_max == 0) return;
    if (idle_count_ >= options_.idle_max) unpark(member(idle_.prev));
    upstream_connection& parked = *c.release();
    parked.home_ = this;
    parked.in.release();
    parked.io_wait::run = [](ready& r) {
        auto& self = static_cast<upstream_connection&>(static_cast<io_wait&>(r));
        char surplus; // what TLS says to itself is nothing
        if (self.connection.try_read(std::span(&surplus, 1))) self.home_->unpark(self);
    };
    parked.timer::fire = [](timer& t) {
        auto& self = static_cast<upstream_connection&>(t);
        self.home_->unpark(self);
    };
    parked.io_wait::enter(parked.connection.state().reading);
    duration idle_max = options_.keep_alive_timeout;
    if (options_.connection_lifetime_max != forever)
        idle_max =
            std::min(idle_max, options_.connection_lifetime_max - (executor::current().turn_time() - parked.opened_));
    executor::current().arm(parked, idle_max);
    idle_.push_front(static_cast<pool_link&>(parked));
    ++idle_count_;
}

std::unique_ptr<upstream_connection> endpoint_pool::unpark(upstream_connection& c) noexcept {
    c.pool_link::unlink();
    c.io_wait::leave();
    c.timer::disarm();
    --idle_count_;
    return std::unique_ptr<upstream_connection>(&c);
}

void endpoint_pool::close_idle() noexcept {
    while (idle_.linked()) unpark(member(idle_.next));
}

task<result<std::vector<address>>> endpoint_pool::addresses() {
    const time_point now = executor::current().turn_time();
    if (addresses_.empty() || now - addresses_at_ > addresses_age_max) {
        auto found = co_await resolver_.resolve(to_.host, to_.port, options_.connect_timeout);
        if (!found) co_return std::unexpected(found.error());
        addresses_ = std::move(*found);
        addresses_at_ = now;
    }
    co_return addresses_;
}

task<result<socket>> endpoint_pool::open(const proxy_header* from) {
    const auto found = co_await addresses();
    if (!found) co_return std::unexpected(found.error());
    std::error_code last = make_error_code(std::errc::address_not_available);
    for (const address& a : *found) {
        auto s = co_await headgate::connect(a, options_.connect_timeout, alive_);
        if (!s) {
            last = s.error();
            continue;
        }
        if (options_.proxy_protocol != proxy_protocol::none) {
            const std::string header =
                make_proxy_header(options_.proxy_protocol, from ? *from : proxy_header{.local = true});
            const auto told = co_await s->write_all(header, options_.connect_timeout);
            if (!told) co_return std::unexpected(told.error());
        }
        if (tls_) {
            const auto shaken = co_await connect_tls(*s, *tls_, server_name_, options_.connect_timeout, &resumption_);
            if (!shaken) co_return std::unexpected(shaken.error()); // it is there, and is not who it should be
        }
        co_return std::move(*s);
    }
    co_return std::unexpected(last);
}

task<result<upstream_lease>> endpoint_pool::connect(const proxy_header* from) {
    auto s = co_await open(from);
    if (!s) co_return std::unexpected(s.error());
    co_return upstream_lease(*this, std::make_unique<upstream_connection>(std::move(*s)), false);
}

void endpoint_pool::retire() noexcept {
    options_.idle_max = 0;
    close_idle();
}

namespace {

// The endpoints that count, in their order.
std::vector<std::uint32_t> weights_of(const upstream_config& c) {
    std::vector<std::uint32_t> all;
    for (const endpoint_config& e : c.endpoints)
        if (e.weight != 0) all.push_back(e.weight);
    return all;
}

} // namespace

upstream::upstream(const upstream_config& c, tcp_liveness alive, const std::optional<tls_client_context>& tls)
    : limit_(c.options), budget_(c.options.retry_budget), circuit_(c.options.circuit_breaker),
      health_(c.options.ejection, weights_of(c).size()), health_check_(c.options.health_check),
      tells_client_(c.options.proxy_protocol != proxy_protocol::none), balancing_(c.options.balancing),
      chance_(loop::current().os().random()), turns_(weights_of(c)) {
    std::vector<std::string_view> names;
    for (const endpoint_config& e : c.endpoints) {
        if (e.weight == 0) continue;
        endpoints_.push_back(std::make_unique<endpoint_pool>(e, c, alive, tls, health_, endpoints_.size()));
        names.push_back(endpoints_.back()->name());
    }
    if (balancing_.policy == balancing_policy::consistent_hash) ring_ = hash_ring(names, weights_of(c));
}

endpoint_pool& upstream::pick(pick_key key, const endpoint_pool* not_this) noexcept {
    const time_point now = executor::current().turn_time();
    const auto usable = health_.usable(now);
    if (usable.size() == 1) return *endpoints_[usable.front()];
    const std::size_t skip = not_this ? not_this->place() : endpoints_.size();
    if (key.hash) {
        const auto home = ring_.find(*key.hash, [&](std::size_t e) { return e != skip && health_.is_usable(e, now); });
        if (home) return *endpoints_[*home];
    }
    switch (balancing_.policy) {
    case balancing_policy::least_request: return *endpoints_[least_busy(usable, skip)];
    case balancing_policy::round_robin: return *endpoints_[turns_.pick(usable, skip)];
    default: return *endpoints_[by_chance(usable, skip)];
    }
}

// At least two are usable, here and below.
std::size_t upstream::least_busy(std::span<const std::uint32_t> usable, std::size_t not_this) noexcept {
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
    const auto load = [this](std::size_t e) {
        return static_cast<double>(endpoints_[e]->busy() + 1) / static_cast<double>(endpoints_[e]->weight());
    };
    return load(a) <= load(b) ? a : b;
}

std::size_t upstream::by_chance(std::span<const std::uint32_t> usable, std::size_t not_this) noexcept {
    const auto weight = [&](std::uint32_t e) -> std::size_t { return e == not_this ? 0 : endpoints_[e]->weight(); };
    std::size_t all = 0;
    for (const std::uint32_t e : usable) all += weight(e);
    std::size_t at = chance_.below(all);
    for (const std::uint32_t e : usable) {
        if (at < weight(e)) return e;
        at -= weight(e);
    }
    return usable.front();
}

task<result<upstream_lease>> upstream::connect(endpoint_pool& first, std::string_view& name, pick_key key,
                                               const proxy_header* from) {
    endpoint_pool* to = &first;
    for (std::size_t tried = 1;; ++tried) {
        name = to->name();
        auto c = co_await to->connect(from);
        if (c || out_of_resources(c.error())) co_return c;
        to->report(verdict::failure);
        endpoint_pool* const next = &pick(key, to);
        if (next == to || tried == connect_tries_max) co_return c;
        to = next;
    }
}

proxy_header upstream::proxy_header_for(const peer_address& client, const socket& connection) const noexcept {
    if (!tells_client_) return {};
    return {.source = client, .destination = connection.local()};
}

// The first ones are spread over the interval, or all workers would ask at the same moment.
void upstream::start_checks() {
    if (health_check_.type == health_check_type::none) return;
    for (std::size_t i = 0; i < endpoints_.size(); ++i)
        checks_.spawn(keep_checking(*endpoints_[i], health_check_, health_, i,
                                    health_check_.interval * chance_.below(1000) / 1000));
}

void upstream::retire() noexcept {
    checks_.clear();
    for (const auto& e : endpoints_) e->retire();
}

std::size_t upstream::idle() const noexcept {
    std::size_t n = 0;
    for (const auto& e : endpoints_) n += e->idle();
    return n;
}

std::size_t upstream::busy() const noexcept {
    std::size_t n = 0;
    for (const auto& e : endpoints_) n += e->busy();
    return n;
}

} // namespace headgate::gateway
