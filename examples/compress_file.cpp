// compress_file input.csv output.csv.gz
//
// The output appears when it is complete. Whatever else happens (no such input, a full disk, Ctrl-C), nothing is left
// behind.

#include <headgate/flow/pipeline.hpp>
#include <headgate/io/files.hpp>
#include <headgate/io/run.hpp>
#include <headgate/stages/gzip.hpp>
#include <headgate/stages/tally.hpp>

#include <fmt/core.h>

using namespace headgate;

task<int> compress(std::string input, std::string output) {
    tally_counts read;
    const outcome end = co_await pipeline(files::read(input), tally(&read), gzip(), files::create(output));
    if (!end) {
        fmt::print(stderr, "error: {}\n", end.error().message());
        co_return 1;
    }
    fmt::print("{}: {} bytes became {}\n", output, read.bytes, end->bytes);
    co_return 0;
}

int main(int argc, char** argv) {
    if (argc != 3) {
        fmt::print(stderr, "usage: compress_file INPUT OUTPUT\n");
        return 2;
    }
    return headgate::run(compress(argv[1], argv[2]));
}
