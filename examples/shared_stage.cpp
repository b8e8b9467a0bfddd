// shared_stage FOLDER
//
// One recipe, csv_gz, used in three pipelines at once: two reports that are computed and a batch file that is
// converted.

#include <headgate/core/race.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/io/files.hpp>
#include <headgate/io/run.hpp>
#include <headgate/stages/gzip.hpp>
#include <headgate/stages/lines.hpp>

#include <fmt/core.h>

using namespace headgate;

struct row {
    std::string name;
    long value;
};

stream<row> squares() {
    for (long i = 0; i < 50'000; ++i) co_yield row{fmt::format("{} squared", i), i * i};
}
stream<row> countdown() {
    for (long i = 10; i > 0; --i) co_yield row{"left", i};
}
// A line of a batch file: a name, a space, a number.
stream<row> parse_batch(stream<chunk> in) {
    while (auto line = co_await in.next()) {
        const std::string text(line->text());
        const std::size_t space = text.rfind(' ');
        if (space == std::string::npos) co_await fail(errc::protocol, "'" + text + "' is not a name and a number");
        co_yield row{text.substr(0, space), std::stol(text.substr(space + 1))};
    }
}

stream<chunk> format_csv(stream<row> in) {
    co_yield chunk("name,value\n");
    while (auto r = co_await in.next()) co_yield chunk(fmt::format("{},{}\n", r->name, r->value));
}

task<int> make_reports(std::string folder) {
    const auto csv_gz = compose(&format_csv, gzip());
    const auto ends = co_await all(pipeline(squares(), csv_gz, files::create(folder + "/squares.csv.gz")),
                                   pipeline(countdown(), csv_gz, files::create(folder + "/countdown.csv.gz")),
                                   pipeline(files::read(folder + "/batch.txt"), lines(), &parse_batch, csv_gz,
                                            files::create(folder + "/batch.csv.gz")));

    int failed = 0;
    const auto report = [&failed](const char* name, const outcome& end) {
        fmt::print("{}: {}\n", name, end ? fmt::format("{} bytes", end->bytes) : end.error().message());
        failed += !end;
    };
    report("squares", std::get<0>(ends));
    report("countdown", std::get<1>(ends));
    report("batch", std::get<2>(ends));
    co_return failed;
}

int main(int argc, char** argv) {
    if (argc != 2) {
        fmt::print(stderr, "usage: shared_stage FOLDER\n");
        return 2;
    }
    return headgate::run(make_reports(argv[1]));
}
