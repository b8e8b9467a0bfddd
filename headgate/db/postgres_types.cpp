#include <headgate/db/postgres_types.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

namespace headgate::db::detail {

namespace {

using enum value_type;

// The numbers are fixed: src/include/catalog/pg_type.dat of PostgreSQL. Sorted.
struct known {
    std::uint32_t oid;
    std::uint32_t array; // of the type's array
    value_type type;
};
constexpr auto types = std::to_array<known>({
    {16, 1000, boolean},     {17, 1001, bytea},         {18, 1002, text},       {19, 1003, text},
    {20, 1016, integer},     {21, 1005, integer},       {23, 1007, integer},    {25, 1009, text},
    {26, 1028, integer},     {114, 199, json},          {700, 1021, floating},  {701, 1022, floating},
    {1042, 1014, text},      {1043, 1015, text},        {1082, 1182, date},     {1083, 1183, value_type::time},
    {1114, 1115, timestamp}, {1184, 1185, timestamptz}, {1186, 1187, interval}, {1266, 1270, timetz},
    {1700, 1231, numeric},   {2950, 2951, uuid},        {3802, 3807, json},
});

} // namespace

postgres_type postgres_type_of(std::uint32_t oid) noexcept {
    const auto* t = std::ranges::lower_bound(types, oid, {}, &known::oid);
    if (t != types.end() && t->oid == oid) return {t->type, other};
    t = std::ranges::find(types, oid, &known::array);
    return t == types.end() ? postgres_type{} : postgres_type{array, t->type};
}

column_set columns_of(const PGresult& r) {
    std::vector<column> all;
    const int n = PQnfields(&r);
    for (int i = 0; i < n; ++i) {
        const auto oid = static_cast<std::uint32_t>(PQftype(&r, i));
        const postgres_type t = postgres_type_of(oid);
        all.push_back({.name = PQfname(&r, i), .type = t.type, .element = t.element, .database_type = oid});
    }
    return column_set(all);
}

std::uint32_t postgres_oid_of(const parameter& p) noexcept {
    switch (p.type) {
    case boolean: return 16;
    case bytea: return 17;
    case integer: { // as a literal in SQL has it
        std::int32_t small = 0;
        const auto [end, e] = std::from_chars(p.text.data(), p.text.data() + p.text.size(), small);
        return e == std::errc() && end == p.text.data() + p.text.size() ? 23 : 20;
    }
    case floating: return 701;
    case date: return 1082;
    case value_type::time: return 1083;
    case timestamp: return 1114;
    case timestamptz: return 1184;
    case interval: return 1186;
    case timetz: return 1266;
    case numeric: return 1700;
    case uuid: return 2950;
    default: return 0;
    }
}

} // namespace headgate::db::detail
