#include <headgate/core/race.hpp>
#include <headgate/core/sleep.hpp>
#include <headgate/io/signals.hpp>

#include <csignal>
#include <cstdio>
#include <exception>

#include <fmt/format.h>
#include <unistd.h>

#include <gateway/admin/http_server.hpp>
#include <gateway/fleet.hpp>
#include <gateway/server.hpp>

namespace headgate::gateway {

namespace {

// Requests that are aborted still get their answer; this is how long that may take.
constexpr duration farewell_time = 1s;

task<> until(abort_signal s) { co_await s.wait(); }
task<> wait_for(duration d) { co_await sleep_for(d); }

class server {
public:
    server(server_source& from, loop& main, access_log* log, fleet::endings& e)
        : from_(from), workers_(from.first->of(), main, log, e), admin_(endpoints()) {}

    // Throws if a worker or a listener cannot be started.
    void start() {
        workers_.start();
        if (const admin_options& a = from_.first->of().admin; a.enabled) {
            auto l = listener::open(a.listen);
            if (!l) throw std::runtime_error("cannot listen on " + a.listen.text() + ": " + l.error().message());
            admin_.start(std::move(*l));
        }
        if (const std::string wrong = workers_.change_to(std::exchange(from_.first, nullptr)); !wrong.empty())
            throw std::runtime_error(wrong);
        if (options().certificate_check_interval != forever) chores_.spawn(watch_files());
        ready_ = true;
    }

    std::string ready_line() {
        const std::string admin = admin_.listening() ? ", admin on " + admin_.listening()->where().text() : "";
        return fmt::format("headgate: listening on {}, {}, {} worker{}{}\n", workers_.addresses(), from_.about,
                           workers_.size(), workers_.size() == 1 ? "" : "s", admin);
    }

    task<> supervise(signal_set& signals) {
        co_await race(handle(signals), until(ending_.signal()));
        ready_ = false;
        chores_.clear();
        const bool hurried = options().drain_delay != duration::zero() &&
                             (co_await race(wait_for(options().drain_delay), second_signal(signals))).index() == 1;
        workers_.drain();
        if (!hurried)
            co_await race(until(workers_.all_ended()), wait_for(options().drain_timeout), second_signal(signals));
        if (!workers_.running()) co_return;
        workers_.abort();
        co_await race(until(workers_.all_ended()), wait_for(farewell_time), second_signal(signals));
    }

private:
    const server_options& options() const noexcept { return workers_.options(); }

    // Until the one that ends.
    task<> handle(signal_set& signals) {
        for (;;) {
            const int s = co_await signals.next();
            if (s == SIGUSR1)
                try_print_live();
            else if (s == SIGHUP)
                reload();
            else
                co_return;
        }
    }
    task<> second_signal(signal_set& signals) {
        for (;;) {
            const int s = co_await signals.next();
            if (s == SIGUSR1)
                try_print_live();
            else if (s != SIGHUP)
                co_return;
        }
    }

    // ---- what is served

    admin::answer reload() {
        if (!from_.again)
            return {.status = 409, .text = "what this serves comes from its command line: there is no file\n"};
        auto next = from_.again(workers_.current());
        std::string wrong = next ? workers_.change_to(*next) : next.error();
        if (!wrong.empty()) {
            if (!wrong.ends_with('\n')) wrong += '\n';
            wrong += "headgate: not reloaded; what was served before is served on\n";
            fmt::print(stderr, "{}", wrong);
            return {.status = 422, .text = std::move(wrong)};
        }
        const config& c = (*next)->of();
        std::string text = fmt::format("headgate: reloaded: {} listener(s), {} route(s), {} upstream(s)\n",
                                       c.listeners.size(), c.routes.size(), c.upstreams.size());
        fmt::print(stderr, "{}", text);
        return {.text = std::move(text),
                .json = fmt::format("{{\"listeners\":{},\"routes\":{},\"upstreams\":{}}}\n", c.listeners.size(),
                                    c.routes.size(), c.upstreams.size())};
    }

