#include <headgate/core/race.hpp>
#include <headgate/core/sleep.hpp>
#include <headgate/db/postgres.hpp>
#include <headgate/db/sqlite.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/io/files.hpp>
#include <headgate/io/run.hpp>

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
    export_coding coding = export_coding::identity;
    std::string output{}; // empty: standard output
    bool progress = false;
};

struct query_source {
    db::database* from;
    db::query what;
    std::vector<db::parameter> values;

    stream<row_batch> into_stream() && { return from->rows(std::move(what), std::move(values)); }
    const char* name() const noexcept { return "query"; }
};

template <class Sink>
task<outcome> export_to(pipe_options o, query_source from, row_counter count, export_format format,
                        export_coding coding, Sink to) {
    if (coding == export_coding::identity)
        return pipeline(std::move(o), std::move(from), count, format_stage(format), std::move(to));
    return pipeline(std::move(o), std::move(from), count, format_stage(format), coding_stage(coding), std::move(to));
}

task<outcome> start(pipe_options o, query_source from, export_job job, std::uint64_t* rows) {
    if (job.output.empty())
        return export_to(std::move(o), std::move(from), row_counter(rows), job.format, job.coding, stdout_sink());
    return export_to(std::move(o), std::move(from), row_counter(rows), job.format, job.coding,
                     files::create(std::move(job.output)));
}

std::unique_ptr<db::database> open(const export_job& job) {
    const db::pool_options one{.size = 1};
    if (job.sqlite.empty()) return std::make_unique<db::postgres>(db::postgres_options{.conninfo = job.postgres}, one);
    return std::make_unique<db::sqlite>(db::sqlite_options{.path = job.sqlite}, one);
}

task<> recovered(db::pool* connections) { co_await connections->recovered(); }
task<> wait_for(duration d) { co_await sleep_for(d); }

task<int> run_export(export_job job) {
    const std::unique_ptr<db::database> database = open(job);
    list_node watchers;
    std::uint64_t rows = 0;
    query_source from{database.get(), std::move(job.what), std::move(job.values)};
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
                                               fmt::join(parameter_type_names(), ", ")));
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
                         fmt::format("{}", fmt::join(parameter_type_names(), ", ")))
        ->type_name("NAME=VALUE")
        ->allow_extra_args(false);
    command_->add_option("--format", format_, "What rows are written as")
        ->check(CLI::IsMember({"csv", "ndjson", "json"}))
        ->capture_default_str();
    CLI::Option* gzip = command_->add_flag("--gzip", gzip_, "Compress with gzip");
    command_->add_flag("--zstd", zstd_, "Compress with Zstandard")->excludes(gzip);
    command_->add_option("-o,--output", output_, "The file, which appears when it is complete; else standard output")
        ->type_name("FILE");
    command_->add_option("--progress", progress_, "Show on standard error how far it is; auto: if that is a terminal")
        ->check(CLI::IsMember({"auto", "on", "off"}))
        ->capture_default_str();
}

std::optional<int> export_command::run() const {
    if (!*command_) return std::nullopt;
    const auto usage = [](const std::string& message) {
        fmt::print(stderr, "{}\nRun with --help for more information.\n", message);
        return 2;
    };
    export_job job{.format = *format_named(format_),
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
