#include <headgate/io/signals.hpp>

#include <cerrno>

#include <sys/signalfd.h>
#include <unistd.h>

namespace headgate {

signal_set::signal_set(std::initializer_list<int> signals) {
    sigset_t wanted;
    ::sigemptyset(&wanted);
    for (const int s : signals) ::sigaddset(&wanted, s);
    const int fd = ::signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0) throw std::system_error(errno, std::system_category(), "cannot wait for signals");
    const result<slot*> s = loop::current().open(fd);
    if (!s) throw std::system_error(s.error(), "cannot wait for signals");
    fd_ = descriptor(**s);
    ::pthread_sigmask(SIG_BLOCK, &wanted, &before_);
}

signal_set::~signal_set() {
    fd_.close();
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

bool signal_set::next_operation::attempt() noexcept {
    signalfd_siginfo info;
    const ssize_t n = ::read(slot_.fd, &info, sizeof info); // the kernel seam reads sockets only
    if (n != sizeof info) {
        slot_.readable = false;
        return false;
    }
    number_ = static_cast<int>(info.ssi_signo);
    return true;
}

} // namespace headgate
