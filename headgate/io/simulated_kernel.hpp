#pragma once

#include <headgate/io/simulated_network.hpp>

#include <array>
#include <atomic>

namespace headgate {

// The calls of a kernel, to count them and to have them fail.
enum class call : std::uint8_t {
    watch,
    socket,
    bind,
    listen,
    accept,
    connect,
    shutdown,
    set_option,
    get_option,
    local_name,
    read,
    write,
    pipe,
    splice,
    send_file
};
inline constexpr std::size_t call_kinds = 15;

// One open descriptor of a simulation. `what` says what it is, how it came to be and who its peer is, for people.
struct open_descriptor {
    int fd;
    std::string what;
};

// The twin of linux_kernel with sockets and pipes in memory and a clock of its own, for deterministic tests: `wait`
// does not wait but lets the clock jump to the next thing that happens. TCP and Unix sockets end, fail and are reported
// as on Linux 6; a test runs the same checks over both kernels. What a socket can hold is limited by simulated_options.
//
// Descriptors count up from 1000, the lowest free one first. Only descriptors of this kernel may be given to it. TCP
// needs no interface: every address is the machine's own. SO_LINGER (0), SO_REUSEPORT, SO_SNDBUF and SO_RCVBUF work;
// other options are taken and ignored.
class simulated_kernel final : public kernel {
public:
    static constexpr int first_descriptor = 1000;
    // So often may `wait` be called without the clock going on before it gives up with -ELOOP.
    static constexpr std::uint32_t waits_at_once_max = 500'000;

    explicit simulated_kernel(simulated_options o = {});
    simulated_kernel(const simulated_kernel&) = delete;
    simulated_kernel& operator=(const simulated_kernel&) = delete;

    // What the simulation is like; may be changed at any time.
    simulated_options& options() noexcept { return net_.options; }

    // Lets `c` fail with `error` (a positive errno) `times` times, after `spare` more calls that do not. After an
    // EAGAIN the descriptor is reported again, so that nobody waits for ever.
    void fail(call c, int error, unsigned times = 1, unsigned spare = 0);
    // How many calls there have been, failed ones included.
    std::uint64_t calls(call c) const noexcept { return calls_[static_cast<std::size_t>(c)]; }
    // How often wake() was called.
    std::uint64_t wakes() const noexcept { return wakes_; }

    std::vector<open_descriptor> open_descriptors() const;
    std::size_t descriptors() const noexcept { return open_; }
    // Bytes that have been written over TCP and not yet arrived, those that wait for room included.
    std::size_t bytes_in_flight() const noexcept { return net_.bytes_in_flight(); }

    time_point now() const noexcept override { return net_.now(); }
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
    std::uint64_t random() noexcept override { return chance_.next(); }

private:
    struct fault {
        call what;
        int error;
        unsigned spare;
        unsigned times;
    };

    detail::endpoint* at(int fd) noexcept;
    detail::endpoint* socket_at(int fd, int& error) noexcept;
    int enter(call c, detail::endpoint* e = nullptr);
    bool room_for(std::size_t descriptors) const noexcept;
    int give_descriptor(detail::endpoint& e);
    int collect(std::span<io_event> out);

    detail::simulated_network net_;
    std::vector<std::uint64_t> table_; // by descriptor, from first_descriptor on; 0 is free
    std::size_t open_ = 0;
    std::vector<fault> faults_;
    std::array<std::uint64_t, call_kinds> calls_{};
    random_source chance_; // of random()
    std::uint32_t waits_at_once_ = 0;
    time_point last_wait_{};

    std::atomic<bool> woken_ = false; // may be set by other threads
    std::atomic<std::uint64_t> wakes_ = 0;
};

} // namespace headgate
