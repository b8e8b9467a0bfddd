#pragma once

#include <headgate/core/nursery.hpp>
#include <headgate/core/permits.hpp>
#include <headgate/db/connection.hpp>

#include <array>
#include <cstdint>
#include <memory>

namespace headgate::db {

// The bounds of a pool. Each worker has its own pool: a server sees `size` times the workers.
struct pool_options {
    std::size_t size = 4;                               // connections at most, of whatever state
    std::size_t queue_max = 64;                         // how many may wait for one; more fail at once
    duration acquire_timeout = std::chrono::seconds(5); // for the wait, and the connect after it
    duration lifetime = std::chrono::minutes(30);       // an older one is closed when it is not in use
    duration idle_timeout = std::chrono::minutes(5);    // one that nobody used for so long is closed
    duration check_after = std::chrono::seconds(30);    // one that was idle for so long is checked before its use
};

// What a pool has and has done, for metrics.
struct pool_stats {
    // The upper bounds of the counts in `held_for`, in seconds; the last count has none.
    static constexpr std::array<double, 9> hold_seconds{0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 300};

    // Now.
    std::size_t held = 0;       // lent, those being checked before it included
    std::size_t connecting = 0; // in the making
    std::size_t recovering = 0; // being brought back from work that was given up
    std::size_t idle = 0;
    std::size_t waiting = 0; // who wait for one

    // Since the beginning.
    std::uint64_t created = 0;
    std::uint64_t discarded = 0; // closed, for whatever reason
    std::uint64_t connect_failures = 0;
    std::uint64_t cancels = 0;   // leases whose work was given up before its end
    std::uint64_t recovered = 0; // of these, connections that could be used again
    std::uint64_t refused = 0;   // the queue was full
    std::uint64_t acquire_timeouts = 0;
    std::uint64_t leases = 0;                                      // that have ended
    duration held_in_all{};                                        // time between the begin and the end of leases
    std::array<std::uint64_t, hold_seconds.size() + 1> held_for{}; // leases by that time, not cumulative
};

class pool;

namespace detail {
struct pool_entry;
}

// A connection of a pool, lent. How it ends says what becomes of the connection: `give_back` for a session that is
// clean and idle; destroying the lease gives up what runs on it, and the pool brings the session back
// (connection::recover); `discard` closes it. May be moved; a lease that outlives its pool closes its connection.
class [[nodiscard]] lease {
public:
    lease() = default;
    lease(lease&& o) noexcept : entry_(std::exchange(o.entry_, nullptr)) {}
    lease& operator=(lease&& o) noexcept {
        if (this != &o) {
            abandon();
            entry_ = std::exchange(o.entry_, nullptr);
        }
        return *this;
    }
    ~lease() { abandon(); }

    explicit operator bool() const noexcept { return entry_ != nullptr; }
    connection& operator*() const noexcept;

    void give_back() noexcept;
    void discard() noexcept;

private:
    friend pool;
    explicit lease(detail::pool_entry& e) noexcept : entry_(&e) {}
    void abandon() noexcept;

    detail::pool_entry* entry_ = nullptr;
};

// The connections of one worker to one database. They are made when they are asked for, and lent to one at a time; who
// finds none waits in a queue, first come, first served, and leaves it at once when dropped. The one used last is lent
// first, so that what is not needed grows old and is closed. An idle connection that its server closes is gone at once.
//
// `size` counts every connection until it is closed: a query that was given up keeps its place until the server has
// confirmed that it has stopped.
//
// Must outlive who waits in `acquire`; connections that are lent are closed when their leases end. Who is about to
// destroy a pool waits for `recovered` first, for a while: a query that was given up and not cancelled yet runs on in
// the server until that notices that nobody is there.
class pool {
public:
    // `make` must outlive the pool.
    explicit pool(connector& make, pool_options o = {});
    pool(const pool&) = delete;
    pool& operator=(const pool&) = delete;
    ~pool();

    // A connection that works, as far as is known. Fails with errc::overloaded if the queue is full, errc::timed_out if
    // there is none within `limit` or acquire_timeout, or with what the connect failed with.
    task<lease> acquire(duration limit = forever);

    // Closes what is idle. What is lent now is closed when it is given back.
    void retire() noexcept;

    pool_stats stats() const noexcept;
    const pool_options& options() const noexcept { return options_; }

    // `co_await p.recovered()`: waits until nothing is being recovered. One waiter at a time.
    auto recovered() noexcept { return recoveries_.drained(); }

private:
    friend lease;
    using entry = detail::pool_entry;

    struct expiry : timer {
        pool* self = nullptr;
    };

    std::unique_ptr<entry> take_idle() noexcept;
    bool expired(const entry& e) const noexcept;
    void end_lease(entry& e) noexcept;
    void keep(std::unique_ptr<entry> e) noexcept;
    void drop(std::unique_ptr<entry> e) noexcept;
    void abandon(std::unique_ptr<entry> e) noexcept;
    void close_expired() noexcept;
    void arm_expiry() noexcept;
    static task<> recover(pool* self, std::unique_ptr<entry> e);

    connector& make_;
    pool_options options_;
    pool_stats stats_;
    permit_queue permits_;
    list_node idle_; // the one used last comes first
    list_node lent_;
    time_point retired_at_ = time_point::min(); // what was made before is not lent again
    expiry expiry_;
    nursery recoveries_;
};

} // namespace headgate::db
