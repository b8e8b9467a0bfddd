#include <gateway/config/rows.hpp>
#include <gateway/config/tables.hpp>
#include <gateway/export/formats.hpp>
#include <gateway/export/parameter_type.hpp>

// Exports: databases, and what is asked of them.
namespace headgate::gateway::tables {

namespace {

using namespace rows;
using std::string_view;

using so = source_config;

constexpr config_field source_fields[] = {
    text<&so::sqlite>("sqlite", formats::file, "A SQLite file, which is only read from. It must exist."),
    text<&so::postgres>(
        "postgres", formats::any,
        "A PostgreSQL server, as libpq takes it: postgres://user@host/database, or host=... dbname=.... "
        "What it leaves out comes from PG* variables, .pgpass and service files."),
    count<&so::pool_size>("pool_size", 1, 1000, "Connections to it, per worker; who needs more waits."),
    count<&so::queue_max>("queue_max", 0, many, "How many requests may wait for one, per worker: 503."),
    time<&so::acquire_timeout>("acquire_timeout", "For a connection to become free, and to be made: 503."),
    time<&so::busy_timeout>("busy_timeout", "Of SQLite: for the lock of a writer: 503."),
};
constexpr string_view one_database[] = {"sqlite", "postgres"};
constexpr config_alternatives source_alternatives[] = {{one_database, true}};

using ep = export_parameter;

constexpr string_view places[] = {"query", "header", "path"};

constexpr config_field parameter_fields[] = {
    one_of<places, &ep::from>("from", "Where its value is taken from."),
    text<&ep::key>("key", formats::parameter, "Of the parameter of the request's query, or of the header field."),
    count<&ep::segment>("segment", 1, 100,
                        "Of the path: its place behind the prefix that the route matched, without the extension."),
    choice<&ep::type>("type", parameter_type_names, "What the value must be: 400."),
    not_empty(texts<&ep::values>("values", formats::any, "What the value may be: 400. Without it, anything.")),
    text<&ep::pattern>("pattern", formats::regex,
                       "A regular expression (RE2) that the whole value must match: 400. Without it, anything."),
    text<&ep::default_value>("default", formats::any, "The value if there is none. Without it: NULL."),
    flag<&ep::required>("required", "Whether there must be one: 400."),
};

using ea = export_action;

constexpr auto parameter_begin = [](const config_defaults&, string_view name) { return ep{.name = std::string(name)}; };

using cs = csv_options;

// A character as a text.
constexpr config_field delimiter_field{.key = "delimiter",
                                       .kind = config_kind::text,
                                       .doc = "What stands between values: a character, or tab.",
                                       .format = &formats::csv_delimiter,
                                       .store =
                                           [](void* o, config_scalar v) {
                                               static_cast<cs*>(o)->delimiter =
                                                   csv_delimiter(std::get<std::string>(v)).value_or(',');
                                           },
                                       .load = [](const void* o) -> config_scalar {
                                           const char c = static_cast<const cs*>(o)->delimiter;
                                           return c == '\t' ? std::string("tab") : std::string(1, c);
                                       }};
constexpr config_field csv_fields[] = {
    flag<&cs::header>("header", "Whether the first record has the names of the columns."),
    delimiter_field,
    one_of<csv_quotes_names, &cs::quotes>("quote",
                                          "Which values stand in quotes: those that must, all but numbers, or all. No "
                                          "value (NULL) never does."),
    text<&cs::null>("null_text", formats::csv_null,
                    "How no value is written, where it is not nothing at all. A value that is this text is quoted."),
    one_of<line_end_names, &cs::crlf>("line_end", "What records end with: crlf, as RFC 4180 has it, or lf."),
    flag<&cs::bom>("bom",
                   "Whether it begins with a byte order mark, by which some spreadsheets know that it is UTF-8."),
};

constexpr config_field export_fields[] = {
    required(text<&ea::source>("source", formats::name, "One of the sources of this file.")),
    required(text<&ea::query>("query", formats::any, "One SQL statement that reads; `:name` is a parameter.")),
    at_most(1000, named<+parameter_begin, &ea::parameters>("parameters", tables::query_parameter,
                                                           "Where the values of the query's parameters come from.")),
    not_empty(texts<&ea::formats>("formats", formats::export_format,
                                  "What it may be asked for: csv, ndjson, json. The first is for who does not say.")),
    texts<&ea::compression>(
        "compression", formats::algorithm,
        "What it may be compressed with: gzip, zstd. Of those that a client likes best, the first."),
    section<&ea::csv>("csv", tables::csv, "How CSV is written."),
    one_of<invalid_text_names, &ea::csv, &cs::invalid>(
        "non_utf8", "What becomes of text that is not UTF-8: refuse (500, or a reset), or replace it by U+FFFD."),
    text<&ea::filename>("filename", formats::header_value,
                        "What a browser is to save it as, without the extension. `{name}` stands for the value of a "
                        "parameter."),
    or_none(count<&ea::rows_max>("rows_max", 1, 1'000'000'000'000, "Rows of the result: 500, or a reset.")),
    or_none(size<&ea::bytes_max>("bytes_max", 1, 1024 * tib, "The result before it is compressed: 500, or a reset.")),
    time<&ea::timeout>("timeout", "For the query, from the wait for a connection to its last row: 504, or a reset."),
    size<&ea::spool_memory>("spool_memory", 16 * kib, 1024 * mib,
                            "What is read ahead of the client into memory, so that the database's connection is free "
                            "when the query is done."),
    size<&ea::spool_disk>("spool_disk", 0, 1024 * tib, "The same, into a file without a name."),
    time<&ea::client_idle_timeout>("client_idle_timeout",
                                   "With no byte taken, while the client is waited for: a reset."),
    size<&ea::client_rate_min>("client_rate_min", 0, many,
                               "Bytes per second that the client must take, over each rate_grace of waiting for it: a "
                               "reset. 0 for none."),
    time<&ea::rate_grace>("rate_grace", "How much waiting for the client it takes to tell its rate."),
};

} // namespace

constinit const config_table source{"a source", "", source_fields, source_alternatives, "", &built_in<so>};
constinit const config_table csv{"csv", "", csv_fields, {}, "", &built_in<cs>};
constinit const config_table query_parameter{"a parameter", "", parameter_fields, {}, "", &built_in<ep>};
constinit const config_table export_rows{"export", "", export_fields, {}, "", &built_in<ea>};

} // namespace headgate::gateway::tables
