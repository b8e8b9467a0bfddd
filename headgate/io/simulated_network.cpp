#include <headgate/io/simulated_network.hpp>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <sys/epoll.h>

namespace headgate::detail {

namespace {

using namespace std::chrono_literals;
using enum endpoint::state;

constexpr std::size_t no_window =
    static_cast<std::size_t>(-1) / 2; // Unix sockets and pipes: only the sender's buffer counts
constexpr std::size_t page = 4096;

bool same_place(const address& a, const address& b) { return a.family() == b.family() && a.text() == b.text(); }

bool is_any(const address& a) {
    const std::string host = a.host();
    return host == "0.0.0.0" || host == "::";
}

address loopback_of(int family, std::uint16_t port) {
    address a = *address::parse(family == AF_INET6 ? "[::1]:0" : "127.0.0.1:0");
    a.set_port(port);
    return a;
}

} // namespace

std::string endpoint::text() const {
    const auto place = [](const address& a) {
        if (a.size() == 0) return std::string("-");
        return a.family() == AF_UNIX && a.size() <= sizeof(sa_family_t) ? std::string("unix") : a.text();
    };
    const char* kind_name = is_tcp() ? "tcp" : what == kind::local ? "unix" : "pipe";
    std::string out = std::string(kind_name) + " from " + opened_by;
    if (now == listening) return out + " at " + place(name);
    if (is_pipe()) return out + ", holds " + std::to_string(received_bytes) + " bytes";
    return out + ", " + place(name) + " <-> " + place(peer_name);
}

endpoint& simulated_network::make(endpoint::kind what) {
    endpoint& e = endpoints_[++last_id_];
    e.id = last_id_;
    e.what = what;
    e.send_buffer = options.send_buffer;
    e.receive_buffer = options.receive_buffer;
    e.window = no_window;
    return e;
}

void simulated_network::touch(endpoint& e) {
    if (!std::exchange(e.edge, true)) touched_.push_back(e.id);
}

// As epoll: what does not hold any more is forgotten. Looking at a full socket asks to be told of room.
std::vector<endpoint*> simulated_network::take_touched() {
    std::vector<endpoint*> found;
    for (const std::uint64_t id : std::exchange(touched_, {})) {
        endpoint* e = find(id);
        if (!e) continue;
        e->edge = false;
        if (!e->tag) continue;
        if (!e->is_pipe() && !writable(*e)) e->wants_room = true;
        if (bits(*e) != 0) found.push_back(e);
    }
    return found;
}

endpoint* simulated_network::find(std::uint64_t id) noexcept {
    const auto i = endpoints_.find(id);
    return i == endpoints_.end() ? nullptr : &i->second;
}

int simulated_network::bind(endpoint& e, const address& at) {
    if (e.name.size() != 0) return -EINVAL;
    address name = at;
    if (!e.is_tcp()) {
        if (!paths_.insert(at.text()).second) return -EADDRINUSE;
    } else {
        while (name.port() == 0 || (at.port() == 0 && listener_at(name))) {
            last_port_ = std::max<std::uint16_t>(static_cast<std::uint16_t>(last_port_ + 1), 32768);
            name.set_port(last_port_);
        }
        for (const auto& [id, other] : endpoints_)
            if (other.fd >= 0 && other.is_tcp() && other.now <= listening && same_place(other.name, name) &&
                !(e.reuse_port && other.reuse_port))
                return -EADDRINUSE;
    }
    e.name = name;
    return 0;
}

int simulated_network::unlink(const std::string& path) { return paths_.erase("unix:" + path) != 0 ? 0 : -ENOENT; }

int simulated_network::listen(endpoint& e, int backlog) {
    if (e.now != fresh && e.now != listening) return -EINVAL;
    if (e.name.size() == 0) return -EINVAL; // Linux gives out a port; nobody could know it here
    e.now = listening;
    e.backlog = static_cast<std::size_t>(std::max(backlog, 0));
    e.opened_by = "listen";
    return 0;
}

// One of the listeners at `at`, by chance if they share the port.
endpoint* simulated_network::listener_at(const address& at) {
    std::vector<endpoint*> found;
    for (auto& [id, e] : endpoints_) {
        if (e.now != listening || e.name.family() != at.family()) continue;
        if (same_place(e.name, at) || (e.is_tcp() && e.name.port() == at.port() && is_any(e.name))) found.push_back(&e);
    }
    if (found.empty()) return nullptr;
    return found[random() && found.size() > 1 ? chance.below(found.size()) : 0];
}

int simulated_network::connect(endpoint& e, const address& to) {
    if (e.now == connecting) return -EALREADY;
    if (e.now == connected) return -EISCONN;
    if (e.now == closed) return -ECONNABORTED;
    if (e.now != fresh) return -EINVAL;
    e.opened_by = "connect";
    if (e.is_tcp()) {
        if (to.family() == AF_UNIX) return -EAFNOSUPPORT;
        if (e.name.size() == 0) {
            last_port_ = std::max<std::uint16_t>(static_cast<std::uint16_t>(last_port_ + 1), 32768);
            e.name = loopback_of(to.family(), last_port_);
        }
        e.peer_name = to;
        e.now = connecting;
        if (options.connect_delay == forever) return -EINPROGRESS;
        post(e, {.what = packet_kind::syn, .to = 0, .from = e.id, .bytes = {}, .target = to}, options.connect_delay);
        return -EINPROGRESS;
    }
    endpoint* listener = listener_at(to);
    if (!listener) return paths_.contains(to.text()) ? -ECONNREFUSED : -ENOENT;
    if (listener->waiting.size() > listener->backlog) return -EAGAIN;
    endpoint& child = make(e.what);
    connect_pair(e, child);
    child.name = to;
    child.home = listener->id;
    child.opened_by = "accept";
    e.opened_by = "connect";
    e.peer_name = to;
    listener->waiting.push_back(child.id);
    touch(*listener);
    return 0;
}

int simulated_network::connect_pair(endpoint& a, endpoint& b) {
    const sockaddr unnamed{.sa_family = AF_UNIX, .sa_data = {}};
    for (endpoint* e : {&a, &b}) {
        e->now = connected;
        e->opened_by = "socket_pair";
        e->peer = e == &a ? b.id : a.id;
        if (e->name.size() == 0) e->name = address(&unnamed, sizeof(sa_family_t));
        e->peer_name = address(&unnamed, sizeof(sa_family_t));
        touch(*e);
    }
    return 0;
}

endpoint* simulated_network::accept(endpoint& listener) {
    if (listener.waiting.empty()) return nullptr;
    endpoint* child = find(listener.waiting.front());
    listener.waiting.pop_front();
    return child;
}

int simulated_network::shutdown(endpoint& e, int how) {
    const unsigned parts = how == SHUT_RD ? endpoint::receive : how == SHUT_WR ? endpoint::send : endpoint::both;
    if (e.is_tcp()) {
        const bool joined = e.now == connected;
        if (!joined && e.now != closed) return -ENOTCONN;
        e.shut |= parts;
        touch(e);
        if (!joined) return -ENOTCONN;
        if (parts & endpoint::send) end_sending(e);
        return 0;
    }
    e.shut |= parts;
    touch(e);
    if (endpoint* p = find(e.peer)) {
        if (parts & endpoint::send) p->shut |= endpoint::receive;
        if (parts & endpoint::receive) p->shut |= endpoint::send;
        touch(*p);
    }
    return 0;
}

void simulated_network::end_sending(endpoint& e) {
    e.end_queued = true;
    transmit(e);
}

void simulated_network::close(endpoint& e) {
    settle();
    e.tag.reset();
    e.fd = -1;
    if (e.now == listening) {
        while (endpoint* child = accept(e)) {
            child->reset_on_close = true;
            if (child->is_tcp())
                close_tcp(*child);
            else
                close_local(*child, true);
        }
        endpoints_.erase(e.id);
    } else if (e.is_pipe()) {
        close_pipe(e);
    } else if (e.is_tcp()) {
        close_tcp(e);
    } else {
        close_local(e, false);
    }
}

void simulated_network::close_local(endpoint& e, bool never_accepted) {
    if (endpoint* p = find(e.peer)) {
        p->shut = endpoint::both;
        if (never_accepted || e.received_bytes != 0) p->error = ECONNRESET;
        p->unacknowledged = 0;
        touch(*p);
    }
    endpoints_.erase(e.id);
}

// With unread bytes, or when asked to, the peer is told with a reset and what it has not received yet is lost.
// Otherwise the bytes are still delivered, followed by the end.
void simulated_network::close_tcp(endpoint& e) {
    const bool both_ended = e.peer_ended && e.end_sent;
    if (e.now != connected) {
        endpoints_.erase(e.id);
    } else if (e.received_bytes != 0 || (e.reset_on_close && !both_ended)) {
        post(e, {.what = packet_kind::reset, .to = e.peer, .from = e.id, .bytes = {}, .target = {}});
        endpoints_.erase(e.id);
    } else {
        e.shut = endpoint::both;
        end_sending(e);
        remove_if_done(e); // it had ended before
    }
}

void simulated_network::close_pipe(endpoint& e) {
    if (endpoint* p = find(e.peer)) {
        p->peer = 0;
        touch(*p);
    }
    endpoints_.erase(e.id);
}

void simulated_network::remove_if_done(endpoint& e) {
    if (e.fd < 0 && e.end_arrived && e.unacknowledged == 0) endpoints_.erase(e.id);
}

// Whether a write takes anything, and whether the system says that it would: Linux waits for a good part of the buffer
// to be free.
bool simulated_network::has_room(const endpoint& e) const noexcept { return e.unacknowledged < e.send_buffer; }
bool simulated_network::writable(const endpoint& e) const noexcept {
    return e.is_tcp() ? e.unacknowledged <= e.send_buffer / 3 * 2 : e.unacknowledged <= e.send_buffer / 4;
}

std::uint32_t simulated_network::bits(const endpoint& e) const noexcept {
    std::uint32_t b = 0;
    if (e.what == endpoint::kind::pipe_read) return (e.received_bytes ? EPOLLIN : 0) | (e.peer ? 0 : EPOLLHUP);
    if (e.what == endpoint::kind::pipe_write) {
        const auto p = endpoints_.find(e.peer);
        if (p == endpoints_.end()) return EPOLLOUT | EPOLLERR;
        return p->second.received.size() < p->second.slots ? EPOLLOUT : 0;
    }
    if (e.now == listening) return e.waiting.empty() ? 0 : EPOLLIN;
    if (e.shut == endpoint::both || e.now == fresh || e.now == closed) b |= EPOLLHUP;
    if (e.shut & endpoint::receive) b |= EPOLLIN | EPOLLRDHUP;
    if (e.now != connecting && e.now != half_open) {
        if (e.received_bytes != 0) b |= EPOLLIN;
        if (writable(e) || (e.is_tcp() && (e.shut & endpoint::send))) b |= EPOLLOUT;
    }
    if (e.error != 0) b |= EPOLLERR;
    return b;
}

// --- bytes

// 1 if there are bytes; otherwise what a read gives.
ssize_t simulated_network::may_receive(endpoint& e) {
    if (e.received_bytes != 0) return 1;
    if (e.is_pipe()) return e.peer ? -EAGAIN : 0;
    if (e.is_tcp()) {
        if (e.now == listening) return -ENOTCONN;
        if (e.peer_ended) return 0;
    } else if (e.now != connected) {
        return -EINVAL;
    }
    if (e.error != 0) return -std::exchange(e.error, 0);
    if (e.shut & endpoint::receive) return 0;
    if (e.now == fresh || e.now == closed) return -ENOTCONN;
    return -EAGAIN;
}

// 1 if bytes are taken; otherwise what a write gives.
ssize_t simulated_network::may_send(endpoint& e, bool any) {
    if (e.is_tcp()) {
        if (e.error != 0) return -std::exchange(e.error, 0);
        if (e.now == connecting) {
            e.wants_room = true;
            return -EAGAIN;
        }
        if (e.now != connected || (e.shut & endpoint::send)) return -EPIPE;
    } else {
        if (e.now != connected) return -ENOTCONN;
        if (e.shut & endpoint::send) return -EPIPE;
    }
    if (any && !has_room(e)) {
        e.wants_room = true;
        return -EAGAIN;
    }
    return 1;
}

// Moves bytes out of what has been received, from at most `slots` segments, and tells the sender that there is room.
ssize_t simulated_network::take(endpoint& e, char* to, std::size_t bytes, std::size_t slots) {
    std::size_t taken = 0;
    while (taken < bytes && !e.received.empty() && slots-- != 0) {
        std::string& first = e.received.front();
        const std::size_t n = std::min(bytes - taken, first.size());
        first.copy(to + taken, n);
        taken += n;
        if (n == first.size())
            e.received.pop_front();
        else
            first.erase(0, n);
    }
    e.received_bytes -= taken;
    endpoint* sender = find(e.peer);
    if (e.is_tcp()) {
        const auto what = packet_kind::window;
        post_control(e, {.what = what, .to = e.peer, .from = e.id, .bytes = {}, .count = taken, .target = {}});
    } else if (e.is_pipe()) {
        if (sender) touch(*sender);
    } else if (sender) {
        arrive_acknowledgement(*sender, taken);
    }
    return static_cast<ssize_t>(taken);
}

ssize_t simulated_network::read(endpoint& e, char* to, std::size_t bytes) {
    const ssize_t may = may_receive(e);
    return may == 1 ? take(e, to, bytes, no_window) : may;
}

// Takes as much as there is room for; by chance less, but then it says again that there is room.
std::size_t simulated_network::put(endpoint& e, std::string bytes) {
    const std::size_t room = e.send_buffer - e.unacknowledged;
    if (bytes.size() > room) {
        bytes.resize(room);
        e.wants_room = true;
    } else if (random() && bytes.size() > 1 && chance.below(4) == 0) {
        bytes.resize(1 + chance.below(bytes.size() - 1));
        e.wants_room = true;
        touch(e);
    }
    const std::size_t taken = bytes.size();
    e.unacknowledged += taken;
    if (e.is_tcp()) {
        e.unsent.push_back(std::move(bytes));
        transmit(e);
    } else if (endpoint* p = find(e.peer)) {
        p->received_bytes += taken;
        p->received.push_back(std::move(bytes));
        touch(*p);
    }
    return taken;
}

ssize_t simulated_network::write(endpoint& e, const iovec* from, int count) {
    std::string bytes;
    for (const iovec& part : std::span(from, static_cast<std::size_t>(count)))
        bytes.append(static_cast<const char*>(part.iov_base), part.iov_len);
    const ssize_t may = may_send(e, !bytes.empty());
    if (may != 1 || bytes.empty()) return may == 1 ? 0 : may;
    return static_cast<ssize_t>(put(e, std::move(bytes)));
}

int simulated_network::pipe(endpoint& read_end, endpoint& write_end, std::size_t bytes) {
    for (endpoint* e : {&read_end, &write_end}) {
        e->now = connected;
        e->opened_by = "pipe";
        e->peer = e == &read_end ? write_end.id : read_end.id;
    }
    read_end.slots = 1;
    while (read_end.slots * page < bytes) read_end.slots *= 2; // as Linux: a power of two of pages
    return 0;
}

// A pipe holds as many segments as it has pages, however small they are. The look at the pipe comes first, as on Linux.
ssize_t simulated_network::splice(endpoint& from, endpoint& to, std::size_t bytes) {
    if (to.what == endpoint::kind::pipe_write) {
        endpoint* pipe = find(to.peer);
        if (!pipe) return -EPIPE;
        if (pipe->received.size() >= pipe->slots) return -EAGAIN;
        if (const ssize_t may = may_receive(from); may != 1) return may;
        ssize_t moved = 0;
        while (pipe->received.size() < pipe->slots && from.received_bytes != 0 &&
               static_cast<std::size_t>(moved) < bytes) {
            std::string piece(std::min({bytes - static_cast<std::size_t>(moved), from.received.front().size(), page}),
                              0);
            moved += take(from, piece.data(), piece.size(), 1);
            pipe->received_bytes += piece.size();
            pipe->received.push_back(std::move(piece));
        }
        touch(*pipe);
        return moved;
    }
    if (from.what != endpoint::kind::pipe_read) return -EINVAL;
    if (from.received_bytes == 0) return may_receive(from);
    if (const ssize_t may = may_send(to, true); may != 1) return may;
    std::string piece(std::min({bytes, from.received_bytes, to.send_buffer - to.unacknowledged}), 0);
    std::size_t offset = 0;
    for (const std::string& segment : from.received) {
        if (offset == piece.size()) break;
        offset += segment.copy(piece.data() + offset, piece.size() - offset);
    }
    const std::size_t sent = put(to, std::move(piece));
    std::string gone(sent, 0);
    take(from, gone.data(), sent, no_window);
    return static_cast<ssize_t>(sent);
}

} // namespace headgate::detail
