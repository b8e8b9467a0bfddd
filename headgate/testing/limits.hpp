#pragma once

#include <csignal>
#include <cstddef>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

namespace headgate::testing {

// A limit of the process, lowered for as long as this lives.
class lowered_limit {
public:
    lowered_limit(decltype(RLIMIT_FSIZE) what, rlim_t to) : what_(what) {
        ::getrlimit(what_, &before_);
        const rlimit now{.rlim_cur = to, .rlim_max = before_.rlim_max};
        ::setrlimit(what_, &now);
    }
    ~lowered_limit() { ::setrlimit(what_, &before_); }
    lowered_limit(const lowered_limit&) = delete;
    lowered_limit& operator=(const lowered_limit&) = delete;

private:
    decltype(RLIMIT_FSIZE) what_;
    rlimit before_{};
};

// The largest file that the process may write: a stand-in for the size of the disk. What goes beyond fails with EFBIG.
class file_size_limit {
public:
    explicit file_size_limit(std::size_t bytes)
        : handler_(std::signal(SIGXFSZ, SIG_IGN)), limit_(RLIMIT_FSIZE, bytes) {}
    ~file_size_limit() { std::signal(SIGXFSZ, handler_); }
    file_size_limit(const file_size_limit&) = delete;
    file_size_limit& operator=(const file_size_limit&) = delete;

private:
    void (*handler_)(int);
    lowered_limit limit_;
};

// Only `count` more descriptors can be opened, as long as this lives and nobody closes one; then EMFILE.
class descriptors_left {
public:
    explicit descriptors_left(unsigned count) : limit_(RLIMIT_NOFILE, first_after(count)) {}

private:
    // The numbers that are given out are the lowest free ones.
    static rlim_t first_after(unsigned count) noexcept {
        const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        const rlim_t found = count == 0 ? static_cast<rlim_t>(fd) : first_after(count - 1);
        ::close(fd);
        return found;
    }
    lowered_limit limit_;
};

} // namespace headgate::testing
