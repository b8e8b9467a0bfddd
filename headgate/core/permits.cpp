#include <headgate/core/permits.hpp>

namespace headgate {

// A permit that comes free goes to the first in the queue there and then, so that nobody who comes meanwhile is served
// before. If that one is dropped before it runs, the permit passes on from it like from anyone.
void permit_queue::pass_on() noexcept {
    if (!queue_.linked()) {
        --taken_;
        return;
    }
    auto& first = static_cast<admission&>(static_cast<queue_link&>(*queue_.next));
    first.queue_link::unlink();
    --waiting_;
    first.timer::disarm();
    first.permit_ = permit(*this);
    executor::current().post(first);
}

bool permit_queue::admission::await_ready() noexcept {
    if (home_.taken_ < home_.permits_max_) {
        ++home_.taken_;
        permit_ = permit(home_);
        return true;
    }
    if (home_.waiting_ < home_.queue_max_) return false;
    error_ = errc::overloaded;
    return true;
}

void permit_queue::admission::enqueue(std::coroutine_handle<> h) noexcept {
    h_ = h;
    ready::run = [](ready& r) { static_cast<admission&>(r).h_.resume(); };
    timer::fire = [](timer& t) {
        auto& a = static_cast<admission&>(t);
        a.queue_link::unlink();
        --a.home_.waiting_;
        a.error_ = errc::timed_out;
        a.h_.resume();
    };
    ++home_.waiting_;
    home_.queue_.push_back(static_cast<queue_link&>(*this));
    executor::current().arm(*this, limit_);
}

} // namespace headgate
