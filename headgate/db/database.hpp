#pragma once

#include <headgate/core/stream.hpp>
#include <headgate/db/parameter.hpp>
#include <headgate/db/pool.hpp>
#include <headgate/db/query.hpp>
#include <headgate/tabular/csv_options.hpp>
#include <headgate/tabular/row_batch.hpp>

#include <optional>
#include <vector>

namespace headgate::db {

// Who is told that a query has got its connection: what came before was waiting for it.
struct lease_listener {
    void (*leased)(lease_listener&) noexcept = nullptr;
};

// How one query is run.
struct query_options {
    // How long it may take, from the first pull to its last row, the wait for a connection included: errc::timed_out.
    // The database is told as well, so that it stops by itself should we vanish.
    duration timeout = forever;
    // Memory of one batch. A single row that is larger has a batch of its own, up to row_bytes_max.
    std::size_t batch_bytes = row_batch::usual_bytes;
    // The largest row, in bytes of its values: errc::limit_exceeded.
    std::size_t row_bytes_max = 64 * 1024 * 1024;
    // The longest time that a row is kept back to fill its batch with others.
    duration gather = std::chrono::milliseconds(10);
    // PostgreSQL: if not 0, the query is a cursor of the server, from which so many rows are fetched at a time: between
    // two fetches the server does nothing. Otherwise it sends on, as far as buffers take it.
    std::size_t fetch_rows = 0;
    // What the rows are for, if that is CSV. PostgreSQL then writes them itself (COPY) where that comes out as
    // format_csv writes them: if the query is a SELECT, WITH, VALUES or TABLE without parameters, if none of its
    // columns is a boolean, timestamp, timestamptz or timetz, if `quotes` is minimal and fetch_rows 0. Its batches are
    // written() then, at half the cost. (One thing may differ: COPY quotes `\.` only if it is all of a row.) All else
    // comes as values.
    std::optional<csv_options> csv{};
    // Told when a connection has been leased for the query. Null for nobody; must outlive the stream.
    lease_listener* listener = nullptr;
};

// A database as a source of rows: PostgreSQL (postgres.hpp) or SQLite (sqlite.hpp). For one thread; must outlive its
// streams.
class database {
public:
    database() = default;
    database(const database&) = delete;
    database& operator=(const database&) = delete;
    virtual ~database() = default;

    virtual dialect sql_dialect() const noexcept = 0;

    // The cursor of a query: its rows, in batches. Nothing happens before the first pull; then a connection is leased,
    // and it goes back to the pool at the last row, however long the consumer takes for it. Dropping the stream, at any
    // moment, ends the query in the database. Only reading is allowed, unless the database's options say otherwise.
    //
    // Fails with the errors of error.hpp.
    virtual stream<row_batch> rows(query q, std::vector<parameter> values = {}, query_options o = {}) = 0;

    virtual pool& connections() noexcept = 0;
};

} // namespace headgate::db
