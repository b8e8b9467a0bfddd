#pragma once

#include <headgate/tabular/columns.hpp>

#include <string>

namespace headgate::db {

// The value for one parameter of a query. It is bound, never made part of the SQL.
//
// `type` says what it is, and `text` has the form that value_type describes, or any other that the database reads as
// that type. PostgreSQL is told the type for boolean, integer (as for a literal: int4 if it fits, else int8), floating,
// numeric, bytea, date, time, timetz, timestamp, timestamptz, interval and uuid; for all others it finds out by itself
// what the query needs, as it does for a literal in quotes. SQLite gets integers, floating point numbers and blobs as
// such, booleans as 1 and 0, and all else as text.
struct parameter {
    std::string name{}; // without the colon; empty: by its position, in the order of the list
    value_type type = value_type::text;
    std::string text{}; // ignored if type is null
};

} // namespace headgate::db
