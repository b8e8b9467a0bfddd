#include <headgate/core/abort.hpp>

namespace headgate {

// Listens to its parent and to its deadline, and tells its own listeners.
struct detail::abort_state : abort_listener, timer {
    std::size_t references = 0;
    std::error_code reason; // set once it has fired
    list_node listeners;
    abort_signal parent;

    void stop_listening() noexcept {
        abort_listener::unlink();
        timer::disarm();
    }

    void abort(std::error_code why) {
        if (reason) return;
        reason = why;
        stop_listening();
        const abort_ref alive(this); // a listener may drop the last signal
        while (listeners.linked()) {
            auto& l = static_cast<abort_listener&>(*listeners.next);
            l.unlink();
            l.aborted(l);
        }
    }
};

namespace detail {

abort_ref::abort_ref(abort_state* s) noexcept : s_(s) {
    if (s_) ++s_->references;
}

abort_ref::~abort_ref() {
    if (s_ && --s_->references == 0) delete s_;
}

} // namespace detail

std::error_code abort_signal::reason() const noexcept { return state_ ? state_->reason : std::error_code(); }

void abort_signal::listen(abort_listener& listener) const {
    if (aborted())
        listener.aborted(listener);
    else if (state_)
        state_->listeners.push_back(listener);
}

abort_source::abort_source() : state_(new detail::abort_state) {
    state_->timer::fire = [](timer& t) { static_cast<detail::abort_state&>(t).abort(errc::timed_out); };
}

abort_source::abort_source(const abort_signal& parent) : abort_source() {
    state_->parent = parent;
    state_->aborted = [](abort_listener& l) {
        auto& s = static_cast<detail::abort_state&>(l);
        s.abort(s.parent.reason());
    };
    parent.listen(*state_);
}

abort_source::~abort_source() {
    if (state_) state_->stop_listening(); // the signals that are left will never fire
}

void abort_source::abort(std::error_code reason) { state_->abort(reason); }

void abort_source::abort_after(duration limit) {
    if (!state_->reason) executor::current().arm(*state_, limit);
}

} // namespace headgate
