#pragma once

#include <headgate/core/timer.hpp>
#include <headgate/db/query.hpp>
#include <headgate/io/pace.hpp>
#include <headgate/tabular/csv_options.hpp>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

// Exports as an operator writes them down. Part of gateway/config.hpp.
namespace headgate::gateway {

// A database that exports may ask.
struct source_config {
    std::string name{};
    std::string sqlite{};       // the file; or
    std::string postgres{};     // as libpq takes it
    std::size_t pool_size = 4;  // connections, per worker
    std::size_t queue_max = 64; // requests that wait for one, per worker
    duration acquire_timeout = std::chrono::seconds(5);
    duration busy_timeout = std::chrono::seconds(5); // for a writer's lock

    db::dialect dialect() const noexcept { return postgres.empty() ? db::dialect::sqlite : db::dialect::postgres; }
    bool operator==(const source_config&) const = default;
};

// Where the value of a parameter is taken from.
enum class parameter_place : std::uint8_t { query, header, path };

struct export_parameter {
    std::string name{}; // in the query's SQL
    parameter_place from = parameter_place::query;
    std::string key{};                          // of the parameter of the query, or of the header; empty: the name
    std::uint32_t segment = 1;                  // of the path, behind the prefix that the route matched; from 1
    std::string type = "text";                  // see parameter_type.hpp
    std::vector<std::string> values{};          // what it may be; none: anything
    std::string pattern{};                      // of RE2, for the whole value; empty: anything
    std::optional<std::string> default_value{}; // without: there is no value (NULL), unless it is required
    bool required = false;
};

// Answers with the rows of a query.
struct export_action {
    std::string source{};
    std::string query{};
    std::vector<export_parameter> parameters{};
    std::vector<std::string> formats{"csv", "ndjson", "json"}; // the first is given to who does not say
    std::vector<std::string> compression{"zstd", "gzip"};      // of equals the first
    csv_options csv{};                                         // `invalid` is for all formats
    std::string filename = "export"; // without its extension; `{name}` stands for a parameter's value
    std::size_t rows_max = std::numeric_limits<std::size_t>::max();
    std::size_t bytes_max = std::numeric_limits<std::size_t>::max(); // before they are compressed
    duration timeout = std::chrono::minutes(5);                      // of the query, to its last row
    std::size_t spool_memory = 1024 * 1024;
    std::size_t spool_disk = 1024 * 1024 * 1024;
    duration client_idle_timeout = std::chrono::seconds(60);
    std::uint64_t client_rate_min = 240;
    duration rate_grace = std::chrono::seconds(10);

    pace_limits client_pace() const { return {client_idle_timeout, client_rate_min, rate_grace}; }
};

} // namespace headgate::gateway
