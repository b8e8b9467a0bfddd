#include <headgate/stages/csv.hpp>
#include <headgate/stages/gzip.hpp>
#include <headgate/stages/json.hpp>
#include <headgate/stages/zstd.hpp>

#include <gateway/export/formats.hpp>

namespace headgate::gateway {

std::string_view to_string(export_format f) noexcept {
    switch (f) {
    case export_format::csv: return "csv";
    case export_format::ndjson: return "ndjson";
    case export_format::json: return "json";
    }
    return "";
}

std::string_view to_string(export_coding c) noexcept {
    switch (c) {
    case export_coding::identity: return "identity";
    case export_coding::gzip: return "gzip";
    case export_coding::zstd: return "zstd";
    }
    return "";
}

std::string_view extension(export_coding c) noexcept {
    switch (c) {
    case export_coding::gzip: return ".gz";
    case export_coding::zstd: return ".zst";
    default: return "";
    }
}

std::optional<export_format> format_named(std::string_view name) noexcept {
    for (const export_format f : export_formats)
        if (name == to_string(f)) return f;
    return std::nullopt;
}

std::string_view media_type(export_format f) noexcept {
    switch (f) {
    case export_format::csv: return "text/csv";
    case export_format::ndjson: return "application/x-ndjson";
    case export_format::json: return "application/json";
    }
    return "";
}

std::string_view content_type(export_format f, const csv_options& csv) noexcept {
    if (f != export_format::csv) return media_type(f);
    return csv.header ? "text/csv; charset=utf-8; header=present" : "text/csv; charset=utf-8; header=absent";
}

std::optional<char> csv_delimiter(std::string_view text) noexcept {
    if (text == "tab") return '\t';
    return text.size() == 1 && is_csv_delimiter(text[0]) ? std::optional(text[0]) : std::nullopt;
}

stream<chunk> format_stage::operator()(stream<row_batch> in) const {
    switch (format_) {
    case export_format::ndjson: return format_ndjson({.invalid = csv_.invalid})(std::move(in));
    case export_format::json: return format_json_array({.invalid = csv_.invalid})(std::move(in));
    default: return format_csv(csv_)(std::move(in));
    }
}

stream<chunk> coding_stage::operator()(stream<chunk> in) const {
    switch (coding_) {
    case export_coding::gzip: return gzip()(std::move(in));
    case export_coding::zstd: return zstd()(std::move(in));
    default: return in;
    }
}

namespace {

stream<row_batch> counted(stream<row_batch> in, std::uint64_t* rows) {
    while (std::optional<row_batch> batch = co_await in.next()) {
        *rows += batch->rows();
        co_yield std::move(*batch);
    }
}

} // namespace

stream<row_batch> row_counter::operator()(stream<row_batch> in) const { return counted(std::move(in), rows_); }

} // namespace headgate::gateway
