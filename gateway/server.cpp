#include <headgate/core/race.hpp>
#include <headgate/core/sleep.hpp>
#include <headgate/io/linux_kernel.hpp>
#include <headgate/io/signals.hpp>

#include <csignal>
#include <cstdio>
#include <exception>
#include <future>
#include <optional>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include <gateway/server.hpp>

namespace headgate::gateway {

namespace {

// Requests that are aborted still get their answer; this is how long that may take.
constexpr duration farewell_time = 1s;

// Runs a function once on another loop's thread, and is gone after it.
void call_on(loop& l, std::function<void()> f) {
    struct call final : remote_job {
        std::function<void()> f;
    };
    auto* job = new call;
    job->f = std::move(f);
    job->run = [](remote_job& j) {
        const std::unique_ptr<call> self(static_cast<call*>(&j));
        self->f();
    };
    l.post_remote(*job);
}

// What the main thread may reach of a worker: only through its loop, and until `release` is fired there.
struct controls {
    loop* on = nullptr;
    worker* w = nullptr;
    abort_source* drain = nullptr;
    abort_source* stop = nullptr;
    abort_source* release = nullptr;
    address where;
};

// Which workers have ended: kept on the main thread, and outlives its loop, where the workers report.
struct endings {
    unsigned running = 0;
    abort_source all_ended;
};

task<> until_drained(worker& w) { co_await w.drained(); }
task<> until(abort_signal s) { co_await s.wait(); }

task<> serve_until_drained(worker& w, abort_signal drain, abort_signal stop) {
    co_await drain.wait();
    w.drain();
    co_await race(until_drained(w), until(std::move(stop)));
}

class closer {
public:
    explicit closer(worker& w) noexcept : w_(w) {}
    closer(const closer&) = delete;
    closer& operator=(const closer&) = delete;
    ~closer() { w_.close(); }

private:
    worker& w_;
};

// The life of one worker's thread. `ready` gets its controls, or the reason why there is no worker. When it has ended
// it says so by ended(), and keeps its loop until it is released: until then the main thread may still post there.
//
// An exception that arrives here once the others know of the worker is a defect, and they hold pointers to what it had:
// the process ends, and whoever watches it starts another.
void run_worker(const server_options& o, const make_service& make, access_log* log, client_table* clients,
                std::promise<controls> ready, const std::function<void()>& ended) {
    bool known = false;
    try {
        linux_kernel os;
        loop l(os);
        abort_source drain;
        abort_source stop;
        abort_source release;
        worker w(l, o, log, clients);
        const std::unique_ptr<service> s = make(w);
        const closer last(w); // the connections use the service, and must go before it
        auto listening = listener::open(o.listen, {.alive = o.alive, .reuse_port = o.listen.family() != AF_UNIX});
        if (!listening) throw std::system_error(listening.error(), "cannot listen on " + o.listen.text());
        const address where = listening->where();
        w.start(std::move(*listening), *s);
        ready.set_value({&l, &w, &drain, &stop, &release, where});
        known = true;
        const auto end = l.run(serve_until_drained(w, drain.signal(), stop.signal()));
        if (!end) fmt::print(stderr, "headgate: a worker ended: {}\n", end.error().message());
        w.close();
        ended();
        static_cast<void>(l.run(until(release.signal())));
    } catch (const std::exception& e) {
        if (known) {
            std::fprintf(stderr, "headgate: a worker failed: %s\n", e.what());
            std::abort();
        }
        ready.set_exception(std::current_exception());
    }
}

class server {
public:
    server(const server_options& o, const make_service& make, access_log* log, endings& e)
        : options_(o), make_(make), log_(log), endings_(e) {
        if (options_.connections_per_client_max != 0) clients_.emplace(options_.connections_per_client_max);
        if (options_.listen.family() == AF_UNIX) options_.workers = 1; // the path of a Unix socket cannot be shared
    }
    server(const server&) = delete;
    server& operator=(const server&) = delete;
    ~server() {
        for (const controls& c : workers_)
            call_on(*c.on, [c] { c.drain->abort(), c.stop->abort(), c.release->abort(); });
        for (std::thread& t : threads_) t.join();
    }

