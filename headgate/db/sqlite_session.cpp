#include <headgate/db/sqlite_session.hpp>

#include <algorithm>
#include <thread>

#include <sys/stat.h>

namespace headgate::db::detail {

namespace {

constexpr int operations_between_looks = 4000; // of SQLite's virtual machine: some 20 to 100 us
constexpr duration busy_pause = std::chrono::milliseconds(5);

} // namespace

error_report sqlite_report(sqlite3* db) {
    error_report r;
    r.code = sqlite_error(db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM);
    r.message = db ? sqlite3_errmsg(db) : "out of memory";
    return r;
}

sqlite_session::identity sqlite_session::identity::of(const std::string& path) noexcept {
    struct stat s{};
    if (::stat(path.c_str(), &s) != 0) return {};
    return {s.st_dev, s.st_ino};
}

std::expected<std::unique_ptr<sqlite_session>, error_report> sqlite_session::open(const std::string& path,
                                                                                  duration busy_timeout) {
    auto s = std::make_unique<sqlite_session>();
    s->path_ = path;
    s->busy_timeout_ = busy_timeout;
    s->file_ = identity::of(path);
    sqlite3* db = nullptr;
    const int r = sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nullptr);
    s->db_.reset(db);
    if (r != SQLITE_OK) return std::unexpected(sqlite_report(db));
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_handler(db, &on_busy, s.get());
    sqlite3_progress_handler(db, operations_between_looks, &on_progress, s.get());
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    return s;
}

// sqlite3_interrupt is lost on a statement that is about to begin; this is not.
int sqlite_session::on_progress(void* self) noexcept {
    const auto& s = *static_cast<sqlite_session*>(self);
    if (s.giving_up_.load(std::memory_order_relaxed)) return 1;
    return s.deadline_ != time_point::max() && clock::now() >= s.deadline_;
}

// SQLite's own handler sleeps for longer and longer, and cannot be woken.
int sqlite_session::on_busy(void* self, int times) noexcept {
    auto& s = *static_cast<sqlite_session*>(self);
    const time_point now = clock::now();
    if (times == 0) s.busy_since_ = now;
    if (s.giving_up_.load(std::memory_order_relaxed) || now >= s.deadline_) return 0;
    if (now - s.busy_since_ >= s.busy_timeout_) return 0;
    std::this_thread::sleep_for(busy_pause);
    return 1;
}

// A file that was replaced stays readable under its old contents as long as it is open.
task<bool> sqlite_session::check() {
    const identity now = co_await offload([path = path_] { return identity::of(path); });
    co_return now == file_;
}

// The statement has been finalized, so nothing runs and nothing is locked.
task<bool> sqlite_session::recover() {
    if (sqlite3_next_stmt(db_.get(), nullptr) || !sqlite3_get_autocommit(db_.get())) co_return false;
    giving_up_.store(false, std::memory_order_relaxed);
    deadline_ = time_point::max();
    co_return true;
}

} // namespace headgate::db::detail
