#include <headgate/io/kernel_share.hpp>

#include <algorithm>
#include <limits>

#include <netinet/in.h>
#include <netinet/tcp.h>

namespace headgate {

namespace {

#ifdef SO_BUF_LOCK
constexpr int buffer_lock = SO_BUF_LOCK;
#else
constexpr int buffer_lock = 72;
#endif

// A sink that makes the stream wait for less than the first, per mebibyte, keeps up; for more than the second, it is
// slow. What a peer's kernel takes by itself does not count: it is taken in less than `proof_time`.
constexpr duration fast_wait = std::chrono::milliseconds(30);
constexpr duration slow_wait = std::chrono::milliseconds(120);
constexpr duration proof_time = std::chrono::milliseconds(20);

bool set(const slot& s, int level, int name, std::size_t value) noexcept {
    const auto number = static_cast<int>(std::min<std::size_t>(value, std::numeric_limits<int>::max()));
    return loop::current().os().set_option(s.fd, level, name, &number, sizeof number) == 0;
}

} // namespace

// The kernel counts a receive buffer twice, for its own overhead: a quarter is half. The rest is for what is unsent,
// the packet that goes beyond it, and what is on the way between the two.
void kernel_share::bound() noexcept {
    if (from_.at && from_.at->generation == from_.generation) {
        if (set(*from_.at, SOL_SOCKET, buffer_lock, 0))
            set(*from_.at, SOL_SOCKET, SO_RCVBUF, bytes_max_ / 4);
        else
            from_ = {};
    }
    set(*to_.at, IPPROTO_TCP, TCP_NOTSENT_LOWAT, bytes_max_ / 4);
}

void kernel_share::lift() noexcept {
    if (from_.at && from_.at->generation == from_.generation) set(*from_.at, SOL_SOCKET, buffer_lock, 0);
    set(*to_.at, IPPROTO_TCP, TCP_NOTSENT_LOWAT, bytes_max_);
}

void kernel_share::judge(slot& to) noexcept {
    const time_point now = executor::current().turn_time();
    const duration waited = std::exchange(waited_, {});
    moved_ = 0;
    if (is_ == pace::unknown) {
        to_ = {&to, to.generation};
        fast_since_ = now;
        is_ = to.keeps_up ? pace::fast : pace::wary;
        if (is_ == pace::wary) bound();
        if (is_ == pace::fast) set(to, IPPROTO_TCP, TCP_NOTSENT_LOWAT, bytes_max_);
        return;
    }
    if (waited > slow_wait) return too_slow();
    if (waited > fast_wait) fast_since_ = now;
    if (is_ == pace::fast || now - fast_since_ < proof_time) return;
    is_ = pace::fast;
    to.keeps_up = true;
    lift();
}

void kernel_share::too_slow() noexcept {
    fast_since_ = executor::current().turn_time();
    if (is_ == pace::slow) return;
    if (is_ == pace::fast) bound();
    is_ = pace::slow;
    to_.at->keeps_up = false;
}

std::size_t kernel_share::slice() const noexcept {
    return is_ == pace::slow ? bytes_max_ / 8 : std::numeric_limits<std::size_t>::max();
}

void kernel_share::end() noexcept {
    if (is_ == pace::unknown) return;
    if (is_ != pace::fast && from_.at && from_.at->generation == from_.generation)
        set(*from_.at, SOL_SOCKET, buffer_lock, 0);
    if (to_.at->generation == to_.generation) set(*to_.at, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 0);
}

} // namespace headgate
