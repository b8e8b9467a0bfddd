#include <headgate/core/race.hpp>
#include <headgate/core/waits.hpp>

#include <exception>

#include <gateway/proxy.hpp>
#include <gateway/tell.hpp>
#include <gateway/tunnel.hpp>
#include <gateway/worker_thread.hpp>

namespace headgate::gateway {

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

namespace {

// What serves one address.
struct door {
    std::unique_ptr<service> serving;
    listener_protocol protocol;
};

task<> until_drained(worker& w) { co_await w.drained(); }

// How long databases may take to confirm that they have stopped what was given up.
constexpr duration recovery_time = 5s;

} // namespace

// What is on the worker's thread. Connections use the services, so they go before them.
struct worker_thread::inside {
    inside(const shared& s, std::size_t number) : with(s), home(os), on(home, s.options, s.log, s.clients, s.traces) {
        on.number = number;
        if (with.watch) with.watch->add(home, "worker " + std::to_string(number));
    }
    ~inside() {
        on.close();
        if (with.watch) with.watch->forget(home);
    }

    const shared& with;
    linux_kernel os;
    loop home;
    abort_source drain, stop, leave;
    std::map<std::string, door, std::less<>> doors;
    std::vector<std::unique_ptr<service>> closed; // services whose doors are closed, until their connections have ended
    std::shared_ptr<const snapshot> next;
    std::vector<std::pair<const listener_config*, listener>> opened; // for `next`
    worker on;

    const door* find(const listener_config& l) const {
        const auto found = doors.find(l.listen.text());
        return found == doors.end() || found->second.protocol != l.protocol ? nullptr : &found->second;
    }

    std::string take_over(const listener_config& l, std::vector<handed_socket>& sockets) {
        for (handed_socket& s : sockets) {
            auto opening = listener::adopt(s.fd.release(), {.alive = on.options().alive, .keep_path = s.keep_path});
            if (!opening) return "cannot take over " + l.listen.text() + ": " + opening.error().message();
            opened.emplace_back(&l, std::move(*opening));
        }
        return {};
    }

    std::string prepare(std::shared_ptr<const snapshot> s, bound_addresses& at, given_sockets& given) {
        if (with.files) home.set_offload_pool(*with.files);
        for (const listener_config& l : s->of().listeners) {
            if (find(l)) continue;
            const std::string name = l.listen.text();
            if (const auto its = given.find(name); its != given.end()) {
                if (std::string wrong = take_over(l, its->second); !wrong.empty()) {
                    opened.clear();
                    return wrong;
                }
                continue;
            }
            const auto known = at.find(name);
            auto opening = listener::open(known == at.end() ? l.listen : known->second,
                                          {.alive = on.options().alive, .reuse_port = l.listen.family() != AF_UNIX});
            if (!opening) {
                opened.clear();
                return "cannot listen on " + name + ": " + opening.error().message();
            }
            at.insert_or_assign(name, opening->where());
            opened.emplace_back(&l, std::move(*opening));
        }
        next = std::move(s);
        return {};
    }

    void commit() {
        std::erase_if(closed, [](const auto& s) { return s->connections == 0; });
        for (auto d = doors.begin(); d != doors.end();) {
            const snapshot::entrance* still = next->find(d->first);
            if (still && still->config->protocol == d->second.protocol) {
                ++d;
                continue;
            }
            on.stop(*d->second.serving);
            closed.push_back(std::move(d->second.serving));
            d = doors.erase(d);
        }
        on.config().apply(std::move(next));
        for (auto& [l, opening] : opened) {
            const std::string name = l->listen.text();
            door& d = doors.try_emplace(name, nullptr, l->protocol).first->second;
            if (!d.serving && l->protocol == listener_protocol::http) d.serving = std::make_unique<proxy>(on, name);
            if (!d.serving) d.serving = std::make_unique<tunnel>(on, name);
            on.start(std::move(opening), *d.serving);
        }
        opened.clear();
    }

