#pragma once

#include <headgate/core/task.hpp>
#include <headgate/io/address.hpp>
#include <headgate/io/loop.hpp>

#include <string>
#include <vector>

struct ares_channeldata;

namespace headgate {

// Errors of name resolution: ARES_* numbers of c-ares with readable text, such as "name not found".
const std::error_category& resolver_category() noexcept;

// How names are looked up. What is left out is as /etc/resolv.conf says.
struct resolver_options {
    std::vector<address> servers{};                 // DNS servers, in order
    duration try_timeout = std::chrono::seconds(2); // how long the first answer is waited for; doubled at each round
    int tries = 3;                                  // rounds over all servers
    std::size_t lookups_max = 256;                  // at one time; more are refused
    std::size_t addresses_max = 32;                 // of one name; more are left out
};

// Looks up names with c-ares, on the loop: nothing blocks but the reading of /etc/hosts and, once, of /etc/resolv.conf.
// For one thread. Must outlive its lookups. It keeps no answers.
class resolver {
public:
    explicit resolver(resolver_options o = {});
    resolver(const resolver&) = delete;
    resolver& operator=(const resolver&) = delete;
    ~resolver();

    // The IPv4 and IPv6 addresses of `host`, best first (RFC 6724), with `port`. Literals ("127.0.0.1", "::1", "[::1]")
    // are answered at once, names in /etc/hosts and localhost without a query. At least one address, or an error: one
    // of resolver_category, errc::timed_out after `limit`, or errc::overloaded.
    //
    // A lookup is dropped with the task: its sockets are closed and its timer is disarmed when the destructor returns.
    task<result<std::vector<address>>> resolve(std::string host, std::uint16_t port, duration limit = forever);

    std::size_t lookups() const noexcept { return lookups_; }

private:
    class lookup;
    resolver_options options_;
    ares_channeldata* settings_ = nullptr; // never used for a query: what lookups are copied from
    std::size_t lookups_ = 0;
};

} // namespace headgate
