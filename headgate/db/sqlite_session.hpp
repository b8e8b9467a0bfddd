#pragma once

#include <headgate/db/connection.hpp>
#include <headgate/db/error.hpp>
#include <headgate/io/offload.hpp>

#include <atomic>
#include <memory>
#include <string>

#include <sqlite3.h>

namespace headgate::db::detail {

struct sqlite_closer {
    void operator()(sqlite3* db) const noexcept { sqlite3_close_v2(db); }
    void operator()(sqlite3_stmt* s) const noexcept { sqlite3_finalize(s); }
};
using sqlite_handle = std::unique_ptr<sqlite3, sqlite_closer>;
using sqlite_statement = std::unique_ptr<sqlite3_stmt, sqlite_closer>;

// What SQLite said last.
error_report sqlite_report(sqlite3* db);

// An open SQLite file. Calls that may block are made on one thread at a time, which need not be the same; interrupt()
// may be called meanwhile.
class sqlite_session final : public connection {
public:
    // Blocks.
    static std::expected<std::unique_ptr<sqlite_session>, error_report> open(const std::string& path,
                                                                             duration busy_timeout);

    sqlite3* get() const noexcept { return db_.get(); }
    // Makes what runs fail with SQLITE_INTERRUPT; from any thread.
    void interrupt() noexcept {
        giving_up_.store(true, std::memory_order_relaxed);
        sqlite3_interrupt(db_.get());
    }
    // From now on, what runs is interrupted at `when`.
    void set_deadline(time_point when) noexcept { deadline_ = when; }

    bool alive() noexcept override { return true; }
    task<bool> check() override;
    task<bool> recover() override;

private:
    // Which file a path leads to.
    struct identity {
        std::uint64_t device = 0;
        std::uint64_t inode = 0;
        bool operator==(const identity&) const = default;
        static identity of(const std::string& path) noexcept;
    };

    static int on_busy(void* self, int) noexcept;
    static int on_progress(void* self) noexcept;

    std::string path_;
    identity file_;
    duration busy_timeout_{};
    time_point busy_since_{};
    time_point deadline_ = time_point::max();
    std::atomic<bool> giving_up_ = false;
    sqlite_handle db_; // closed first
};

// `co_await interruptible(session, fn)`: as offload(fn), but who is dropped meanwhile interrupts the session, so that
// the thread is not kept. `fn` owns the session.
template <class Function>
class [[nodiscard]] interruptible_wait {
public:
    interruptible_wait(sqlite_session& s, Function fn) : session_(s), call_(std::move(fn)) {}
    interruptible_wait(const interruptible_wait&) = delete;
    interruptible_wait& operator=(const interruptible_wait&) = delete;
    // What runs is still there, and the session with it: they end on this thread.
    ~interruptible_wait() {
        if (waiting_) session_.interrupt();
    }

    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> h) {
        waiting_ = call_.await_suspend(h);
        return waiting_;
    }
    auto await_resume() {
        waiting_ = false;
        return call_.await_resume();
    }

private:
    sqlite_session& session_;
    bool waiting_ = false;
    headgate::detail::offload_wait<Function> call_;
};
template <class Function>
auto interruptible(sqlite_session& s, Function fn) {
    return interruptible_wait<Function>(s, std::move(fn));
}

} // namespace headgate::db::detail