    task<> serve() {
        co_await drain.signal().wait();
        on.drain();
        co_await race(until_drained(on), wait_for(stop.signal()));
        co_await race(on.config().recovered(), wait_for(recovery_time));
    }
};

worker_thread::worker_thread(const shared& s, std::size_t number) : shared_(s), number_(number) {
    std::promise<inside*> ready;
    auto started = ready.get_future();
    thread_ = std::thread([this, r = std::move(ready)]() mutable { run(std::move(r)); });
    try {
        inside_ = started.get();
    } catch (...) {
        thread_.join();
        throw;
    }
}

worker_thread::~worker_thread() {
    call([](inside& i) { i.drain.abort(), i.stop.abort(), i.leave.abort(); });
    thread_.join();
}

// When it has drained it says so, and keeps its loop until it is told to leave: until then others may still post there.
//
// An exception that arrives here once the others know of the worker is a defect: the process ends, and whoever watches
// it starts another.
void worker_thread::run(std::promise<inside*> ready) {
    bool known = false;
    try {
        std::optional<budget_scope> budget;
        if (shared_.budget) budget.emplace(*shared_.budget);
        inside here(shared_, number_);
        ready.set_value(&here);
        known = true;
        if (const auto end = here.home.run(here.serve()); !end)
            tell_line(log_level::error, "a worker ended: {}", end.error().message());
        here.on.close();
        shared_.ended();
        static_cast<void>(here.home.run(wait_for(here.leave.signal())));
    } catch (const std::exception& e) {
        if (known) {
            tell_line(log_level::error, "a worker failed: {}", e.what());
            std::abort();
        }
        ready.set_exception(std::current_exception());
    }
}

void worker_thread::call(std::function<void(inside&)> f) {
    call_on(inside_->home, [i = inside_, f = std::move(f)] { f(*i); });
}

void worker_thread::call_and_wait(std::function<void(inside&)> f) {
    auto done = std::make_shared<std::promise<void>>();
    auto waiting = done->get_future();
    call([f = std::move(f), done](inside& i) {
        f(i);
        done->set_value();
    });
    waiting.get();
}

std::string worker_thread::prepare(std::shared_ptr<const snapshot> next, bound_addresses& at, given_sockets given) {
    std::string wrong;
    call_and_wait([&](inside& i) { wrong = i.prepare(next, at, given); });
    return wrong;
}
std::vector<handed_socket> worker_thread::share() {
    std::vector<handed_socket> all;
    std::exception_ptr failed;
    call_and_wait([&](inside& i) {
        try {
            for (const auto& [name, door] : i.doors)
                for (const listener* l : i.on.listeners(*door.serving))
                    all.push_back({.name = name, .fd = owned_fd::copy_of(l->fd()), .keep_path = l->keeps_path()});
        } catch (...) {
            failed = std::current_exception();
        }
    });
    if (failed) std::rethrow_exception(failed);
    return all;
}
void worker_thread::hand_over() {
    call_and_wait([](inside& i) { i.on.hand_over(), i.drain.abort(); });
}
void worker_thread::probe() {
    if (answered_.exchange(false)) call([this](inside&) { answered_ = true; });
}
void worker_thread::commit() {
    call_and_wait([](inside& i) { i.commit(); });
}
void worker_thread::forget() {
    call_and_wait([](inside& i) { i.opened.clear(), i.next.reset(); });
}
void worker_thread::drain() {
    call([](inside& i) { i.drain.abort(); });
}
void worker_thread::abort() {
    call([](inside& i) { i.on.abort(); });
}
std::optional<worker_stacks> worker_thread::stacks(duration limit) {
    auto done = std::make_shared<std::promise<worker_stacks>>();
    auto waiting = done->get_future();
    call([done](inside& i) { done->set_value(stacks_of(i.on.flows)); });
    if (waiting.wait_for(limit) != std::future_status::ready) return std::nullopt;
    return waiting.get();
}
turn_times::counts worker_thread::turns() const { return inside_->home.turns().now(); }
void worker_thread::post(std::function<void(worker&)> f) {
    call([f = std::move(f)](inside& i) {
        try {
            f(i.on);
        } catch (const std::exception& e) {
            tell_line(log_level::error, "a worker could not be asked: {}", e.what());
        }
    });
}
live_counts worker_thread::live() {
    live_counts counts;
    call_and_wait([&](inside& i) { counts = i.on.live(); });
    return counts;
}

} // namespace headgate::gateway
