#pragma once

#include <headgate/db/connection.hpp>
#include <headgate/db/error.hpp>
#include <headgate/db/postgres.hpp>
#include <headgate/io/socket.hpp>

#include <memory>
#include <optional>
#include <string>

#include <libpq-fe.h>

namespace headgate::db::detail {

struct postgres_closer {
    void operator()(PGconn* c) const noexcept { PQfinish(c); }
    void operator()(PGresult* r) const noexcept { PQclear(r); }
};
using postgres_handle = std::unique_ptr<PGconn, postgres_closer>;
using postgres_result = std::unique_ptr<PGresult, postgres_closer>;

// What the server said in a failed result.
error_report postgres_report(const PGresult& r);

// A descriptor of libpq that the loop watches. It does not close it.
class watched_descriptor {
public:
    watched_descriptor() = default;
    watched_descriptor(const watched_descriptor&) = delete;
    watched_descriptor& operator=(const watched_descriptor&) = delete;
    ~watched_descriptor() { release(); }

    std::error_code watch(int fd);
    void release() noexcept {
        if (slot_) static_cast<void>(loop::current().release(*std::exchange(slot_, nullptr)));
    }
    slot* get() const noexcept { return slot_; }

private:
    slot* slot_ = nullptr;
};

// One session with a PostgreSQL server.
class postgres_session final : public connection {
public:
    explicit postgres_session(const postgres_options& o) noexcept
        : cancel_timeout_(o.cancel_timeout), drained_bytes_max_(o.drained_bytes_max) {}

    // Connects and prepares the session, within `limit`. The task fails if it does not come to that.
    static task<std::unique_ptr<postgres_session>> open(const postgres_options* o, resolver* names, duration limit);

    PGconn* get() const noexcept { return conn_.get(); }

    // `co_await s.input(limit)`: waits until the server has sent something, then call consume().
    auto input(duration limit) noexcept {
        return headgate::detail::ready_operation(*socket_.get(), &slot::reading, &slot::readable, limit);
    }
    // Takes what has come from the socket. False: the connection has ended.
    bool consume() noexcept;
    // Waits until libpq has sent all it was given. False: the connection has ended, or `until` has come.
    task<bool> flush(time_point until);

    // Between a query and the end of its result: giving the session up then means to cancel it.
    void set_running(bool on) noexcept { running_ = on; }
    // What ended the connection, as far as is known. For a caller to whom consume() has said false.
    error_report broken();

    bool alive() noexcept override;
    task<bool> check() override;
    task<bool> recover() override;
    slot* watched() noexcept override { return socket_.get(); }

private:
    task<> establish(const std::vector<const char*>* keys, const std::vector<const char*>* values, time_point until);
    // Runs SQL whose result does not matter. False: it failed.
    task<bool> command(const char* sql, time_point until);
    task<bool> cancel(time_point until);
    task<bool> drain(time_point until);
    void find_cancel_key(const char* trace) noexcept;
    std::optional<address> server_address() const;

    duration cancel_timeout_;
    std::size_t drained_bytes_max_;
    bool running_ = false;
    std::int32_t cancel_key_ = 0;
    bool cancellable_ = false;
    postgres_handle conn_;
    watched_descriptor socket_; // released before libpq closes it
};

// How long it is until `until`, from this turn on; not negative.
inline duration left_until(time_point until) noexcept {
    if (until == time_point::max()) return forever;
    return std::max(until - executor::current().turn_time(), duration::zero());
}
inline time_point after(duration d) noexcept {
    const time_point now = executor::current().turn_time();
    return d < time_point::max() - now ? now + d : time_point::max();
}

// The parts of a conninfo that are lists, with names replaced by addresses.
struct postgres_hosts {
    bool changed = false; // false: leave it all to libpq
    std::string host;
    std::string hostaddr;
    std::string port;
};
// Looks up the names in `conninfo`, and in what it leaves to the environment and to services. Fails if none of them has
// an address.
task<postgres_hosts> resolve_hosts(std::string conninfo, resolver* names, time_point until);

} // namespace headgate::db::detail
