#include <headgate/core/race.hpp>
#include <headgate/core/waits.hpp>
#include <headgate/db/postgres.hpp>
#include <headgate/db/sqlite.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/io/files.hpp>
#include <headgate/io/run.hpp>
#include <headgate/stages/csv.hpp>

#include <algorithm>

#include <fmt/format.h>
#include <unistd.h>

#include <gateway/export/command.hpp>
#include <gateway/export/parameter_type.hpp>
#include <gateway/export/progress.hpp>
#include <gateway/export/stdout_sink.hpp>

namespace headgate::gateway {

namespace {

// How long a database may take to confirm that it has stopped a query.
constexpr duration recovery_time = std::chrono::seconds(5);

// What is to be done, read from the flags.
struct export_job {
    std::string sqlite{};   // the file, or
    std::string postgres{}; // the URI, as libpq takes it
    db::query what{};
    std::vector<db::parameter> values{};
    export_format format = export_format::csv;
    csv_options csv{};
    export_coding coding = export_coding::identity;
    std::string output{}; // empty: standard output
    bool progress = false;
};

struct query_source {
    db::database* from;
    db::query what;
    std::vector<db::parameter> values;
    db::query_options options;

    stream<row_batch> into_stream() && { return from->rows(std::move(what), std::move(values), std::move(options)); }
    const char* name() const noexcept { return "query"; }
};

template <class Sink>
task<outcome> export_to(pipe_options o, query_source from, row_counter count, format_stage format, export_coding coding,
                        Sink to) {
    if (coding == export_coding::identity)
        return pipeline(std::move(o), std::move(from), count, std::move(format), std::move(to));
    return pipeline(std::move(o), std::move(from), count, std::move(format), coding_stage(coding), std::move(to));
}

task<outcome> start(pipe_options o, query_source from, export_job job, std::uint64_t* rows) {
    format_stage format(job.format, std::move(job.csv));
    if (job.output.empty())
        return export_to(std::move(o), std::move(from), row_counter(rows), std::move(format), job.coding,
                         stdout_sink());
    return export_to(std::move(o), std::move(from), row_counter(rows), std::move(format), job.coding,
                     files::create(std::move(job.output)));
}

std::unique_ptr<db::database> open(const export_job& job) {
    const db::pool_options one{.size = 1};
    if (job.sqlite.empty()) return std::make_unique<db::postgres>(db::postgres_options{.conninfo = job.postgres}, one);
    return std::make_unique<db::sqlite>(db::sqlite_options{.path = job.sqlite}, one);
}

task<> recovered(db::pool* connections) { co_await connections->recovered(); }

task<int> run_export(export_job job) {
    const std::unique_ptr<db::database> database = open(job);
    list_node watchers;
    std::uint64_t rows = 0;
    query_source from{database.get(), std::move(job.what), std::move(job.values), {}};
    if (job.format == export_format::csv) from.options.csv = job.csv;
    const bool progress = job.progress;
    export_progress shown(progress ? &watchers : nullptr, &rows);
    auto work = start({.watchers = &watchers}, std::move(from), std::move(job), &rows);
    auto ended = co_await race(std::move(work), show(&shown));
    const outcome& end = std::get<0>(ended);
    shown.last(end);
    if (!end) fmt::print(stderr, "headgate export: {}\n", end.error().message());
    co_await race(recovered(&database->connections()), wait_for(recovery_time)); // a query that was cut is cancelled
    co_return end ? 0 : 1;
}

using job_or_error = std::expected<export_job, std::string>;

// "name=value", or "name:type=value".
std::expected<db::parameter, std::string> read_parameter(const std::string& text) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0)
        return std::unexpected("'" + text + "' is not name=value or name:type=value");
    std::string name = text.substr(0, equals);
    value_type type = value_type::text;
    if (const std::size_t colon = name.find(':'); colon != std::string::npos) {
        const auto named = parameter_type(std::string_view(name).substr(colon + 1));
        if (!named)
            return std::unexpected(fmt::format("'{}' is no type; there are {}", name.substr(colon + 1),
                                               fmt::join(parameter_type_names, ", ")));
        type = *named;
        name.resize(colon);
    }
    auto value = parameter_value(type, std::string_view(text).substr(equals + 1));
    if (!value) return std::unexpected(name + ": " + value.error());
    return db::parameter{.name = std::move(name), .type = type, .text = std::move(*value)};
}

} // namespace

