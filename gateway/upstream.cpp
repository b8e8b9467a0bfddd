#include <gateway/upstream.hpp>

namespace headgate::gateway {

upstream_lease::upstream_lease(upstream& home, std::unique_ptr<upstream_connection> c, bool reused) noexcept
    : home_(&home), c_(std::move(c)), reused_(reused) {
    ++home.busy_;
}

void upstream_lease::drop() noexcept {
    if (!c_) return;
    --home_->busy_;
    c_->connection.reset();
    c_.reset();
}

void upstream_lease::close() noexcept {
    if (!c_) return;
    --home_->busy_;
    c_.reset();
}

// A connection that may have something to read is asked: there must be nothing.
void upstream_lease::give_back() noexcept {
    const slot& s = c_->connection.state();
    bool clean = c_->in.empty() && !s.peer_closed;
    if (clean && s.readable) {
        char surplus;
        clean = loop::current().os().read(s.fd, &surplus, 1) == -EAGAIN;
        c_->connection.state().readable = false;
    }
    if (!clean) return close();
    --home_->busy_;
    home_->park(std::move(c_));
}

upstream_connection& upstream::member(list_node* n) noexcept {
    return static_cast<upstream_connection&>(static_cast<pool_link&>(*n));
}

upstream_lease upstream::reuse() noexcept {
    if (!idle_.linked()) return {};
    return {*this, unpark(member(idle_.next)), true};
}

void upstream::park(std::unique_ptr<upstream_connection> c) noexcept {
    if (options_.idle_max == 0) return;
    if (idle_count_ >= options_.idle_max) unpark(member(idle_.prev));
    upstream_connection& parked = *c.release();
    parked.home_ = this;
    parked.in.release();
    parked.io_wait::run = [](ready& r) {
        auto& self = static_cast<upstream_connection&>(static_cast<io_wait&>(r));
        self.home_->unpark(self);
    };
    parked.timer::fire = [](timer& t) {
        auto& self = static_cast<upstream_connection&>(t);
        self.home_->unpark(self);
    };
    parked.io_wait::enter(parked.connection.state().reading);
    executor::current().arm(parked, options_.keep_alive_timeout);
    idle_.push_front(static_cast<pool_link&>(parked));
    ++idle_count_;
}

std::unique_ptr<upstream_connection> upstream::unpark(upstream_connection& c) noexcept {
    c.pool_link::unlink();
    c.io_wait::leave();
    c.timer::disarm();
    --idle_count_;
    return std::unique_ptr<upstream_connection>(&c);
}

void upstream::close_idle() noexcept {
    while (idle_.linked()) unpark(member(idle_.next));
}

task<result<std::vector<address>>> upstream::addresses() {
    const time_point now = executor::current().turn_time();
    if (addresses_.empty() || now - addresses_at_ > addresses_age_max) {
        auto found = co_await resolver_.resolve(to_.host, to_.port, options_.connect_timeout);
        if (!found) co_return std::unexpected(found.error());
        addresses_ = std::move(*found);
        addresses_at_ = now;
    }
    co_return addresses_;
}

task<result<upstream_lease>> upstream::connect() {
    const auto found = co_await addresses();
    if (!found) co_return std::unexpected(found.error());
    std::error_code last = make_error_code(std::errc::address_not_available);
    for (const address& a : *found) {
        auto s = co_await headgate::connect(a, options_.connect_timeout, alive_);
        if (s) co_return upstream_lease(*this, std::make_unique<upstream_connection>(std::move(*s)), false);
        last = s.error();
    }
    co_return std::unexpected(last);
}

} // namespace headgate::gateway
