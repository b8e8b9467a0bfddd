// fetch_relay URL SECONDS OUTPUT
//
// Fetches a body from an HTTP server and relays it to a file, compressed, all under one deadline: connecting, waiting
// for the response and moving the body. When the time is up nothing is left: no connection, no descriptor, no part of a
// file.

#include <headgate/flow/pipeline.hpp>
#include <headgate/http/client.hpp>
#include <headgate/io/files.hpp>
#include <headgate/io/run.hpp>
#include <headgate/stages/gzip.hpp>

#include <cstdlib>

#include <fmt/core.h>

using namespace headgate;

task<int> fetch(std::string url, std::chrono::seconds limit, std::string output) {
    const outcome moved = co_await pipeline({.timeout = limit}, http::get(url), gzip(), files::create(output));
    if (!moved) {
        fmt::print(stderr, "{}\n", moved.error().message());
        co_return moved.error().code == errc::timed_out ? 4 : 1;
    }
    fmt::print("{} bytes written\n", moved->bytes);
    co_return 0;
}

int main(int argc, char** argv) {
    if (argc != 4) {
        fmt::print(stderr, "usage: fetch_relay URL SECONDS OUTPUT\n");
        return 2;
    }
    return headgate::run(fetch(argv[1], std::chrono::seconds(std::atoi(argv[2])), argv[3]));
}