export_command::export_command(CLI::App& app)
    : command_(app.add_subcommand("export", "Write the rows of a database query to a file or to standard output")) {
    command_->add_option("--source", source_, "The database: sqlite:FILE, or postgres://...")
        ->type_name("SOURCE")
        ->required();
    command_->add_option("--query", query_, "One statement that reads; :name is a parameter")
        ->type_name("SQL")
        ->required();
    command_
        ->add_option("--param", parameters_,
                     "The value of a parameter: name=value, or name:type=value with one of " +
                         fmt::format("{}", fmt::join(parameter_type_names, ", ")))
        ->type_name("NAME=VALUE")
        ->allow_extra_args(false);
    command_->add_option("--format", format_, "What rows are written as")
        ->check(CLI::IsMember({"csv", "ndjson", "json"}))
        ->capture_default_str();
    add_csv_options();
    CLI::Option* gzip = command_->add_flag("--gzip", gzip_, "Compress with gzip");
    command_->add_flag("--zstd", zstd_, "Compress with Zstandard")->excludes(gzip);
    command_->add_option("-o,--output", output_, "The file, which appears when it is complete; else standard output")
        ->type_name("FILE");
    command_->add_option("--progress", progress_, "Show on standard error how far it is; auto: if that is a terminal")
        ->check(CLI::IsMember({"auto", "on", "off"}))
        ->capture_default_str();
}

void export_command::add_csv_options() {
    const auto one_of = [](std::span<const std::string_view> names) {
        return CLI::IsMember(std::vector<std::string>(names.begin(), names.end()));
    };
    const auto add = [](auto* option) { option->group("CSV")->capture_default_str(); };
    add(command_->add_option("--delimiter", delimiter_, "What stands between values: a character, or tab"));
    add(command_->add_option("--quote", quote_, "Which values stand in quotes")->check(one_of(csv_quotes_names)));
    add(command_->add_flag("--header,!--no-header", header_, "Whether the first record has the names of the columns"));
    add(command_->add_option("--null-text", null_text_, "How no value is written, where it is not nothing at all"));
    add(command_->add_option("--line-end", line_end_, "What records end with")->check(one_of(line_end_names)));
    add(command_->add_flag("--bom", bom_, "Begin with a byte order mark, for some spreadsheets"));
    command_->add_option("--non-utf8", non_utf8_, "What becomes of text that is not UTF-8")
        ->check(one_of(invalid_text_names))
        ->capture_default_str();
}

std::expected<csv_options, std::string> export_command::read_csv_options() const {
    for (const CLI::Option* o : command_->get_options())
        if (o->get_group() == "CSV" && o->count() != 0 && format_ != "csv")
            return std::unexpected(o->get_name() + " is for --format csv");
    const auto index = [](std::span<const std::string_view> names, const std::string& name) {
        return std::ranges::find(names, name) - names.begin();
    };
    csv_options o{.header = header_,
                  .quotes = static_cast<csv_quotes>(index(csv_quotes_names, quote_)),
                  .null = null_text_,
                  .crlf = line_end_ == "crlf",
                  .bom = bom_,
                  .invalid = static_cast<invalid_text>(index(invalid_text_names, non_utf8_))};
    const auto delimiter = csv_delimiter(delimiter_);
    if (!delimiter)
        return std::unexpected("--delimiter: '" + delimiter_ +
                               "' cannot stand between values: take tab, or one ASCII character that is no quote, end "
                               "of a line, letter, digit, nor any of +-./=\\");
    o.delimiter = *delimiter;
    if (!is_csv_null(null_text_, *delimiter))
        return std::unexpected("--null-text: it must be UTF-8 of at most 64 bytes, without the delimiter, quotes and "
                               "ends of lines");
    return o;
}

std::optional<int> export_command::run() const {
    if (!*command_) return std::nullopt;
    const auto usage = [](const std::string& message) {
        fmt::print(stderr, "{}\nRun with --help for more information.\n", message);
        return 2;
    };
    const auto csv = read_csv_options();
    if (!csv) return usage(csv.error());
    export_job job{.format = *format_named(format_),
                   .csv = *csv,
                   .coding = gzip_   ? export_coding::gzip
                             : zstd_ ? export_coding::zstd
                                     : export_coding::identity,
                   .output = output_,
                   .progress = progress_ == "on" || (progress_ == "auto" && ::isatty(STDERR_FILENO) == 1)};
    auto dialect = db::dialect::sqlite;
    if (source_.starts_with("sqlite:") && source_.size() != 7) {
        job.sqlite = source_.substr(7);
    } else if (source_.starts_with("postgres://") || source_.starts_with("postgresql://")) {
        job.postgres = source_;
        dialect = db::dialect::postgres;
    } else {
        return usage("--source: '" + source_ + "' is neither sqlite:FILE nor postgres://...");
    }
    auto query = db::query::parse(query_, dialect);
    if (!query) return usage(fmt::format("--query: {}, at byte {}", query.error().message, query.error().offset));
    job.what = std::move(*query);
    for (const std::string& p : parameters_) {
        auto read = read_parameter(p);
        if (!read) return usage("--param: " + read.error());
        job.values.push_back(std::move(*read));
    }
    if (const auto bound = job.what.bind(job.values); !bound) return usage("--param: " + bound.error().message);
    if (job.output.empty() && ::isatty(STDOUT_FILENO) == 1 && job.coding != export_coding::identity)
        return usage("compressed output is not for a terminal: give --output");
    return headgate::run(run_export(std::move(job)));
}

} // namespace headgate::gateway
