#pragma once

#include <headgate/core/flow.hpp>
#include <headgate/io/socket.hpp>

namespace headgate {

// Fails the flow of its place when the peer of a socket ends its direction (FIN: errc::premature_close) or resets it
// (the system's error), although nobody reads: whatever the flow waits for, it ends as the very next thing. Allocates
// nothing. One per socket at a time; socket and place must outlive it.
class peer_watch : io_wait {
public:
    peer_watch(socket& s, place& at, side where) : socket_(s), at_(at), where_(where) {
        run = [](ready& r) { static_cast<peer_watch&>(static_cast<io_wait&>(r)).look(); };
        enter(s.state().hanging_up);
        look(); // it may have gone before
    }

    // Whether it was a reset rather than a FIN.
    bool was_reset() const noexcept { return reset_; }

private:
    void look() {
        slot& s = socket_.state();
        if (!s.peer_closed) return;
        leave();
        std::error_code why = errc::premature_close;
        if (s.broken) {
            reset_ = true;
            if (const std::error_code e = socket_.pending_error()) why = e;
        }
        at_.of->fail({why, where_, at_.stage, {}});
    }

    socket& socket_;
    place& at_;
    side where_;
    bool reset_ = false;
};

} // namespace headgate
