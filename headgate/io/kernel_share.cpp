#include <headgate/io/kernel_share.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

namespace headgate {

namespace {

#ifdef SO_BUF_LOCK
constexpr int buffer_lock = SO_BUF_LOCK;
#else
constexpr int buffer_lock = 72;
#endif
constexpr int receive_locked = 2; // SOCK_RCVBUF_LOCK

// A sink that makes the stream wait for less than the first, per mebibyte, keeps up; for more than the second, it is
// slow.
constexpr duration fast_wait = std::chrono::milliseconds(30);
constexpr duration slow_wait = std::chrono::milliseconds(120);
// What proves that it keeps up: more than a peer's kernel takes by itself (tcp_rmem is 6 MiB), or a while. A stream
// that comes slowly enough for that has no large window at its source (it grows with what comes in a round trip).
constexpr std::size_t proof_bytes = std::size_t{8} * 1024 * 1024;
constexpr duration proof_time = std::chrono::milliseconds(250);

bool set(const slot& s, int level, int name, std::size_t value) noexcept {
    const auto number = static_cast<int>(std::min<std::size_t>(value, std::numeric_limits<int>::max()));
    return loop::current().os().set_option(s.fd, level, name, &number, sizeof number) == 0;
}

// What the peer may still send by an offer that was made to it, if the kernel says so (Linux 6.2, in a newer tcp_info
// than headers may have).
std::optional<std::size_t> window_of(const slot& s) noexcept {
    std::array<std::uint32_t, 64> info{};
    constexpr std::size_t receive_window = 58;
    socklen_t size = sizeof info;
    if (loop::current().os().get_option(s.fd, IPPROTO_TCP, TCP_INFO, info.data(), &size) != 0) return {};
    if (size < (receive_window + 1) * sizeof info[0]) return {};
    return info[receive_window];
}

} // namespace

// A quarter is the source's, which the kernel counts twice for its own overhead, and a quarter what is unsent. The rest
// is for the packet that goes beyond that, and what is on the way between the two.
void kernel_share::bound() noexcept {
    if (source_is_open()) {
        if (set(*from_.at, SOL_SOCKET, buffer_lock, receive_locked))
            bound_source();
        else
            from_ = {};
    }
    set(*to_.at, IPPROTO_TCP, TCP_NOTSENT_LOWAT, bytes_max_ / 4);
}

// A buffer that has grown gets smaller as it is emptied. What comes by an offer made before must find room: it would be
// dropped, and sent again in seconds at last. When all that was offered has come, nothing is to be offered for what is
// taken next.
void kernel_share::bound_source() noexcept {
    grown_ = false;
    if (!source_is_open()) return;
    std::array<std::uint32_t, SK_MEMINFO_VARS> memory{};
    socklen_t size = sizeof memory;
    if (loop::current().os().get_option(from_.at->fd, SOL_SOCKET, SO_MEMINFO, memory.data(), &size) != 0) return;
    std::size_t wanted = bytes_max_ / 2;
    if (memory[SK_MEMINFO_RCVBUF] > wanted) {
        const auto window = window_of(*from_.at);
        if (!window) return;
        const std::size_t held = memory[SK_MEMINFO_RMEM_ALLOC];
        const std::size_t room = *window != 0 ? held + 2 * *window : held - std::min(held, bytes_max_ / 8);
        grown_ = room > wanted + bytes_max_ / 8;
        if (grown_) wanted = room;
        if (wanted >= memory[SK_MEMINFO_RCVBUF]) return;
    }
    set(*from_.at, SOL_SOCKET, SO_RCVBUF, wanted / 2);
}

void kernel_share::let_source_go() noexcept {
    if (source_is_open()) set(*from_.at, SOL_SOCKET, buffer_lock, 0);
}

void kernel_share::lift() noexcept {
    let_source_go();
    set(*to_.at, IPPROTO_TCP, TCP_NOTSENT_LOWAT, bytes_max_);
}

void kernel_share::judge(slot& to) noexcept {
    const time_point now = executor::current().turn_time();
    const duration waited = std::exchange(waited_, {});
    kept_up_ += std::exchange(moved_, 0);
    if (is_ == pace::unknown) {
        to_ = {&to, to.generation};
        begin_proof(now);
        is_ = to.keeps_up ? pace::fast : pace::wary;
        if (is_ == pace::wary) bound();
        if (is_ == pace::fast) set(to, IPPROTO_TCP, TCP_NOTSENT_LOWAT, bytes_max_);
        return;
    }
    if (waited > slow_wait) return too_slow();
    if (waited > fast_wait) begin_proof(now);
    if (is_ == pace::fast || (kept_up_ < proof_bytes && now - fast_since_ < proof_time)) return;
    is_ = pace::fast;
    to.keeps_up = true;
    lift();
}

void kernel_share::too_slow() noexcept {
    begin_proof(executor::current().turn_time());
    if (is_ == pace::slow) return;
    if (is_ == pace::fast) bound();
    is_ = pace::slow;
    to_.at->keeps_up = false;
}

std::size_t kernel_share::slice() const noexcept {
    if (is_ == pace::fast || bytes_max_ == 0) return std::numeric_limits<std::size_t>::max();
    return bytes_max_ / 8;
}

void kernel_share::end() noexcept {
    if (is_ == pace::unknown) return;
    if (is_ != pace::fast) let_source_go();
    if (to_.at->generation == to_.generation) set(*to_.at, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 0);
}

} // namespace headgate
