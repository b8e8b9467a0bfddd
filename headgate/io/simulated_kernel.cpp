#include <headgate/io/simulated_kernel.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <sys/epoll.h>
#include <unistd.h>

namespace headgate {

using detail::endpoint;

namespace {

void write_address(const address& a, sockaddr* to, socklen_t* size) {
    if (!to || !size) return;
    std::memcpy(to, a.data(), std::min(*size, a.size()));
    *size = a.size();
}

} // namespace

simulated_kernel::simulated_kernel(simulated_options o) : net_(o), chance_(o.seed ^ 0x6b657973) {}

void simulated_kernel::fail(call c, int error, unsigned times, unsigned spare) {
    faults_.push_back({.what = c, .error = error, .spare = spare, .times = times});
}

// What comes before every call: packets that are due arrive, and then the call may have to fail.
int simulated_kernel::enter(call c, endpoint* e) {
    ++calls_[static_cast<std::size_t>(c)];
    for (auto f = faults_.begin(); f != faults_.end(); ++f) {
        if (f->what != c) continue;
        if (f->spare != 0) {
            --f->spare;
            return 0;
        }
        const int error = f->error;
        if (--f->times == 0) faults_.erase(f);
        if (error == EAGAIN && e) net_.touch(*e);
        return -error;
    }
    return 0;
}

endpoint* simulated_kernel::at(int fd) noexcept {
    net_.settle();
    const auto i = static_cast<std::size_t>(fd - first_descriptor);
    return fd >= first_descriptor && i < table_.size() && table_[i] != 0 ? net_.find(table_[i]) : nullptr;
}

endpoint* simulated_kernel::socket_at(int fd, int& error) noexcept {
    endpoint* e = at(fd);
    error = !e ? -EBADF : e->is_pipe() ? -ENOTSOCK : 0;
    return error == 0 ? e : nullptr;
}

bool simulated_kernel::room_for(std::size_t descriptors) const noexcept {
    return open_ + descriptors <= net_.options.descriptors_max;
}

int simulated_kernel::give_descriptor(endpoint& e) {
    const auto free = std::ranges::find(table_, std::uint64_t{0});
    const auto i = static_cast<std::size_t>(free - table_.begin());
    if (free == table_.end()) table_.push_back(0);
    table_[i] = e.id;
    ++open_;
    e.fd = first_descriptor + static_cast<int>(i);
    return e.fd;
}

// --- events

int simulated_kernel::collect(std::span<io_event> out) {
    std::vector<endpoint*> changed = net_.take_touched();
    if (net_.random())
        for (std::size_t i = changed.size(); i > 1; --i) std::swap(changed[i - 1], changed[net_.chance.below(i)]);
    const std::size_t n = std::min({changed.size(), out.size(), net_.options.events_at_once});
    for (std::size_t i = 0; i < n; ++i) out[i] = {*changed[i]->tag, net_.bits(*changed[i])};
    for (std::size_t i = n; i < changed.size(); ++i) net_.touch(*changed[i]); // next time
    return static_cast<int>(n);
}

int simulated_kernel::wait(std::span<io_event> out, duration timeout) {
    if (now() != std::exchange(last_wait_, now())) waits_at_once_ = 0;
    if (++waits_at_once_ > waits_at_once_max) return -ELOOP;
    net_.settle();
    const time_point until = timeout == forever ? time_point::max() : now() + timeout;
    for (;;) {
        if (const int n = collect(out); n != 0) return n;
        if (woken_.exchange(false) || now() >= until) return 0;
        const time_point next = std::min(until, net_.next_arrival());
        if (next == time_point::max()) return -EDEADLK;
        net_.advance_to(next);
    }
}

void simulated_kernel::wake() noexcept {
    ++wakes_;
    woken_ = true;
}

int simulated_kernel::watch(int fd, std::uint64_t tag) {
    endpoint* e = at(fd);
    if (!e) return -EBADF;
    if (const int r = enter(call::watch); r < 0) return r;
    if (e->tag) return -EEXIST;
    e->tag = tag;
    net_.touch(*e);
    return 0;
}

void simulated_kernel::unwatch(int fd) {
    if (endpoint* e = at(fd)) e->tag.reset();
}

// --- sockets

int simulated_kernel::socket(int family, int type) {
    if (const int r = enter(call::socket); r < 0) return r;
    if (family != AF_INET && family != AF_INET6 && family != AF_UNIX) return -EAFNOSUPPORT;
    if (type != SOCK_STREAM) return -ESOCKTNOSUPPORT;
    if (!room_for(1)) return -EMFILE;
    return give_descriptor(net_.make(family == AF_UNIX ? endpoint::kind::local : endpoint::kind::tcp));
}

int simulated_kernel::socket_pair(int (&ends)[2]) {
    if (const int r = enter(call::socket); r < 0) return r;
    if (!room_for(2)) return -EMFILE;
    endpoint& a = net_.make(endpoint::kind::local);
    endpoint& b = net_.make(endpoint::kind::local);
    net_.connect_pair(a, b);
    ends[0] = give_descriptor(a);
    ends[1] = give_descriptor(b);
    return 0;
}

int simulated_kernel::bind(int fd, const sockaddr* address, socklen_t size) {
    int error;
    endpoint* e = socket_at(fd, error);
    if (!e) return error;
    if (const int r = enter(call::bind); r < 0) return r;
    return net_.bind(*e, headgate::address(address, size));
}

int simulated_kernel::listen(int fd, int backlog) {
    int error;
    endpoint* e = socket_at(fd, error);
    if (!e) return error;
    if (const int r = enter(call::listen); r < 0) return r;
    return net_.listen(*e, backlog);
}

int simulated_kernel::accept(int fd, sockaddr* peer, socklen_t* size) {
    int error;
    endpoint* e = socket_at(fd, error);
    if (!e) return error;
    if (const int r = enter(call::accept, e); r < 0) return r;
    if (e->now != endpoint::state::listening) return -EINVAL;
    if (!room_for(1)) return -EMFILE; // also with nobody waiting, as on Linux
    endpoint* child = net_.accept(*e);
    if (!child) return -EAGAIN;
    write_address(child->peer_name, peer, size);
    return give_descriptor(*child);
}

int simulated_kernel::connect(int fd, const sockaddr* address, socklen_t size) {
    int error;
    endpoint* e = socket_at(fd, error);
    if (!e) return error;
    if (const int r = enter(call::connect); r < 0) return r;
    return net_.connect(*e, headgate::address(address, size));
}

int simulated_kernel::shutdown(int fd, int how) {
    int error;
    endpoint* e = socket_at(fd, error);
    if (!e) return error;
    if (const int r = enter(call::shutdown); r < 0) return r;
    return net_.shutdown(*e, how);
}

int simulated_kernel::set_option(int fd, int level, int name, const void* value, socklen_t size) {
    int error;
    endpoint* e = socket_at(fd, error);
    if (!e) return error;
    if (const int r = enter(call::set_option); r < 0) return r;
    if (level != SOL_SOCKET) return e->is_tcp() ? 0 : -EOPNOTSUPP;
    if (name == SO_LINGER) {
        linger l;
        if (size < sizeof l) return -EINVAL;
        std::memcpy(&l, value, sizeof l);
        e->reset_on_close = l.l_onoff != 0 && l.l_linger == 0;
        return 0;
    }
    int number = 0;
    if (size < sizeof number) return -EINVAL;
    std::memcpy(&number, value, sizeof number);
    if (name == SO_REUSEPORT) e->reuse_port = number != 0;
    if (name == SO_SNDBUF) e->send_buffer = static_cast<std::size_t>(std::max(number, 4096));
    if (name == SO_RCVBUF && e->now != endpoint::state::connected)
        e->receive_buffer = static_cast<std::size_t>(std::max(number, 4096));
    return 0;
}

ssize_t simulated_kernel::unacknowledged(int fd) {
    int error;
    endpoint* e = socket_at(fd, error);
    if (!e) return error;
    return static_cast<ssize_t>(e->unacknowledged);
}

int simulated_kernel::get_option(int fd, int level, int name, void* value, socklen_t* size) {
    int error;
    endpoint* e = socket_at(fd, error);
    if (!e) return error;
    if (const int r = enter(call::get_option); r < 0) return r;
    if (level != SOL_SOCKET || *size < sizeof(int)) return -EINVAL;
    int number = 0;
    switch (name) {
    case SO_ERROR: number = std::exchange(e->error, 0); break;
    case SO_SNDBUF: number = static_cast<int>(e->send_buffer); break;
    case SO_RCVBUF: number = static_cast<int>(e->receive_buffer); break;
    default: return -ENOPROTOOPT;
    }
    std::memcpy(value, &number, sizeof number);
    *size = sizeof number;
    return 0;
}

int simulated_kernel::local_name(int fd, sockaddr* address, socklen_t* size) {
    int error;
    endpoint* e = socket_at(fd, error);
    if (!e) return error;
    if (const int r = enter(call::local_name); r < 0) return r;
    write_address(e->name, address, size);
    return 0;
}

int simulated_kernel::unlink(const char* path) { return net_.unlink(path); }

void simulated_kernel::close(int fd) noexcept {
    endpoint* e = at(fd);
    if (!e) return;
    table_[static_cast<std::size_t>(fd - first_descriptor)] = 0;
    --open_;
    net_.close(*e);
}

// --- bytes

ssize_t simulated_kernel::read(int fd, void* to, std::size_t bytes) {
    int error;
    endpoint* e = socket_at(fd, error);
    if (!e) return error;
    if (const int r = enter(call::read, e); r < 0) return r;
    return net_.read(*e, static_cast<char*>(to), bytes);
}

ssize_t simulated_kernel::write(int fd, const iovec* from, int count, bool) {
    int error;
    endpoint* e = socket_at(fd, error);
    if (!e) return error;
    if (const int r = enter(call::write, e); r < 0) return r;
    return net_.write(*e, from, count);
}

int simulated_kernel::pipe(int (&ends)[2], std::size_t bytes) {
    if (const int r = enter(call::pipe); r < 0) return r;
    if (!room_for(2)) return -EMFILE;
    endpoint& read_end = net_.make(endpoint::kind::pipe_read);
    endpoint& write_end = net_.make(endpoint::kind::pipe_write);
    net_.pipe(read_end, write_end, bytes);
    ends[0] = give_descriptor(read_end);
    ends[1] = give_descriptor(write_end);
    return 0;
}

ssize_t simulated_kernel::splice(int from, int to, std::size_t bytes, unsigned) {
    endpoint* source = at(from);
    endpoint* sink = at(to);
    if (!source || !sink) return -EBADF;
    if (const int r = enter(call::splice, source->is_pipe() ? sink : source); r < 0) return r;
    return net_.splice(*source, *sink, bytes);
}

ssize_t simulated_kernel::send_file(int to, int file, std::uint64_t at, std::size_t bytes) {
    int error;
    endpoint* e = socket_at(to, error);
    if (!e) return error;
    if (const int r = enter(call::send_file, e); r < 0) return r;
    std::array<char, 16 * 1024> buffer;
    const ssize_t n = ::pread(file, buffer.data(), std::min(bytes, buffer.size()), static_cast<off_t>(at));
    if (n <= 0) return n < 0 ? -errno : 0;
    const iovec piece{buffer.data(), static_cast<std::size_t>(n)};
    return net_.write(*e, &piece, 1);
}

std::vector<open_descriptor> simulated_kernel::open_descriptors() const {
    std::vector<open_descriptor> open;
    for (std::size_t i = 0; i < table_.size(); ++i) {
        if (table_[i] == 0) continue;
        open.push_back({first_descriptor + static_cast<int>(i), net_.endpoints().at(table_[i]).text()});
    }
    return open;
}

} // namespace headgate
