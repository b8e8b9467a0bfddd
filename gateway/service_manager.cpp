#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <gateway/service_manager.hpp>

namespace headgate::gateway {

namespace {

std::string variable(const char* name) {
    const char* value = std::getenv(name); // NOLINT(concurrency-mt-unsafe): nobody changes it
    return value ? value : "";
}

std::uint64_t number(const std::string& text) {
    std::uint64_t n = 0;
    const auto [rest, e] = std::from_chars(text.data(), text.data() + text.size(), n);
    return e == std::errc() && rest == text.data() + text.size() ? n : 0;
}

} // namespace

service_manager::service_manager() : path_(variable("NOTIFY_SOCKET")) {
    if (path_.empty() || path_.size() >= sizeof(sockaddr_un::sun_path) || (path_[0] != '/' && path_[0] != '@')) return;
    socket_ = owned_fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const std::string whose = variable("WATCHDOG_PID");
    if (const std::uint64_t most = number(variable("WATCHDOG_USEC"));
        most != 0 && (whose.empty() || number(whose) == static_cast<std::uint64_t>(::getpid())))
        watchdog_ = std::chrono::microseconds(most / 2);
}

void service_manager::ready(std::string_view status) const {
    tell(fmt::format("READY=1\nMAINPID={}\nSTATUS={}", ::getpid(), status));
}

void service_manager::reloading() const {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    tell(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", std::uint64_t(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000));
}

void service_manager::stopping() const { tell("STOPPING=1\nSTATUS=draining"); }

void service_manager::replaced_by(int pid) const { tell(fmt::format("MAINPID={}", pid)); }

void service_manager::tell(const std::string& lines) const noexcept {
    if (socket_.get() < 0) return;
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::memcpy(to.sun_path, path_.data(), path_.size());
    if (path_[0] == '@') to.sun_path[0] = 0; // a name without a file
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path_.size());
    ::sendto(socket_.get(), lines.data(), lines.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&to), size);
}

} // namespace headgate::gateway
