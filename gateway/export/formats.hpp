#pragma once

#include <headgate/core/stream.hpp>
#include <headgate/tabular/csv_options.hpp>
#include <headgate/tabular/row_batch.hpp>

#include <cstdint>
#include <optional>
#include <string_view>

namespace headgate::gateway {

// What rows are written as.
enum class export_format : std::uint8_t { csv, ndjson, json };
// What that is compressed with.
enum class export_coding : std::uint8_t { identity, gzip, zstd };

inline constexpr export_format export_formats[] = {export_format::csv, export_format::ndjson, export_format::json};

std::string_view to_string(export_format f) noexcept; // "csv"; also the extension of files and `format=`
std::string_view to_string(export_coding c) noexcept; // "gzip"; also the content coding
std::string_view extension(export_coding c) noexcept; // ".gz"
std::optional<export_format> format_named(std::string_view name) noexcept;

// The type without parameters, and as Content-Type. (CSV says whether there is a header: RFC 4180, section 3.)
std::string_view media_type(export_format f) noexcept;
std::string_view content_type(export_format f, const csv_options& csv) noexcept;

// A delimiter of CSV as an operator writes it: the character, or "tab".
std::optional<char> csv_delimiter(std::string_view text) noexcept;
inline constexpr std::string_view csv_quotes_names[] = {"minimal", "non_numeric", "all"}; // as csv_quotes
inline constexpr std::string_view invalid_text_names[] = {"refuse", "replace"};           // as invalid_text
inline constexpr std::string_view line_end_names[] = {"lf", "crlf"};

// The formatter as one stage, whichever it is. Of `csv`, all formats look at `invalid`.
class format_stage {
public:
    format_stage(export_format f, csv_options csv) : format_(f), csv_(std::move(csv)) {}

    stream<chunk> operator()(stream<row_batch> in) const;
    const char* name() const noexcept { return to_string(format_).data(); }

private:
    export_format format_;
    csv_options csv_;
};

// The same for what compresses; identity is no stage.
class coding_stage {
public:
    explicit coding_stage(export_coding c) noexcept : coding_(c) {}

    stream<chunk> operator()(stream<chunk> in) const;
    const char* name() const noexcept { return to_string(coding_).data(); }

private:
    export_coding coding_;
};

// The stage that counts rows. `rows` must outlive the chain.
class row_counter {
public:
    explicit row_counter(std::uint64_t* rows) noexcept : rows_(rows) {}

    stream<row_batch> operator()(stream<row_batch> in) const;
    const char* name() const noexcept { return "rows"; }

private:
    std::uint64_t* rows_;
};

} // namespace headgate::gateway
