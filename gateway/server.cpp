#include <headgate/core/memory_budget.hpp>
#include <headgate/core/race.hpp>
#include <headgate/core/sleep.hpp>
#include <headgate/io/offload.hpp>
#include <headgate/io/signals.hpp>

#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>

#include <fmt/format.h>
#include <unistd.h>

#include <gateway/machine_memory.hpp>
#include <gateway/server.hpp>
#include <gateway/worker_thread.hpp>

namespace headgate::gateway {

namespace {

// Requests that are aborted still get their answer; this is how long that may take.
constexpr duration farewell_time = 1s;

task<> until(abort_signal s) { co_await s.wait(); }
task<> wait_for(duration d) { co_await sleep_for(d); }

// Workers share a port (SO_REUSEPORT). Another gateway must not: it would get a part of the connections and nobody
// would know.
std::string check_free(const address& at) {
    if (at.family() == AF_UNIX || at.port() == 0) return {};
    const auto alone = listener::open(at);
    return alone ? std::string() : "cannot listen on " + at.text() + ": " + alone.error().message();
}

// Which workers have ended: kept on the main thread, and outlives its loop, where the workers report.
struct endings {
    std::size_t running = 0;
    abort_source all_ended;
};

class server {
public:
    server(server_source& from, loop& main, access_log* log, endings& e)
        : from_(from), options_(from.first->of().server), endings_(e) {
        for (const listener_config& l : from.first->of().listeners)
            if (l.listen.family() == AF_UNIX) options_.workers = 1; // the path of a Unix socket cannot be shared
        if (options_.connections_per_client_max != 0) clients_.emplace(options_.connections_per_client_max);
        if (options_.memory_limit == 0) options_.memory_limit = machine_memory() / 2;
        if (options_.memory_limit != unlimited) budget_.emplace(std::max(options_.memory_limit, memory_limit_min));
        shared_ = {.options = options_,
                   .log = log,
                   .clients = clients_ ? &*clients_ : nullptr,
                   .budget = budget_ ? &*budget_ : nullptr,
                   .ended = [&main, &e] {
                       call_on(main, [&e] {
                           if (--e.running == 0) e.all_ended.abort();
                       });
                   }};
    }

    // Throws if a worker or a listener cannot be started.
    void start() {
        while (workers_.size() < options_.workers) {
            workers_.push_back(std::make_unique<worker_thread>(shared_));
            ++endings_.running;
        }
        if (const std::string wrong = change_to(std::exchange(from_.first, nullptr)); !wrong.empty())
            throw std::runtime_error(wrong);
        if (options_.certificate_check_interval != forever) chores_.spawn(watch_files());
    }

    std::string ready_line() const {
        std::string where;
        for (const listener_config& l : current_->of().listeners)
            where += (where.empty() ? "" : " ") + bound_.at(l.listen.text()).text();
        return fmt::format("headgate: listening on {}, {}, {} worker{}\n", where, from_.about, workers_.size(),
                           workers_.size() == 1 ? "" : "s");
    }

    task<> supervise(signal_set& signals) {
        for (;;) {
            const int s = co_await signals.next();
            if (s == SIGUSR1)
                try_print_live();
            else if (s == SIGHUP)
                reload();
            else
                break;
        }
        chores_.clear();
        for (const auto& w : workers_) w->drain();
        co_await race(until(endings_.all_ended.signal()), wait_for(options_.drain_timeout), second_signal(signals));
        if (endings_.running == 0) co_return;
        for (const auto& w : workers_) w->abort();
        co_await race(until(endings_.all_ended.signal()), wait_for(farewell_time), second_signal(signals));
    }

private:
    // All workers serve `next` from now on, or none does: then the text says why.
    std::string change_to(const std::shared_ptr<const snapshot>& next) {
        if (next->reads_files() && !files_) shared_.files = &files_.emplace();
        for (const listener_config& l : next->of().listeners)
            if (!bound_.contains(l.listen.text()))
                if (std::string wrong = check_free(l.listen); !wrong.empty()) return wrong;
        bound_addresses bound = bound_;
        for (const auto& w : workers_) {
            std::string wrong = w->prepare(next, bound);
            if (wrong.empty()) continue;
            for (const auto& other : workers_) other->forget();
            return wrong;
        }
        for (const auto& w : workers_) w->commit();
        current_ = next;
        bound_.clear();
        for (const listener_config& l : next->of().listeners)
            bound_.emplace(l.listen.text(), bound.at(l.listen.text()));
        return {};
    }

    // What was read may be half of what somebody is about to write: until it is right it is tried again each time, and
    // told once.
    task<> watch_files() {
        std::string told;
        for (;;) {
            co_await sleep_for(options_.certificate_check_interval);
            if (!current_->files_changed()) continue;
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
            const auto next = std::make_shared<snapshot>(current_->of(), current_.get());
            for (const std::string& w : next->warnings()) fmt::print(stderr, "headgate: warning: {}\n", w);
            return change_to(next);
        } catch (const std::exception& e) {
            return e.what();
        }
    }

    void reload() {
        auto next = from_.again(*current_);
        const std::string wrong = next ? change_to(*next) : next.error();
        if (wrong.empty())
            fmt::print(stderr, "headgate: reloaded: {} listener(s), {} route(s), {} upstream(s)\n",
                       (*next)->of().listeners.size(), (*next)->of().routes.size(), (*next)->of().upstreams.size());
        else
            fmt::print(stderr, "{}\nheadgate: not reloaded; what was served before is served on\n", wrong);
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

    void try_print_live() noexcept {
        try {
            print_live();
        } catch (const std::exception& e) { // no memory, or nobody who reads: no reason to end
            std::fprintf(stderr, "headgate: no snapshot: %s\n", e.what());
        }
    }
    void print_live() {
        live_counts all;
        for (const auto& w : workers_) all += w->live();
        fmt::print(stderr,
                   "headgate: live connections={} requests={} upstream_busy={} upstream_idle={} frames={} "
                   "descriptors={} waits={} timers={} buffer_bytes={} pipes={} memory={}\n",
                   all.connections, all.requests, all.upstream_busy, all.upstream_idle, all.frames, all.descriptors,
                   all.waits, all.timers, all.buffer_bytes, all.pipes, all.memory);
    }

    server_source& from_;
    server_options options_;
    std::optional<client_table> clients_;
    std::optional<memory_budget> budget_;
    std::optional<offload_pool> files_; // outlives the workers
    worker_thread::shared shared_;
    bound_addresses bound_;
    endings& endings_;
    std::vector<std::unique_ptr<worker_thread>> workers_;
    std::shared_ptr<const snapshot> current_;
    nursery chores_; // what goes on beside on the main thread
};

} // namespace

int run_server(server_source from) {
    try {
        linux_kernel os;
        endings e;
        loop l(os);
        const bool reloads = from.again != nullptr;
        signal_set signals =
            reloads ? signal_set({SIGTERM, SIGINT, SIGUSR1, SIGHUP}) : signal_set({SIGTERM, SIGINT, SIGUSR1});
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
