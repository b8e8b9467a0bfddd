#pragma once

#include <headgate/db/parameter.hpp>

#include <cstdint>

#include <libpq-fe.h>

namespace headgate::db::detail {

// What a PostgreSQL type is to us, by its number in pg_type.
struct postgres_type {
    value_type type = value_type::other;
    value_type element = value_type::other; // of an array
};
postgres_type postgres_type_of(std::uint32_t oid) noexcept;

// The columns of a result, or of the description of one.
column_set columns_of(const PGresult& r);

// The type that PostgreSQL is told for a parameter; 0: it finds out by itself.
std::uint32_t postgres_oid_of(const parameter& p) noexcept;

} // namespace headgate::db::detail
