#include <headgate/core/race.hpp>
#include <headgate/core/sleep.hpp>
#include <headgate/core/waits.hpp>
#include <headgate/io/signals.hpp>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>

#include <fmt/format.h>
#include <unistd.h>

#include <gateway/admin/api.hpp>
#include <gateway/fleet.hpp>
#include <gateway/post_mortem/symbols.hpp>
#include <gateway/server.hpp>
#include <gateway/service_manager.hpp>
#include <gateway/successor.hpp>
#include <gateway/tell.hpp>
#include <gateway/trace/exporter.hpp>

namespace headgate::gateway {

namespace {

// Requests that are aborted still get their answer; this is how long that may take.
constexpr duration farewell_time = 1s;

// What the admin server's socket is called when it is handed over.
constexpr const char* admin_socket = "admin";

class server {
public:
    // `log` and `traces` may be null.
    server(server_source& from, loop& main, access_log* log, trace_exporter* traces, fleet::endings& e)
        : from_(from), main_(main), log_(log), traces_(traces),
          workers_(from.first->of(), main, log, traces ? &traces->traces() : nullptr, e), shown_(workers_, facts_),
          admin_(endpoints()) {}
    server(const server&) = delete;
    server& operator=(const server&) = delete;
    ~server() {
        if (traces_) traces_->stop();
    }

    // Throws if a worker or a listener cannot be started.
    void start() {
        if (traces_) traces_->start(main_);
        workers_.start();
        if (const admin_options& a = from_.first->of().admin; a.enabled) start_admin(a);
        if (const std::string wrong = workers_.change_to(std::exchange(from_.first, nullptr), &from_.given);
            !wrong.empty())
            throw std::runtime_error(wrong);
        for (const std::string& where : from_.given.close_rest())
            tell_line(log_level::warning, "warning: no listener is for the socket {} that was handed over", where);
        if (options().certificate_check_interval != forever) chores_.spawn(watch_files());
        if (manager_.watchdog_interval() != forever) watchdog_.spawn(keep_alive());
        ready_ = true;
        manager_.ready(status());
        from_.given.ready();
    }

    std::string ready_line() {
        const std::string admin = admin_.listening() ? ", admin on " + admin_.listening()->where().text() : "";
        return fmt::format("headgate: listening on {}, {}, {} worker{}{}\n", workers_.addresses(), from_.about,
                           workers_.size(), workers_.size() == 1 ? "" : "s", admin);
    }

    task<> supervise(signal_set& signals) {
        co_await race(handle(signals), wait_for(ending_.signal()));
        ready_ = false;
        chores_.clear();
        co_await end_all(signals);
        if (traces_) co_await race(traces_->finish(), wait_for(farewell_time), second_signal(signals));
    }

private:
    task<> end_all(signal_set& signals) {
        if (handed_over_) co_return co_await end(signals, options().drain_timeout);
        manager_.stopping();
        const bool hurried = options().drain_delay != duration::zero() &&
                             (co_await race(wait_for(options().drain_delay), second_signal(signals))).index() == 1;
        workers_.drain();
        co_await end(signals, hurried ? duration::zero() : options().drain_timeout);
    }

    const server_options& options() const noexcept { return workers_.options(); }

    void start_admin(const admin_options& o) {
        const address& at = o.listen;
        admin_.set_token(token_of(o));
        auto given = from_.given.take(admin_socket, at);
        auto l = given.empty() ? listener::open(at)
                               : listener::adopt(given.front().fd.release(), {.keep_path = given.front().keep_path});
        if (!l) throw std::runtime_error("cannot listen on " + at.text() + ": " + l.error().message());
        admin_.start(std::move(*l));
    }

    std::string status() const {
        const config& c = workers_.current().of();
        return fmt::format("serving {} listener(s), {} route(s), {} upstream(s)", c.listeners.size(), c.routes.size(),
                           c.upstreams.size());
    }

    // Throws if the file has none.
    static std::string token_of(const admin_options& o) {
        if (o.token_file.empty()) return {};
        std::ifstream file(o.token_file);
        std::string token;
        if (!(file >> token)) throw std::runtime_error("there is no token in " + o.token_file);
        return token;
    }

