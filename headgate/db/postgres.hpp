#pragma once

#include <headgate/db/database.hpp>
#include <headgate/io/resolver.hpp>

#include <memory>
#include <string>

namespace headgate::db {

struct postgres_options {
    // As libpq takes it: "host=db.example.org dbname=orders user=reader" or "postgresql://...". What is left out comes
    // from the environment (PG*), a service file, .pgpass, and libpq's defaults; TLS is as sslmode and its like say.
    std::string conninfo{};
    duration connect_timeout = std::chrono::seconds(10); // for all addresses together
    // How long a query that was given up may take to stop, and how much of its result is thrown away meanwhile; beyond,
    // the connection is closed.
    duration cancel_timeout = std::chrono::seconds(5);
    std::size_t drained_bytes_max = 16 * 1024 * 1024;
    bool read_only = true; // queries run in transactions that cannot write
};

// A PostgreSQL server, through libpq, on the loop: nothing blocks. Names are looked up by our resolver and given to
// libpq as addresses (libpq would block); the files that libpq reads (.pgpass, services, certificates) are read as it
// does. Each connection has one descriptor.
//
// Every query runs in a transaction of its own, sent in one go with the query and its end, so it costs one round trip.
// Sessions have DateStyle ISO, IntervalStyle iso_8601, bytea_output hex, extra_float_digits 1 and client_encoding UTF8.
// Session state that a query makes (temporary tables, SET, advisory locks) is not undone.
//
// A query that is dropped is cancelled: the pool sends a CancelRequest over a connection of its own (unencrypted, as
// libpq before 17 does), throws away what still comes, and lends the session again when it is idle. Also a cancelled
// query that hangs in a lock or in a slow function stops so. If the server does not react in time the session is
// closed.
class postgres final : public database, connector {
public:
    explicit postgres(postgres_options o, pool_options p = {});
    ~postgres() override;

    dialect sql_dialect() const noexcept override { return dialect::postgres; }
    stream<row_batch> rows(query q, std::vector<parameter> values = {}, query_options o = {}) override;

    pool& connections() noexcept override { return pool_; }

private:
    task<std::unique_ptr<connection>> connect(duration limit) override;

    postgres_options options_;
    resolver names_;
    pool pool_;
};

} // namespace headgate::db
