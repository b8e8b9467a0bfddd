#include <headgate/io/socket.hpp>

#include <algorithm>
#include <cerrno>

#include <netinet/in.h>
#include <netinet/tcp.h>

namespace headgate {

namespace detail {

// A read that comes back short has emptied the socket: the next one waits for the kernel's word instead of asking in
// vain. Not after the peer's end, which the kernel has announced already.
bool read_operation::attempt() {
    if (slot_.layer) {
        const auto given = slot_.layer->read(to_);
        if (given) result_ = *given;
        return given.has_value();
    }
    const ssize_t n = loop::current().os().read(slot_.fd, to_.data(), to_.size());
    if (n == -EAGAIN) {
        slot_.readable = false;
        return false;
    }
    if (n < 0) {
        result_ = std::unexpected(system_error_code(static_cast<int>(-n)));
        return true;
    }
    if (static_cast<std::size_t>(n) < to_.size() && !slot_.peer_closed) slot_.readable = false;
    result_ = static_cast<std::size_t>(n);
    return true;
}

void remove_front(std::span<iovec>& from, std::size_t bytes) noexcept {
    while (!from.empty() && bytes >= from.front().iov_len) {
        bytes -= std::exchange(from.front().iov_len, 0);
        from = from.subspan(1);
    }
    if (from.empty()) return;
    from.front().iov_base = static_cast<char*>(from.front().iov_base) + bytes;
    from.front().iov_len -= bytes;
}

bool write_operation::attempt() {
    if (slot_.layer) {
        const auto w = slot_.layer->write(from_);
        if (!w) error_ = w.error();
        if (!w || w->all) return true;
        if (w->moved) progressed();
        return false;
    }
    kernel& os = loop::current().os();
    while (!from_.empty()) {
        const ssize_t n = os.write(slot_.fd, from_.data(), static_cast<int>(from_.size()), next_ == followed_by::more);
        if (n == -EAGAIN) {
            slot_.writable = false;
            return false;
        }
        if (n < 0) {
            error_ = system_error_code(static_cast<int>(-n));
            return true;
        }
        remove_front(from_, static_cast<std::size_t>(n));
        if (!from_.empty()) progressed();
    }
    return true;
}

} // namespace detail

peer_address socket::local() const noexcept {
    sockaddr_storage name{};
    socklen_t size = sizeof name;
    if (loop::current().os().local_name(fd(), reinterpret_cast<sockaddr*>(&name), &size) < 0) return {};
    return peer_address::of(address(reinterpret_cast<const sockaddr*>(&name), size));
}

std::error_code socket::pending_error() const noexcept {
    int e = 0;
    socklen_t size = sizeof e;
    const int r = loop::current().os().get_option(fd(), SOL_SOCKET, SO_ERROR, &e, &size);
    return system_error_code(r < 0 ? -r : e);
}

std::optional<result<std::size_t>> socket::try_read(std::span<char> to) {
    if (!state().readable) return std::nullopt;
    detail::read_operation now(state(), to, forever);
    if (!now.attempt()) return std::nullopt;
    return now.await_resume();
}

std::size_t socket::unacknowledged() const noexcept {
    const std::size_t unsent = plain() ? 0 : state().layer->unsent();
    return unsent + static_cast<std::size_t>(std::max<ssize_t>(loop::current().os().unacknowledged(fd()), 0));
}

std::error_code socket::end() noexcept {
    if (!plain()) return state().layer->end();
    return system_error_code(-loop::current().os().shutdown(fd(), SHUT_WR));
}

void socket::close() noexcept {
    if (fd_ && !plain()) static_cast<void>(state().layer->end()); // for want of room it is a cut
    fd_.close();
}

void socket::reset() noexcept {
    if (!fd_) return;
    const linger now{.l_onoff = 1, .l_linger = 0};
    loop::current().os().set_option(fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    fd_.close();
}

task<result<void>> finish(socket& s, duration limit) {
    if (const std::error_code e = s.end()) co_return std::unexpected(e);
    socket_layer* layer = s.state().layer.get();
    while (layer && layer->unsent() != 0) {
        if (const auto room = co_await s.writable(limit); !room) co_return room;
        if (const std::error_code e = layer->flush()) co_return std::unexpected(e);
    }
    co_return result<void>();
}

namespace {

// In whole units of `Unit`, at least one, as an int.
template <class Unit>
int whole(duration d) noexcept {
    return static_cast<int>(std::clamp<std::int64_t>(std::chrono::ceil<Unit>(d).count(), 1, 32'767 * 1000));
}

} // namespace

void detail::set_tcp_options(kernel& os, int fd, const tcp_liveness& alive) noexcept {
    const auto set = [&](int level, int name, int value) { os.set_option(fd, level, name, &value, sizeof value); };
    set(IPPROTO_TCP, TCP_NODELAY, 1);
    if (alive.unconfirmed_max != forever)
        set(IPPROTO_TCP, TCP_USER_TIMEOUT, whole<std::chrono::milliseconds>(alive.unconfirmed_max));
    if (alive.probe_after == forever) return;
    set(SOL_SOCKET, SO_KEEPALIVE, 1);
    set(IPPROTO_TCP, TCP_KEEPIDLE, std::min(whole<std::chrono::seconds>(alive.probe_after), 32'767));
    set(IPPROTO_TCP, TCP_KEEPINTVL, 10);
    set(IPPROTO_TCP, TCP_KEEPCNT, 3);
}

task<result<socket>> connect(address to, duration limit, tcp_liveness alive) {
    loop& l = loop::current();
    const int fd = l.os().socket(to.family(), SOCK_STREAM);
    if (fd < 0) co_return std::unexpected(system_error_code(-fd));
    if (to.family() != AF_UNIX) detail::set_tcp_options(l.os(), fd, alive);
    const int r = l.os().connect(fd, to.data(), to.size());
    if (r < 0 && r != -EINPROGRESS) {
        l.os().close(fd);
        co_return std::unexpected(system_error_code(-r));
    }
    const result<slot*> s = l.open(fd);
    if (!s) co_return std::unexpected(s.error());
    socket connected(**s);
    if (r == 0) {
        (*s)->writable = true;
        co_return connected;
    }
    if (const auto ready = co_await connected.writable(limit); !ready) co_return std::unexpected(ready.error());
    if (const std::error_code e = connected.pending_error()) co_return std::unexpected(e);
    co_return connected;
}

result<std::pair<socket, socket>> socket_pair() {
    int ends[2];
    loop& l = loop::current();
    if (const int r = l.os().socket_pair(ends); r < 0) return std::unexpected(system_error_code(-r));
    const auto a = l.open(ends[0]);
    if (!a) l.os().close(ends[1]);
    if (!a) return std::unexpected(a.error());
    socket first(**a);
    const auto b = l.open(ends[1]);
    if (!b) return std::unexpected(b.error());
    (*a)->writable = (*b)->writable = true;
    return std::pair(std::move(first), socket(**b));
}

} // namespace headgate
