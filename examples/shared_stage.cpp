// shared_stage FOLDER
//
// One recipe, csv_gz, used in three pipelines at once: an export of orders, a report, and a batch job that converts a
// file.

#include <headgate/core/race.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/io/files.hpp>
#include <headgate/io/run.hpp>
#include <headgate/stages/csv.hpp>
#include <headgate/stages/gzip.hpp>
#include <headgate/stages/lines.hpp>

#include <array>

#include <fmt/core.h>

using namespace headgate;

// Rows of two columns, as a database's cursor gives them. db::sqlite and db::postgres are such sources.
class table {
public:
    table(std::string_view first, std::string_view second)
        : columns_(std::array{column{.name = first, .type = value_type::text},
                              column{.name = second, .type = value_type::integer}}),
          batch_(columns_) {}

    // Gives false, and takes nothing, when the batch is full.
    bool add(std::string_view text, std::string_view number) {
        if (!batch_.begin_row(text.size() + number.size())) return false;
        batch_.add(value_type::text, text);
        batch_.add(value_type::integer, number);
        return true;
    }
    row_batch take() { return std::exchange(batch_, row_batch(columns_)); }

private:
    column_set columns_;
    row_batch batch_;
};

stream<row_batch> orders() {
    table t("customer", "cents");
    for (int i = 0; i < 50'000; ++i) {
        const std::string customer = fmt::format("No. {}, \"Ltd\"", i), cents = std::to_string(i * 100);
        if (t.add(customer, cents)) continue;
        co_yield t.take();
        t.add(customer, cents);
    }
    co_yield t.take();
}
stream<row_batch> report() {
    table t("month", "orders");
    for (int month = 1; month <= 12; ++month) t.add(fmt::format("2026-{:02}", month), "4000");
    co_yield t.take();
}
// A line of a batch file: a name, a space, a number.
stream<row_batch> parse_batch(stream<chunk> in) {
    table t("name", "value");
    while (auto line = co_await in.next()) {
        const std::string_view text = line->text();
        const std::size_t space = text.rfind(' ');
        if (space == std::string_view::npos)
            co_await fail(errc::protocol, "'" + std::string(text) + "' is not a name and a number");
        if (t.add(text.substr(0, space), text.substr(space + 1))) continue;
        co_yield t.take();
        t.add(text.substr(0, space), text.substr(space + 1));
    }
    co_yield t.take();
}

task<int> make_reports(std::string folder) {
    const auto csv_gz = compose(format_csv({.crlf = false}), gzip());
    const auto ends = co_await all(pipeline(orders(), csv_gz, files::create(folder + "/orders.csv.gz")),
                                   pipeline(report(), csv_gz, files::create(folder + "/report.csv.gz")),
                                   pipeline(files::read(folder + "/batch.txt"), lines({.line_bytes_max = 1000}),
                                            &parse_batch, csv_gz, files::create(folder + "/batch.csv.gz")));

    int failed = 0;
    const auto tell = [&failed](const char* name, const outcome& end) {
        fmt::print("{}: {}\n", name, end ? fmt::format("{} bytes", end->bytes) : end.error().message());
        failed += !end;
    };
    tell("orders", std::get<0>(ends));
    tell("report", std::get<1>(ends));
    tell("batch", std::get<2>(ends));
    co_return failed;
}

int main(int argc, char** argv) {
    if (argc != 2) {
        fmt::print(stderr, "usage: shared_stage FOLDER\n");
        return 2;
    }
    return headgate::run(make_reports(argv[1]));
}
