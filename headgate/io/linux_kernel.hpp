#pragma once

#include <headgate/io/kernel.hpp>

namespace headgate {

// The real one: epoll, one instance per loop. Throws std::system_error if it cannot be made.
class linux_kernel final : public kernel {
public:
    linux_kernel();
    ~linux_kernel() override;
    linux_kernel(const linux_kernel&) = delete;
    linux_kernel& operator=(const linux_kernel&) = delete;

    time_point now() const noexcept override { return clock::now(); }
    int wait(std::span<io_event> out, duration timeout) override;
    void wake() noexcept override;
    int watch(int fd, std::uint64_t tag) override;
    void unwatch(int fd) override;
    int socket(int family, int type) override;
    int socket_pair(int (&ends)[2]) override;
    int bind(int fd, const sockaddr* address, socklen_t size) override;
    int listen(int fd, int backlog) override;
    int accept(int fd, sockaddr* peer, socklen_t* size) override;
    int connect(int fd, const sockaddr* address, socklen_t size) override;
    int shutdown(int fd, int how) override;
    int set_option(int fd, int level, int name, const void* value, socklen_t size) override;
    int get_option(int fd, int level, int name, void* value, socklen_t* size) override;
    int local_name(int fd, sockaddr* address, socklen_t* size) override;
    ssize_t read(int fd, void* to, std::size_t bytes) override;
    using kernel::write;
    ssize_t write(int fd, const iovec* from, int count, bool more) override;
    ssize_t unacknowledged(int fd) override;
    int pipe(int (&ends)[2], std::size_t bytes) override;
    ssize_t splice(int from, int to, std::size_t bytes, unsigned flags) override;
    ssize_t send_file(int to, int file, std::uint64_t at, std::size_t bytes) override;
    int unlink(const char* path) override;
    void close(int fd) noexcept override;
    std::uint64_t random() noexcept override;

private:
    int epoll_;
    int wake_;
};

} // namespace headgate
