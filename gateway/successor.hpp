#pragma once

#include <headgate/io/socket.hpp>

#include <expected>
#include <string>
#include <vector>

#include <sys/types.h>

#include <gateway/inheritance.hpp>

namespace headgate::gateway {

// A process that has been started to replace this one. Until release() it is ended when this is destroyed.
class successor {
public:
    // Starts the program anew, with the same arguments and environment, and hands it the sockets. It is found as it was
    // the first time, by arguments[0]. The error is for people.
    static std::expected<successor, std::string> start(const std::vector<std::string>& arguments,
                                                       std::vector<handed_socket> sockets);
    successor(successor&& o) noexcept : pid_(std::exchange(o.pid_, -1)), report_(std::move(o.report_)) {}
    successor& operator=(successor&&) = delete;
    ~successor();

    // Waits until it serves: empty. Otherwise tells why it does not.
    task<std::string> ready(duration limit);
    // Lets it go on by itself, and gives its number.
    pid_t release() noexcept { return std::exchange(pid_, -1); }

private:
    successor(pid_t pid, socket report) : pid_(pid), report_(std::move(report)) {}
    task<std::string> ended();

    pid_t pid_;
    socket report_;
};

} // namespace headgate::gateway
