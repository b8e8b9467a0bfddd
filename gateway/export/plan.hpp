#pragma once

#include <headgate/db/parameter.hpp>
#include <headgate/http/message.hpp>

#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <gateway/export/formats.hpp>
#include <gateway/export/options.hpp>

namespace re2 {
class RE2;
}

namespace headgate::gateway {

// The patterns of parameters, made ready; null for a parameter that has none. Any number of threads may use them.
using export_patterns = std::vector<std::shared_ptr<const re2::RE2>>;
// Throws std::invalid_argument if one is none that RE2 takes.
export_patterns compile_patterns(const std::vector<export_parameter>& all);
// Whether the whole value matches.
bool matches(const re2::RE2& pattern, std::string_view value);

// What a request asks an export for.
struct export_plan {
    export_format format = export_format::csv;
    export_coding coding = export_coding::identity;
    bool packed = false;   // the coding is part of what was asked for, by the name: not a coding of the transfer
    bool trailers = false; // the client takes trailers
    std::vector<db::parameter> values{};
    std::string content_type{};
    std::string disposition{}; // Content-Disposition
};

// Why it cannot have it: 400 (a parameter, which is named) or 406.
struct export_refusal {
    int status;
    std::string detail;
};

// Reads a request. `patterns` are those of a.parameters. `prefix` is the part of the path that the route matched. The
// format is the one of the path's extension (".csv", ".ndjson", ".json", and behind it ".gz" or ".zst"), of `format=`
// in the query, or what Accept likes best, in this order.
std::expected<export_plan, export_refusal> plan_export(const http::request_head& head, std::string_view prefix,
                                                       const export_action& a, const export_patterns& patterns);

// Whether a name ends as the file of an export does: ".csv", ".json.zst".
bool has_export_extension(std::string_view name);

// The name of a file: `{region}` in the pattern becomes the value of that parameter, up to 100 bytes of it, with `_`
// for what cannot be in a name; nothing if it is NULL.
std::string export_filename(std::string_view pattern, const std::vector<db::parameter>& values);
// The names in braces.
std::vector<std::string_view> names_in_filename(std::string_view pattern);

// Content-Disposition of a file to be saved (RFC 6266); the name, as it is, in the encoding of RFC 8187 if that needs
// one.
std::string content_disposition(std::string_view filename);

// The value of the first parameter of the query by this name, decoded; `query` begins with its '?' if there is one.
// A value that is not encoded as it should be is given as it is.
std::optional<std::string> query_value(std::string_view query, std::string_view name);

} // namespace headgate::gateway
