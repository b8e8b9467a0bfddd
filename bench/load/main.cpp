#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include <sys/resource.h>

#include <bench/load/modes.hpp>
#include <bench/load/net.hpp>

namespace {

constexpr std::string_view usage = "usage: load origin   HTTP-ADDRESS ECHO-ADDRESS\n"
                                   "       load download TO CONNECTIONS SECONDS PATH\n"
                                   "       load upload   TO CONNECTIONS SECONDS BODY-BYTES\n"
                                   "       load upload-chunked TO CONNECTIONS SECONDS BODY-BYTES\n"
                                   "       load pingpong TO CONNECTIONS SECONDS MESSAGE-BYTES\n"
                                   "       load events   TO CONNECTIONS SECONDS PATH\n"
                                   "       load handshakes TO CONNECTIONS SECONDS PATH\n"
                                   "       load latency  TO CONNECTIONS SECONDS PATH RATE\n"
                                   "       load paced    TO CONNECTIONS SECONDS PATH RATE\n"
                                   "       load idle     TO CONNECTIONS PATH\n"
                                   "       load idle-tls TO CONNECTIONS PATH\n"
                                   "Addresses are like 127.0.0.1:8080.\n";

[[noreturn]] void refuse() {
    std::fwrite(usage.data(), 1, usage.size(), stderr);
    std::exit(2);
}

void raise_descriptor_limit() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

} // namespace

int main(int argc, char** argv) {
    if (argc < 4) refuse();
    std::signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    errno = 0;
    const std::string_view mode = argv[1];
    if (mode == "origin" && argc == 4) bench::run_origin(bench::parse_address(argv[2]), bench::parse_address(argv[3]));

    bench::load_options options;
    options.to = bench::parse_address(argv[2]);
    options.connections = std::atoi(argv[3]);
    if ((mode == "idle" || mode == "idle-tls") && argc == 5) {
        options.path = argv[4];
        mode == "idle" ? bench::run_idle(options) : bench::run_idle_tls(options);
        return 0;
    }
    const bool at_a_rate = mode == "latency" || mode == "paced";
    if (argc != (at_a_rate ? 7 : 6)) refuse();
    options.seconds = std::atof(argv[4]);
    options.path = argv[5];
    options.bytes = std::strtoull(argv[5], nullptr, 10);
    if (at_a_rate) {
        options.rate = std::atof(argv[6]);
        options.held = mode == "paced";
        bench::run_latency(options);
    } else if (mode == "handshakes") {
        bench::run_handshakes(options);
    } else if (mode == "events") {
        bench::run_events(options);
    } else if (mode == "upload-chunked") {
        bench::run_upload_chunked(options);
    } else if (mode == "download") {
        bench::run_download(options);
    } else if (mode == "upload") {
        bench::run_upload(options);
    } else if (mode == "pingpong") {
        bench::run_pingpong(options);
    } else {
        refuse();
    }
    return 0;
}
