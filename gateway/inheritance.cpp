#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <system_error>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gateway/inheritance.hpp>

namespace headgate::gateway {

namespace {

std::optional<std::string> take_variable(const char* name) {
    const char* value = std::getenv(name); // NOLINT(concurrency-mt-unsafe): before any thread is started
    if (!value) return std::nullopt;
    std::string text = value;
    ::unsetenv(name); // NOLINT(concurrency-mt-unsafe)
    return text;
}

int number(const std::optional<std::string>& text) {
    int n = -1;
    if (text) std::from_chars(text->data(), text->data() + text->size(), n);
    return n;
}

// [::]:80 takes the connections of 0.0.0.0:80, too, as systemd opens it.
bool same_place(const address& socket, const address& wanted) {
    if (socket.text() == wanted.text()) return true;
    return socket.family() == AF_INET6 && wanted.family() == AF_INET && socket.port() == wanted.port() &&
           socket.host() == "::" && wanted.host() == "0.0.0.0";
}

} // namespace

owned_fd::~owned_fd() {
    if (fd_ >= 0) ::close(fd_);
}

owned_fd owned_fd::copy_of(int fd, int least) {
    const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, least);
    if (copy < 0) throw std::system_error(errno, std::system_category(), "cannot share a socket");
    return owned_fd(copy);
}

address listening_at(int fd) noexcept {
    int listens = 0;
    socklen_t size = sizeof listens;
    if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) return {};
    sockaddr_storage at{};
    socklen_t length = sizeof at;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &length) != 0) return {};
    return {reinterpret_cast<const sockaddr*>(&at), length};
}

bool shares_port(int fd) noexcept {
    int shared = 0;
    socklen_t size = sizeof shared;
    return ::getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &shared, &size) == 0 && shared != 0;
}

inheritance inheritance::of_process() {
    inheritance all;
    const auto systemd_pid = take_variable("LISTEN_PID");
    const int systemd_sockets = number(take_variable("LISTEN_FDS"));
    take_variable("LISTEN_FDNAMES");
    const auto handed = take_variable(handed_variable);
    if (const int fd = number(take_variable(report_variable)); fd >= 0) all.waiting_ = owned_fd::copy_of(fd);
    if (handed) {
        int fd = first_handed_fd;
        for (std::size_t at = 0; at < handed->size(); ++fd) {
            const std::size_t end = std::min(handed->find('\n', at), handed->size());
            all.take_over(fd, handed->substr(at + 1, end - at - 1), (*handed)[at] == '-');
            at = end + 1;
        }
        ::close(fd); // of the report; the copy above is not inherited
    } else if (systemd_pid && number(systemd_pid) == ::getpid()) {
        for (int n = 0; n < systemd_sockets; ++n) all.take_over(first_handed_fd + n, {}, true);
    }
    return all;
}

void inheritance::take_over(int fd, std::string name, bool keep_path) {
    if (listening_at(fd).family() == AF_UNSPEC) return; // somebody else's descriptor, or no stream socket that listens
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
    sockets_.push_back({.name = std::move(name), .fd = owned_fd(fd), .keep_path = keep_path});
}

std::vector<handed_socket> inheritance::take(std::string_view name, const address& at) {
    const auto wanted = [&](const handed_socket& s) {
        return s.name.empty() ? same_place(listening_at(s.fd.get()), at) : s.name == name;
    };
    std::vector<handed_socket> taken;
    for (handed_socket& s : sockets_)
        if (wanted(s)) taken.push_back(std::move(s));
    std::erase_if(sockets_, [](const handed_socket& s) { return s.fd.get() < 0; });
    return taken;
}

std::vector<std::string> inheritance::close_rest() {
    std::vector<std::string> where;
    for (const handed_socket& s : sockets_) where.push_back(listening_at(s.fd.get()).text());
    sockets_.clear();
    return where;
}

void inheritance::report(std::string_view text) noexcept {
    const owned_fd to = std::move(waiting_);
    while (to.get() >= 0 && !text.empty()) {
        const ssize_t n = ::send(to.get(), text.data(), text.size(), MSG_NOSIGNAL);
        if (n <= 0) return;
        text.remove_prefix(static_cast<std::size_t>(n));
    }
}

} // namespace headgate::gateway
