#pragma once

#include <headgate/io/address.hpp>

#include <array>
#include <cstddef>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace headgate::gateway {

// Who counts as one client: an IPv4 address, or the first 64 bits of an IPv6 address: one household, or one machine
// that may choose among the rest (RFC 6177).
using client_key = std::array<char, 16>;
client_key key_of_client(const in6_addr& ip) noexcept;

// How many connections each client has, over all workers. As large as there are clients connected. May be used by any
// thread.
class client_table {
public:
    explicit client_table(std::size_t connections_max) : connections_max_(connections_max) {}

    // Counts one more connection of this client; false, and nothing is counted, if it has as many as it may.
    bool enter(const in6_addr& ip);
    void leave(const in6_addr& ip) noexcept;

    std::size_t clients() const;

private:
    using key = client_key;
    struct hash {
        std::size_t operator()(const key& k) const noexcept {
            return std::hash<std::string_view>()({k.data(), k.size()});
        }
    };

    // Workers accept at the same time, and rarely connections of the same client.
    struct shard {
        mutable std::mutex mutex;
        std::unordered_map<key, std::size_t, hash> connections;
    };
    shard& shard_of(const key& k) noexcept { return shards_[hash()(k) % shards_.size()]; }

    std::size_t connections_max_;
    std::array<shard, 16> shards_;
};

// Who is at the other end of a client's connection, counted in the table as long as it lives.
class client_peer : public peer_address {
public:
    // False if the client has as many connections as it may. A peer without an address (of a Unix socket) is not
    // counted, and nobody is with `counts` false.
    client_peer(const peer_address& a, client_table* table, bool counts = true);
    client_peer(client_peer&& o) noexcept
        : peer_address(o), counted_(std::exchange(o.counted_, false)), admitted_(o.admitted_), table_(o.table_) {}
    client_peer& operator=(client_peer&&) = delete;
    ~client_peer() { leave(); }
    explicit operator bool() const noexcept { return admitted_; }

    // Is somebody else from now on, for whom the connection was opened, and counts as that one. Gives whether that one
    // may have it.
    bool become(const peer_address& a);

private:
    void enter();
    void leave() noexcept {
        if (std::exchange(counted_, false)) table_->leave(ip);
    }

    bool counted_ = false; // this and the next lie in what the address leaves of a word: there is one per connection
    bool admitted_ = true;
    client_table* table_;
};

} // namespace headgate::gateway
