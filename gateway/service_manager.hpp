#pragma once

#include <headgate/core/timer.hpp>

#include <string>
#include <string_view>

#include <gateway/inheritance.hpp>

namespace headgate::gateway {

// The service manager that has started this process, systemd or another that speaks its protocol (sd_notify(3)). All
// is without effect if there is none, and nothing waits for it.
class service_manager {
public:
    // What the environment tells of: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, which stay there.
    service_manager();

    // Serves; what it serves, for `systemctl status`.
    void ready(std::string_view status) const;
    // A reload has begun. ready() ends it.
    void reloading() const;
    void stopping() const;
    // Another process has taken over, and is the service from now on.
    void replaced_by(int pid) const;
    // Works; to be said once in each watchdog_interval().
    void alive() const { tell("WATCHDOG=1"); }

    // Half of the time after which the manager takes a service that says nothing for one that hangs; `forever` if it
    // does not look.
    duration watchdog_interval() const noexcept { return watchdog_; }

private:
    void tell(const std::string& lines) const noexcept;

    std::string path_;
    owned_fd socket_;
    duration watchdog_ = forever;
};

} // namespace headgate::gateway
