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

// The addresses of a name, best first (RFC 6724), and for how long they are good: the shortest TTL of the answer. Zero
// for names in /etc/hosts, which may change at any time; `forever` for literals.
struct found_addresses {
    std::vector<address> addresses;
    duration ttl{};
};

// One line of an answer about a service (RFC 2782).
struct srv_record {
    std::string target;
    std::uint16_t port = 0;
    std::uint16_t priority = 0;
    std::uint16_t weight = 0;
};
struct found_records {
    std::vector<srv_record> records;
    duration ttl{};
};

// How names are looked up. What is left out is as /etc/resolv.conf says.
struct resolver_options {
    std::vector<address> servers{};                 // DNS servers, in order
    duration try_timeout = std::chrono::seconds(2); // how long the first answer is waited for; doubled at each round
    int tries = 3;                                  // rounds over all servers
    std::size_t lookups_max = 256;                  // at one time; more are refused
    std::size_t addresses_max = 32;                 // or records, of one name; more are left out
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

    // The same, with how long they are good.
    task<result<found_addresses>> lookup_addresses(std::string host, std::uint16_t port, duration limit = forever);

    // The SRV records of `name`, such as "_http._tcp.example.org"; at least one, or an error as above.
    task<result<found_records>> lookup_srv(std::string name, duration limit = forever);

    std::size_t lookups() const noexcept { return lookups_; }

private:
    class lookup;
    std::error_code refusal(const std::string& name) const; // none: it may be looked up
    resolver_options options_;
    ares_channeldata* settings_ = nullptr; // never used for a query: what lookups are copied from
    std::size_t lookups_ = 0;
};

} // namespace headgate