    // What was read may be half of what somebody is about to write: until it is right it is tried again each time, and
    // told once.
    task<> watch_files() {
        std::string told;
        for (;;) {
            co_await sleep_for(options().certificate_check_interval);
            if (!workers_.current().files_changed()) continue;
            std::string wrong = read_files_again();
            if (wrong.empty())
                fmt::print(stderr, "headgate: certificates have changed and were read again\n");
            else if (wrong != told)
                fmt::print(stderr,
                           "{}\nheadgate: certificates have changed and cannot be used; what was served before "
                           "is served on\n",
                           wrong);
            told = std::move(wrong);
        }
    }
    std::string read_files_again() {
        try {
            const auto next = std::make_shared<snapshot>(workers_.current().of(), &workers_.current());
            for (const std::string& w : next->warnings()) fmt::print(stderr, "headgate: warning: {}\n", w);
            return workers_.change_to(next);
        } catch (const std::exception& e) {
            return e.what();
        }
    }

    // ---- what the admin server answers

    std::vector<admin::endpoint> endpoints() {
        return {{"GET", "/livez", [this] { return answer_livez(); }},
                {"GET", "/readyz", [this] { return answer_readyz(); }},
                {"POST", "/api/v1/reload", [this] { return answer_reload(); }},
                {"POST", "/api/v1/drain", [this] { return answer_drain(); }}};
    }
    task<admin::answer> answer_livez() { co_return admin::answer{.text = "ok\n"}; }
    task<admin::answer> answer_readyz() {
        if (ready_) co_return admin::answer{.text = "ok\n"};
        co_return admin::answer{.status = 503, .text = "the gateway is draining\n"};
    }
    task<admin::answer> answer_reload() {
        if (!ready_) co_return admin::answer{.status = 409, .text = "the gateway is draining\n"};
        co_return reload();
    }
    task<admin::answer> answer_drain() {
        ending_.abort();
        co_return admin::answer{.status = 202, .text = "headgate: draining\n", .json = "{\"draining\":true}\n"};
    }

    // ---- what is alive

    void try_print_live() noexcept {
        try {
            print_live();
        } catch (const std::exception& e) { // no memory, or nobody who reads: no reason to end
            std::fprintf(stderr, "headgate: no snapshot: %s\n", e.what());
        }
    }
    void print_live() {
        const live_counts all = workers_.live();
        fmt::print(stderr,
                   "headgate: live connections={} requests={} upstream_busy={} upstream_idle={} frames={} "
                   "descriptors={} waits={} timers={} buffer_bytes={} pipes={} memory={}\n",
                   all.connections, all.requests, all.upstream_busy, all.upstream_idle, all.frames, all.descriptors,
                   all.waits, all.timers, all.buffer_bytes, all.pipes, all.memory);
    }

    server_source& from_;
    fleet workers_;
    bool ready_ = false;
    abort_source ending_; // fires when somebody has asked for the end
    nursery chores_;      // what goes on beside
    admin::http_server admin_;
};

} // namespace

int run_server(server_source from) {
    try {
        linux_kernel os;
        fleet::endings e;
        loop l(os);
        // Without a file a hang-up is what it is for every program: the end of the terminal.
        signal_set signals =
            from.again ? signal_set({SIGTERM, SIGINT, SIGUSR1, SIGHUP}) : signal_set({SIGTERM, SIGINT, SIGUSR1});
        std::signal(SIGPIPE, SIG_IGN);
        const server_options& o = from.first->of().server;
        const std::unique_ptr<access_log> log = o.access_log ? std::make_unique<access_log>(STDOUT_FILENO) : nullptr;
        server s(from, l, log.get(), e);
        s.start();
        std::fputs(s.ready_line().c_str(), stdout);
        std::fflush(stdout);
        if (const auto end = l.run(s.supervise(signals)); !end) {
            fmt::print(stderr, "headgate: {}\n", end.error().message());
            return 1;
        }
        return 0;
    } catch (const std::exception& e) {
        fmt::print(stderr, "headgate: {}\n", e.what());
        return 1;
    }
}

} // namespace headgate::gateway
