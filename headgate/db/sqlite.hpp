#pragma once

#include <headgate/db/database.hpp>

#include <string>

namespace headgate::db {

struct sqlite_options {
    std::string path{};                              // of the file; it must exist
    duration busy_timeout = std::chrono::seconds(5); // how long a writer's lock is waited for
};

// A SQLite file, read-only. SQLite blocks, so all of it runs on the loop's offload pool, and a query occupies one of
// its threads while a batch is made; `pool_options::size` should not be larger than that pool. A cursor that is dropped
// in the middle of a batch interrupts SQLite at once; the thread is free within microseconds, and the connection is
// used again.
//
// Opened with SQLITE_OPEN_READONLY, in defensive mode and without ATTACH; a statement that writes anything is refused,
// also where SQLite would allow it (temporary tables). A file that was replaced by another of the same name is opened
// anew.
//
// Values: each cell has its own type. INTEGER is integer, REAL floating, TEXT text, BLOB blob. Columns are `other`.
class sqlite final : public database, connector {
public:
    explicit sqlite(sqlite_options o, pool_options p = {});

    dialect sql_dialect() const noexcept override { return dialect::sqlite; }
    // Fails with sqlite_category. An interrupted query is errc::timed_out.
    stream<row_batch> rows(query q, std::vector<parameter> values = {}, query_options o = {}) override;
    pool& connections() noexcept override { return pool_; }

private:
    task<std::unique_ptr<connection>> connect(duration limit) override;

    sqlite_options options_;
    pool pool_;
};

} // namespace headgate::db
