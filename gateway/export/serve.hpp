#pragma once

#include <headgate/db/database.hpp>
#include <headgate/io/spool.hpp>

#include <gateway/export/plan.hpp>
#include <gateway/request.hpp>
#include <gateway/worker.hpp>

namespace headgate::gateway {

// What an export uses of its route. All of it outlives the export.
struct export_route {
    worker& on;
    const export_action& action;
    const db::query& statement;
    db::database& source;
    const spool_options& spool;
};

// What is known of an export whatever becomes of it.
struct export_counts {
    std::uint64_t rows = 0;
    std::uint64_t bytes = 0;              // of the formatted rows, not compressed
    time_point asked{};                   // when a connection to the database was asked for
    std::optional<time_point> leased{};   // when there was one
    std::optional<time_point> released{}; // when the database had given its last row, and its connection was free
    live_flow* flow = nullptr;            // is told when the database is held; may be null
};

// Sends the answer to a request that has been read: head and rows. Nothing is sent before the first 64 KiB are made, or
// the rows have ended; an error up to then leaves the client free for another answer (rq.answered). What is sent after
// an error is nothing: the body is not ended.
//
// The connection to the database, the spool and the watch on the client are in its frame: it fails, and all of that is
// gone, when the client leaves or takes too little (side::sink), when the worker aborts, or when the database fails
// (side::source). The database is released at the last row, however long the client takes.
task<> serve_export(request& rq, export_route r, export_plan plan, export_counts* counts);

// What becomes of a request whose export has failed before anything was sent.
struct export_failure {
    cause why;
    int status;
    std::string_view detail; // for the client
};
export_failure failure_of_export(const flow_error& e, const export_counts& counts);

} // namespace headgate::gateway
