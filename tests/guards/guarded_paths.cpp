// Runs one of the paths whose cost is recorded in costs.json, so many times, and prints what it asked of the system and
// of the allocator for the later half of them, once everything is warm. guards_test.py counts its instructions.

#include <headgate/flow/pipeline.hpp>
#include <headgate/io/loop.hpp>

#include <atomic>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <new>

#include <gateway/proxy.hpp>
#include <guards/playback_kernel.hpp>

namespace {

std::atomic<std::uint64_t> allocations = 0; // of all threads

} // namespace

void* operator new(std::size_t bytes) {
    ++allocations;
    if (void* p = std::malloc(bytes)) return p;
    throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }

namespace headgate::guards {
namespace {

// What has been used so far.
struct usage {
    std::uint64_t allocations;
    std::uint64_t reads = 0;
    std::uint64_t writes = 0;
    std::uint64_t waits = 0;
    std::uint64_t others = 0;
    std::uint64_t clocks = 0;
};

usage used(const playback_kernel& os) { return {allocations, os.reads, os.writes, os.waits, os.others, os.clocks}; }

// As wrk asks and as nginx answers, with 200 bytes.
constexpr std::string_view request = "GET /some/path?with=query HTTP/1.1\r\nHost: gateway.example\r\n\r\n";
constexpr std::string_view response =
    "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Sun, 01 Jan 2023 00:00:00 GMT\r\nContent-Type: text/plain\r\n"
    "Content-Length: 200\r\nConnection: keep-alive\r\n\r\n"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
constexpr std::string_view stream_begin = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                          "Transfer-Encoding: chunked\r\n\r\n";
constexpr std::string_view stream_event =
    "64\r\ndata: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n\n\r\n";

// The proxy in front of one upstream, with its configuration as it comes.
usage serve(playback_kernel& os, std::uint64_t times, bool& wrong, gateway::access_log* log = nullptr,
            gateway::tracer* traces = nullptr) {
    loop home(os);
    gateway::server_options o;
    o.access_log.enabled = log;
    gateway::worker on(home, o, log, nullptr, traces);
    gateway::proxy_options to;
    to.to = {"127.0.0.1", 8000};
    gateway::proxy web(on, to);
    on.start(*listener::open(*address::parse("127.0.0.1:80")), web);
    const auto serve_until = [&](std::uint64_t n) {
        while (os.answered < n && !wrong) wrong = bool(home.turn());
    };
    serve_until(times - times / 2);
    const usage before = used(os);
    serve_until(times);
    const usage after = used(os);
    on.close();
    return {after.allocations - before.allocations, after.reads - before.reads,
            after.writes - before.writes,           after.waits - before.waits,
            after.others - before.others,           after.clocks - before.clocks};
}

stream<int> count_to(int n) {
    for (int i = 0; i < n; ++i) co_yield i;
}
stream<int> pass(stream<int> in) {
    while (auto i = co_await in.next()) co_yield *i;
}
struct adder {
    std::uint64_t* sum;
    task<> write(int i) {
        *sum += static_cast<std::uint64_t>(i);
        co_return;
    }
    task<> finish() { co_return; }
};

usage pull(playback_kernel& os, std::uint64_t times, bool& wrong) {
    loop home(os);
    std::uint64_t sum = 0;
    const auto run = [&](std::uint64_t n) {
        wrong |= !home.run([](std::uint64_t* total, int items) -> task<> {
            const auto end = co_await pipeline(count_to(items), &pass, &pass, &pass, adder{total});
            if (!end) co_await fail(end.error().code);
        }(&sum, static_cast<int>(n)));
    };
    run(times - times / 2);
    const std::uint64_t before = allocations;
    run(times / 2);
    return {allocations - before};
}

usage arm_and_cancel(playback_kernel& os, std::uint64_t times, bool&) {
    struct never : timer {
        never() {
            fire = [](timer&) { std::abort(); };
        }
    } t;
    loop home(os);
    const std::uint64_t before = allocations;
    for (std::uint64_t i = 0; i < times; ++i) {
        home.arm(t, std::chrono::seconds(1 + i % 60));
        t.disarm();
    }
    return {allocations - before};
}

int run(std::string_view path, std::uint64_t times) {
    playback_kernel os;
    os.request = request;
    os.response = response;
    bool wrong = false;
    usage u{};
    if (path == "request") {
        u = serve(os, times, wrong);
    } else if (path == "logged") {
        gateway::access_log log({.format = gateway::log_format::json, .path = "/dev/null"});
        u = serve(os, times, wrong, &log);
    } else if (path == "traced") { // but not recorded
        gateway::tracer traces({.enabled = true, .sampling = {.value = 0}, .collector = "http://127.0.0.1:4318"}, {});
        u = serve(os, times, wrong, nullptr, &traces);
    } else if (path == "connection") {
        os.connection_each = true;
        u = serve(os, times, wrong);
    } else if (path == "event") {
        os.response = stream_begin;
        os.event = stream_event;
        u = serve(os, times, wrong);
    } else if (path == "pull") {
        u = pull(os, times, wrong);
    } else if (path == "timer") {
        u = arm_and_cancel(os, times, wrong);
    } else {
        return 2;
    }
    const auto each = [&](std::uint64_t n) { return 2 * static_cast<double>(n) / static_cast<double>(times); };
    std::printf("{\"allocations\": %.3g, \"reads\": %.3g, \"writes\": %.3g, \"waits\": %.3g, \"other_calls\": %.3g, "
                "\"clock_reads\": %.3g}\n",
                each(u.allocations), each(u.reads), each(u.writes), each(u.waits), each(u.others), each(u.clocks));
    return wrong ? 1 : 0;
}

} // namespace
} // namespace headgate::guards

int main(int argc, char** argv) {
    std::uint64_t times = 0;
    const std::string_view number = argc == 3 ? argv[2] : "";
    std::from_chars(number.data(), number.data() + number.size(), times);
    if (times < 2) {
        std::fputs("usage: guarded_paths request|logged|traced|connection|event|pull|timer TIMES\n", stderr);
        return 2;
    }
    return headgate::guards::run(argv[1], times);
}
