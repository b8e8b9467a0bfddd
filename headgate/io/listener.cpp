#include <headgate/io/listener.hpp>

#include <cerrno>

#include <sys/stat.h>

namespace headgate {

namespace {

// Whether the path is that of a Unix socket whose process has gone without removing it. (Connecting to a file that is
// no socket is refused just so.)
bool is_stale(const address& at) {
    struct stat there{};
    if (::lstat(at.path(), &there) != 0 || !S_ISSOCK(there.st_mode)) return false;
    kernel& os = loop::current().os();
    const int fd = os.socket(AF_UNIX, SOCK_STREAM);
    if (fd < 0) return false;
    const int r = os.connect(fd, at.data(), at.size());
    os.close(fd);
    return r == -ECONNREFUSED;
}

} // namespace

result<listener> listener::open(const address& at, options o) {
    kernel& os = loop::current().os();
    const int fd = os.socket(at.family(), SOCK_STREAM);
    if (fd < 0) return std::unexpected(system_error_code(-fd));
    const int one = 1;
    if (at.family() != AF_UNIX) {
        os.set_option(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        detail::set_tcp_options(os, fd, o.alive); // accepted connections inherit them: no call for each
    }
    if (o.reuse_port) os.set_option(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    int r = os.bind(fd, at.data(), at.size());
    if (r == -EADDRINUSE && at.family() == AF_UNIX && is_stale(at)) {
        os.unlink(at.path());
        r = os.bind(fd, at.data(), at.size());
    }
    if (r == 0) r = os.listen(fd, o.backlog);
    if (r == 0) return watched(fd, o.keep_path);
    os.close(fd);
    return std::unexpected(system_error_code(-r));
}

result<listener> listener::adopt(int fd, options o) {
    detail::set_tcp_options(loop::current().os(), fd, o.alive); // of no effect on a Unix socket
    return watched(fd, o.keep_path);
}

result<listener> listener::watched(int fd, bool keep_path) {
    loop& l = loop::current();
    sockaddr_storage bound{};
    socklen_t size = sizeof bound;
    if (const int r = l.os().local_name(fd, reinterpret_cast<sockaddr*>(&bound), &size); r < 0) {
        l.os().close(fd);
        return std::unexpected(system_error_code(-r));
    }
    const result<slot*> s = l.open(fd);
    if (!s) return std::unexpected(s.error());
    return listener(**s, address(reinterpret_cast<const sockaddr*>(&bound), size), keep_path);
}

void listener::close() noexcept {
    if (fd_ && where_.family() == AF_UNIX && !keep_path_) loop::current().os().unlink(where_.path());
    fd_.close();
}

bool listener::accept_operation::attempt() {
    loop& l = loop::current();
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    const int fd = l.os().accept(slot_.fd, reinterpret_cast<sockaddr*>(&from), &size);
    if (fd == -EAGAIN) {
        slot_.readable = false;
        return false;
    }
    if (fd == -ECONNABORTED || fd == -EPROTO) return attempt(); // gone before we took it
    if (fd < 0) {
        result_ = std::unexpected(system_error_code(-fd));
        return true;
    }
    const result<slot*> s = l.open(fd);
    if (!s) {
        result_ = std::unexpected(s.error());
        return true;
    }
    (*s)->writable = true;
    result_ = accepted{socket(**s), peer_address::of(address(reinterpret_cast<const sockaddr*>(&from), size))};
    return true;
}

std::optional<result<accepted>> listener::try_accept() {
    accept_operation now(fd_.state());
    if (!now.attempt()) return std::nullopt;
    return now.await_resume();
}

} // namespace headgate
