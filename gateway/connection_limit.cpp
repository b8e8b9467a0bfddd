#include <gateway/connection_limit.hpp>

namespace headgate::gateway {

// A permit that comes free goes to the first in the queue there and then, so that nobody who comes meanwhile is served
// before. If that one is dropped before it runs, the permit passes on from it like from anyone.
void connection_limit::pass_on() noexcept {
    if (!queue_.linked()) {
        --taken_;
        return;
    }
    auto& first = static_cast<admission&>(static_cast<detail::queue_link&>(*queue_.next));
    first.queue_link::unlink();
    --waiting_;
    first.timer::disarm();
    first.permit_ = connection_permit(*this);
    executor::current().post(first);
}

bool connection_limit::admission::await_ready() noexcept {
    if (limit_.taken_ < limit_.connections_max_) {
        ++limit_.taken_;
        permit_ = connection_permit(limit_);
        return true;
    }
    if (limit_.waiting_ < limit_.queue_max_) return false;
    error_ = errc::overloaded;
    return true;
}

void connection_limit::admission::enqueue(std::coroutine_handle<> h) noexcept {
    h_ = h;
    ready::run = [](ready& r) { static_cast<admission&>(r).h_.resume(); };
    timer::fire = [](timer& t) {
        auto& a = static_cast<admission&>(t);
        a.queue_link::unlink();
        --a.limit_.waiting_;
        a.error_ = errc::timed_out;
        a.h_.resume();
    };
    ++limit_.waiting_;
    limit_.queue_.push_back(static_cast<detail::queue_link&>(*this));
    executor::current().arm(*this, limit_.queue_timeout_);
}

} // namespace headgate::gateway