    // Starts all workers; the first one's address is the others', so that port 0 means one port. Throws if one cannot
    // be started.
    void start(loop& main) {
        check_free(options_.listen);
        for (unsigned i = 0; i < options_.workers; ++i) {
            std::promise<controls> ready;
            std::future<controls> started = ready.get_future();
            threads_.emplace_back([this, &main, r = std::move(ready)]() mutable {
                run_worker(options_, make_, log_, clients_ ? &*clients_ : nullptr, std::move(r),
                           [&main, e = &endings_] {
                               call_on(main, [e] {
                                   if (--e->running == 0) e->all_ended.abort();
                               });
                           });
            });
            ++endings_.running;
            workers_.push_back(started.get());
            options_.listen = workers_.front().where;
        }
    }

    task<> supervise(signal_set& signals) {
        for (;;) {
            const int s = co_await signals.next();
            if (s != SIGUSR1) break;
            try_print_live();
        }
        for (const controls& c : workers_) call_on(*c.on, [c] { c.drain->abort(); });
        co_await race(until(endings_.all_ended.signal()), wait_for(options_.drain_timeout), second_signal(signals));
        if (endings_.running == 0) co_return;
        for (const controls& c : workers_) call_on(*c.on, [c] { c.w->abort(); });
        co_await race(until(endings_.all_ended.signal()), wait_for(farewell_time), second_signal(signals));
    }

    const address& where() const { return options_.listen; }
    unsigned workers() const { return options_.workers; }

private:
    // Workers share the port (SO_REUSEPORT). Another gateway must not: it would get a part of the connections and
    // nobody would know.
    static void check_free(const address& at) {
        if (at.family() == AF_UNIX || at.port() == 0) return;
        if (const auto alone = listener::open(at); !alone)
            throw std::system_error(alone.error(), "cannot listen on " + at.text());
    }

    static task<> wait_for(duration d) { co_await sleep_for(d); }
    task<> second_signal(signal_set& signals) {
        while (co_await signals.next() == SIGUSR1) try_print_live();
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
        for (const controls& c : workers_) {
            auto counted = std::make_shared<std::promise<live_counts>>();
            std::future<live_counts> counts = counted->get_future();
            call_on(*c.on, [c, counted] { counted->set_value(c.w->live()); });
            all += counts.get();
        }
        fmt::print(stderr,
                   "headgate: live connections={} requests={} upstream_busy={} upstream_idle={} frames={} "
                   "descriptors={} waits={} timers={} buffer_bytes={} pipes={}\n",
                   all.connections, all.requests, all.upstream_busy, all.upstream_idle, all.frames, all.descriptors,
                   all.waits, all.timers, all.buffer_bytes, all.pipes);
    }

    server_options options_;
    const make_service& make_;
    access_log* log_;
    std::optional<client_table> clients_; // outlives the workers' threads
    std::vector<controls> workers_;
    std::vector<std::thread> threads_;
    endings& endings_;
};

} // namespace

int run_server(const server_options& o, const make_service& make, const std::string& forwarding_to) {
    try {
        linux_kernel os;
        endings e;
        loop l(os);
        signal_set signals({SIGTERM, SIGINT, SIGUSR1});
        std::signal(SIGPIPE, SIG_IGN);
        const std::unique_ptr<access_log> log = o.access_log ? std::make_unique<access_log>(STDOUT_FILENO) : nullptr;
        server s(o, make, log.get(), e);
        s.start(l);
        const std::string ready =
            fmt::format("headgate: listening on {}, forwarding to {}, {} worker{}\n", s.where().text(), forwarding_to,
                        s.workers(), s.workers() == 1 ? "" : "s");
        std::fputs(ready.c_str(), stdout);
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