    // The listeners are another's now.
    void let_go() {
        if (listener* l = admin_.listening()) l->keep_path();
        admin_.stop();
        workers_.hand_over();
        handed_over_ = true;
        ending_.abort();
    }

    task<> end(signal_set& signals, duration limit) {
        if (limit != duration::zero())
            co_await race(wait_for(workers_.all_ended()), wait_for(limit), second_signal(signals));
        if (!workers_.running()) co_return;
        workers_.abort();
        co_await race(wait_for(workers_.all_ended()), wait_for(farewell_time), second_signal(signals));
    }

    // Until the one that ends.
    task<> handle(signal_set& signals) {
        for (;;) {
            const int s = co_await signals.next();
            if (s == SIGUSR1)
                on_usr1();
            else if (s == SIGHUP)
                reload();
            else if (s == SIGUSR2)
                chores_.spawn(upgrade_on_signal());
            else
                co_return;
        }
    }
    task<> second_signal(signal_set& signals) {
        for (;;) {
            const int s = co_await signals.next();
            if (s == SIGUSR1)
                on_usr1();
            else if (s != SIGHUP && s != SIGUSR2)
                co_return;
        }
    }

    // ---- what is served

    admin::answer reload() {
        if (!from_.again)
            return {.status = 409, .text = "what this serves comes from its command line: there is no file\n"};
        if (upgrading_) return {.status = 409, .text = "an upgrade is under way\n"};
        manager_.reloading();
        const admin::answer a = read_configuration_again();
        manager_.ready(a.status == 200 ? status() : status() + "; the last reload has failed");
        return a;
    }
    admin::answer read_configuration_again() {
        auto next = from_.again(workers_.current());
        std::string wrong = next ? workers_.change_to(*next) : next.error();
        ++(wrong.empty() ? facts_.reloads : facts_.reloads_failed);
        if (!wrong.empty()) {
            if (!wrong.ends_with('\n')) wrong += '\n';
            wrong += "headgate: not reloaded; what was served before is served on\n";
            tell(log_level::error, wrong);
            return {.status = 422, .text = std::move(wrong)};
        }
        const config& c = (*next)->of();
        std::string text = fmt::format("headgate: reloaded: {} listener(s), {} route(s), {} upstream(s)\n",
                                       c.listeners.size(), c.routes.size(), c.upstreams.size());
        tell(log_level::info, text);
        return {.text = std::move(text),
                .json = fmt::format("{{\"listeners\":{},\"routes\":{},\"upstreams\":{}}}\n", c.listeners.size(),
                                    c.routes.size(), c.upstreams.size())};
    }

    // ---- another process in this one's place

    task<> upgrade_on_signal() { static_cast<void>(co_await upgrade()); }

    // It has the sockets before this one lets go of them, and says that it is ready before this one stops accepting: at
    // no time does nobody listen, and nothing that waits in them is lost.
    task<admin::answer> upgrade() {
        if (!ready_) co_return admin::answer{.status = 409, .text = "the gateway is draining\n"};
        if (upgrading_) co_return admin::answer{.status = 409, .text = "an upgrade is under way\n"};
        upgrading_ = true;
        auto next = start_successor();
        std::string wrong = next ? co_await next->ready(options().upgrade_timeout) : next.error();
        upgrading_ = false;
        if (wrong.empty() && !ready_) wrong = "the gateway is draining";
        if (!wrong.empty()) {
            wrong += "\nheadgate: not upgraded; this process serves on\n";
            tell(log_level::error, wrong);
            co_return admin::answer{.status = 422, .text = std::move(wrong)};
        }
        const pid_t pid = next->release();
        manager_.replaced_by(pid);
        let_go();
        std::string text = fmt::format("headgate: upgraded: process {} serves, {} ends\n", pid, ::getpid());
        tell(log_level::info, text);
        co_return admin::answer{.text = std::move(text)};
    }
    std::expected<successor, std::string> start_successor() {
        try {
            std::vector<handed_socket> sockets = workers_.share();
            if (const listener* l = admin_.listening())
                sockets.push_back(
                    {.name = admin_socket, .fd = owned_fd::copy_of(l->fd()), .keep_path = l->keeps_path()});
            return successor::start(from_.arguments, sockets);
        } catch (const std::exception& e) {
            return std::unexpected(e.what());
        }
    }

