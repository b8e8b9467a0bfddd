#pragma once

#include <headgate/core/timer.hpp>

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <gateway/config.hpp>
#include <gateway/config/formats.hpp>

// How the structs of a configuration are described: one table per struct, one row per key. Decoding, defaults, the JSON
// Schema and the reference are all made from the tables (in tables/); rows are made by the functions in rows.hpp.
namespace headgate::gateway {

// What `defaults:` says: where listeners, proxy and tcp actions, and upstreams begin, before their own keys are read.
struct config_defaults {
    listener_config listener{};
    proxy_action proxy{};
    tcp_action tcp{};
    upstream_config upstream{};
};

using header_pairs = std::vector<std::pair<std::string, std::string>>;

// A value between the file and the member of a struct.
using config_scalar =
    std::variant<std::monostate, duration, std::int64_t, bool, std::string, std::vector<std::string>, header_pairs>;

// A size without a bound, as a scalar.
inline constexpr std::int64_t config_unlimited = std::numeric_limits<std::int64_t>::max();

enum class config_kind : std::uint8_t {
    time,     // duration: 30s
    size,     // std::int64_t from `least` to `most`: 64KiB
    count,    // std::int64_t from `least` to `most`
    flag,     // true or false
    choice,   // std::string, one of `choices`
    text,     // std::string of `format`
    texts,    // a list of them
    headers,  // header_pairs: names and values
    section,  // a table
    sections, // a list of tables
    named,    // tables by name
    flat      // the keys of another table, among those of this one
};

struct config_table;

// One key.
struct config_field {
    std::string_view key{};
    config_kind kind{};
    std::string_view doc{};
    bool required = false;
    bool or_zero = false;   // a time that may be none at all: "0s"
    bool or_none = false;   // a time, size or count that may be without a bound: "none"
    std::int64_t least = 0; // of a list: items
    std::int64_t most = 0;  // the same; 0 for what the size of the file allows
    const text_format* format = nullptr;
    std::span<const std::string_view> choices{};
    std::string_view default_text{}; // what to say of the default if it is not what the struct has
    const config_table* table = nullptr;

    // To and from the member of the struct that the table is about. Null for kinds with a table.
    void (*store)(void* object, config_scalar value) = nullptr;
    config_scalar (*load)(const void* object) = nullptr;

    // For kinds with a table: where the values go. Appends to a list. `name` is the key of a `named` one.
    void* (*open)(void* object, const config_defaults& from, std::string_view name) = nullptr;
    // The same place, to read; of `section` and `flat`. Null if it is not there.
    const void* (*peek)(const void* object) = nullptr;
};

// Keys that exclude each other.
struct config_alternatives {
    std::span<const std::string_view> keys;
    bool required; // exactly one, not at most one
};

// What a struct looks like in the file.
struct config_table {
    std::string_view name; // as one speaks of it: "a listener"
    std::string_view doc;
    std::span<const config_field> fields;
    std::span<const config_alternatives> alternatives{};
    std::string_view shorthand{}; // the key that is meant if a single value stands in its place
    // The struct as it is made; for the defaults in the reference.
    const void* (*built_in)() = nullptr;
};

// Finds a key, also in flat rows. `object`, if it is not null, becomes the struct that the row is about.
const config_field* find_field(const config_table& table, std::string_view key, void** object = nullptr);

// All keys, those of flat rows included, in their order.
std::vector<const config_field*> all_fields(const config_table& table);

} // namespace headgate::gateway
