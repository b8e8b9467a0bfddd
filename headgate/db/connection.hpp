#pragma once

#include <headgate/core/task.hpp>
#include <headgate/io/loop.hpp>

#include <memory>

namespace headgate::db {

// One session with a database: what a pool keeps and lends. Destroying it closes it at once.
class connection {
public:
    connection() = default;
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;
    virtual ~connection() = default;

    // Whether it may still be used, as far as can be told without asking the database. Of an idle connection.
    virtual bool alive() noexcept = 0;
    // Asks the database whether the session works. False, or a failure: it does not.
    virtual task<bool> check() = 0;
    // Makes it fit for other work after work on it was given up at whatever point: stops the query, and waits until the
    // session is idle. False, or a failure: it must be closed. Bounded in time.
    virtual task<bool> recover() = 0;
    // Its descriptor's slot, if it has one: when an idle connection becomes readable, alive() is asked.
    virtual slot* watched() noexcept { return nullptr; }
};

// Makes connections for a pool.
class connector {
public:
    virtual ~connector() = default;
    // A new connection, or a failure: errc::timed_out if it is not there after `limit`.
    virtual task<std::unique_ptr<connection>> connect(duration limit) = 0;
};

} // namespace headgate::db
