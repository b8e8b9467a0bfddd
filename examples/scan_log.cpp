// scan_log FILE TEXT
//
// Prints the first line that contains TEXT, and stops there: what follows in the file is never read. Only one chunk is
// in memory at a time.

#include <headgate/io/files.hpp>
#include <headgate/io/run.hpp>
#include <headgate/stages/lines.hpp>
#include <headgate/stages/tally.hpp>

#include <fmt/core.h>

using namespace headgate;

task<int> scan(std::string path, std::string text) {
    tally_counts read;
    stream<chunk> file = files::read(path);
    stream<chunk> log = lines()(tally(&read)(std::move(file)));
    for (int number = 1; auto line = co_await log.next(); ++number) {
        if (!line->contains(text)) continue;
        log.reset(); // closes the file; so would returning
        fmt::print("line {}: {}\n{} bytes read\n", number, line->text(), read.bytes);
        co_return 0;
    }
    fmt::print("not found in {} bytes\n", read.bytes);
    co_return 3;
}

int main(int argc, char** argv) {
    if (argc != 3) {
        fmt::print(stderr, "usage: scan_log FILE TEXT\n");
        return 2;
    }
    return headgate::run(scan(argv[1], argv[2]));
}
