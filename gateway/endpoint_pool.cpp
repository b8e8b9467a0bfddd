#include <algorithm>

#include <gateway/endpoint_names.hpp>
#include <gateway/endpoint_pool.hpp>

namespace headgate::gateway {

upstream_lease::upstream_lease(endpoint_pool& home, std::unique_ptr<upstream_connection> c, bool reused) noexcept
    : home_(&home), c_(std::move(c)), reused_(reused) {
    ++home.busy_;
}

void upstream_lease::drop() noexcept {
    if (!c_) return;
    c_->connection.reset();
    c_.reset();
    ended();
}

void upstream_lease::close() noexcept {
    if (!c_) return;
    c_->connection.close();
    c_.reset();
    ended();
}

void upstream_lease::ended() noexcept {
    home_->ended();
    permit_.release();
    if (told_) std::exchange(told_, nullptr)->release();
}

// A connection that may have something to read is asked: there must be nothing.
void upstream_lease::give_back() noexcept {
    char surplus;
    const bool clean =
        c_->in.empty() && !c_->connection.state().peer_closed && !c_->connection.try_read(std::span(&surplus, 1));
    if (!clean || home_->used_up(*c_)) return close();
    home_->park(std::move(c_));
    ended();
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

// A connect in progress: the pool must stay.
class endpoint_pool::opening {
public:
    explicit opening(endpoint_pool& p) noexcept : pool_(p) { ++pool_.opening_; }
    opening(const opening&) = delete;
    opening& operator=(const opening&) = delete;
    ~opening() {
        --pool_.opening_;
        if (pool_.when_unused_) executor::current().post(*pool_.when_unused_);
    }

private:
    endpoint_pool& pool_;
};

void endpoint_pool::ended() noexcept {
    --busy_;
    if (when_unused_) executor::current().post(*when_unused_);
}

task<result<std::vector<address>>> endpoint_pool::addresses() {
    const time_point now = executor::current().turn_time();
    if (addresses_.empty() || now - addresses_at_ > addresses_age_max) {
        if (to_.srv.empty()) {
            auto found = co_await names_.resolve(to_.where.host, to_.where.port, options_.connect_timeout);
            if (!found) co_return std::unexpected(found.error());
            addresses_ = std::move(*found);
        } else {
            auto found = co_await find_targets(names_, to_, options_.connect_timeout);
            if (!found) co_return std::unexpected(found.error());
            addresses_.clear();
            for (const endpoint_target& t : found->targets)
                if (auto a = address::parse(t.where.text())) addresses_.push_back(*a);
        }
        addresses_at_ = now;
    }
    co_return addresses_;
}

task<result<socket>> endpoint_pool::open(const proxy_header* from, duration* handshake) {
    const opening here(*this);
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
            const time_point begun = executor::current().turn_time();
            const auto shaken =
                co_await connect_tls(*s, *tls_, to_.server_name, options_.connect_timeout, &resumption_);
            if (handshake) *handshake = executor::current().turn_time() - begun;
            if (!shaken) co_return std::unexpected(shaken.error()); // it is there, and is not who it should be
            ++(tls_resumed(*s) ? shaken_.resumed : shaken_.full);
        }
        co_return std::move(*s);
    }
    co_return std::unexpected(last);
}

task<result<upstream_lease>> endpoint_pool::connect(const proxy_header* from, duration* handshake) {
    auto s = co_await open(from, handshake);
    if (!s) co_return std::unexpected(s.error());
    co_return upstream_lease(*this, std::make_unique<upstream_connection>(std::move(*s)), false);
}

void endpoint_pool::retire() noexcept {
    checks_.clear();
    options_.idle_max = 0;
    close_idle();
}

void endpoint_pool::leave(ready& when_unused) noexcept {
    retire();
    place_ = nowhere;
    when_unused_ = &when_unused;
    executor::current().post(when_unused);
}

} // namespace headgate::gateway