    // Says that all works only if it does.
    task<> keep_alive() {
        for (;;) {
            workers_.probe();
            co_await sleep_for(manager_.watchdog_interval());
            if (workers_.all_answered()) manager_.alive();
        }
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
                tell_line(log_level::info, "certificates have changed and were read again");
            else if (wrong != told)
                tell(log_level::error,
                     wrong + "\nheadgate: certificates have changed and cannot be used; what was served before is "
                             "served on\n");
            told = std::move(wrong);
        }
    }
    std::string read_files_again() {
        try {
            const snapshot& now = workers_.current();
            const auto next = std::make_shared<snapshot>(now.of(), &now, now.origin());
            for (const std::string& w : next->warnings()) tell_line(log_level::warning, "warning: {}", w);
            return workers_.change_to(next);
        } catch (const std::exception& e) {
            return e.what();
        }
    }

    // ---- what the admin server answers

    std::vector<admin::endpoint> endpoints() {
        std::vector<admin::endpoint> all = {
            {"GET", "/livez", [this](const admin::asked&) { return answer_livez(); }, true},
            {"GET", "/readyz", [this](const admin::asked&) { return answer_readyz(); }, true},
            {"GET", "/api/v1/dump", [this](const admin::asked&) { return answer_dump(); }},
            {"POST", "/api/v1/reload", [this](const admin::asked&) { return answer_reload(); }},
            {"POST", "/api/v1/upgrade", [this](const admin::asked&) { return upgrade(); }},
            {"POST", "/api/v1/drain", [this](const admin::asked&) { return answer_drain(); }}};
        std::ranges::move(shown_.endpoints(), std::back_inserter(all));
        return all;
    }
    task<admin::answer> answer_livez() { co_return admin::answer{.text = "ok\n"}; }
    task<admin::answer> answer_readyz() {
        if (ready_) co_return admin::answer{.text = "ok\n"};
        co_return admin::answer{.status = 503, .text = "the gateway is draining\n"};
    }
    task<admin::answer> answer_dump() {
        const symbols names;
        std::string text = fmt::format("headgate {}, process {}\n", HEADGATE_VERSION, ::getpid());
        for (const worker_stacks& s : workers_.stacks()) text += "\n" + text_of(s, names);
        co_return admin::answer{.text = std::move(text)};
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

    void on_usr1() noexcept {
        if (log_) log_->reopen();
        try_print_live();
    }
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
    loop& main_;
    access_log* log_;
    trace_exporter* traces_;
    fleet workers_;
    service_manager manager_;
    bool ready_ = false;
    bool upgrading_ = false;
    bool handed_over_ = false;
    abort_source ending_; // fires when somebody has asked for the end
    nursery chores_;      // what goes on beside, until the end begins
    nursery watchdog_;
    admin::server_facts facts_{.ready = ready_, .traces = traces_};
    admin::api shown_;
    admin::http_server admin_;
};

} // namespace

int run_server(server_source from) {
    try {
        linux_kernel os;
        fleet::endings e;
        std::optional<trace_exporter> traces;
        if (const tracing_options& t = from.first->of().tracing; t.enabled) traces.emplace(t);
        loop l(os);
        // Without a file a hang-up is what it is for every program: the end of the terminal.
        signal_set signals = from.again ? signal_set({SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGHUP})
                                        : signal_set({SIGTERM, SIGINT, SIGUSR1, SIGUSR2});
        std::signal(SIGPIPE, SIG_IGN);
        const server_options& o = from.first->of().server;
        const std::unique_ptr<access_log> log =
            o.access_log.enabled ? std::make_unique<access_log>(o.access_log) : nullptr;
        server s(from, l, log.get(), traces ? &*traces : nullptr, e);
        s.start();
        std::fputs(s.ready_line().c_str(), stdout);
        std::fflush(stdout);
        const auto end = l.run(s.supervise(signals));
        for (const int late : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2}) std::signal(late, SIG_IGN);
        if (!end) {
            fmt::print(stderr, "headgate: {}\n", end.error().message());
            return 1;
        }
        return 0;
    } catch (const std::exception& e) {
        fmt::print(stderr, "headgate: {}\n", e.what());
        from.given.failed(fmt::format("headgate: {}\n", e.what()));
        return 1;
    }
}

} // namespace headgate::gateway
