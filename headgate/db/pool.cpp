#include <headgate/db/pool.hpp>

#include <algorithm>
#include <new>

namespace headgate::db {

// One connection with what the pool knows of it. Lent, it is its lease's; idle, the pool's.
struct detail::pool_entry : list_node {
    // Looks at an idle connection when its server says something.
    struct watch : io_wait {
        pool_entry* self = nullptr;
    };

    pool* home = nullptr; // none if it has gone
    permit counted;       // held unless idle
    std::unique_ptr<connection> session;
    time_point made{};
    time_point since{}; // when it was lent, or became idle
    watch server;
};

connection& lease::operator*() const noexcept { return *entry_->session; }

void lease::give_back() noexcept {
    std::unique_ptr<detail::pool_entry> e(std::exchange(entry_, nullptr));
    if (!e || !e->home) return;
    pool& home = *e->home;
    home.end_lease(*e);
    home.keep(std::move(e));
}

void lease::discard() noexcept {
    std::unique_ptr<detail::pool_entry> e(std::exchange(entry_, nullptr));
    if (!e || !e->home) return;
    pool& home = *e->home;
    home.end_lease(*e);
    home.drop(std::move(e));
}

void lease::abandon() noexcept {
    std::unique_ptr<detail::pool_entry> e(std::exchange(entry_, nullptr));
    if (!e || !e->home) return;
    pool& home = *e->home;
    home.end_lease(*e);
    home.abandon(std::move(e));
}

pool::pool(connector& make, pool_options o) : make_(make), options_(o), permits_(o.size, o.queue_max) {
    expiry_.self = this;
    expiry_.fire = [](timer& t) { static_cast<expiry&>(t).self->close_expired(); };
}

pool::~pool() {
    recoveries_.clear();
    while (lent_.linked()) {
        auto& e = static_cast<entry&>(*lent_.next);
        e.unlink();
        e.counted.forget();
        e.home = nullptr;
    }
    while (idle_.linked()) delete &static_cast<entry&>(*idle_.next);
}

task<lease> pool::acquire(duration limit) {
    const executor& clock = executor::current();
    limit = std::min(limit, options_.acquire_timeout);
    const time_point begin = clock.turn_time();
    auto counted = co_await permits_.admit(limit);
    if (!counted) {
        ++(counted.error() == errc::overloaded ? stats_.refused : stats_.acquire_timeouts);
        co_await fail(counted.error(), counted.error() == errc::overloaded
                                           ? "too many wait for a database connection"
                                           : "no database connection came free in time");
    }
    while (std::unique_ptr<entry> e = take_idle()) {
        e->counted = std::move(*counted);
        const bool ask = clock.turn_time() - e->since >= options_.check_after;
        e->since = clock.turn_time();
        lent_.push_back(*e);
        lease taken(*e.release());
        bool good = (*taken).alive();
        if (good && ask) {
            // Given up in the middle of it, the connection is brought back like from any other work.
            const auto answer = co_await attempt((*taken).check());
            good = answer && *answer;
        }
        if (good) co_return taken;
        // Its place is kept for the next one.
        std::unique_ptr<entry> dead(std::exchange(taken.entry_, nullptr));
        *counted = std::move(dead->counted);
        drop(std::move(dead));
    }

    struct counter {
        std::size_t& n;
        explicit counter(std::size_t& of) : n(++of) {}
        counter(const counter&) = delete;
        counter& operator=(const counter&) = delete;
        ~counter() { --n; }
    };
    auto e = std::make_unique<entry>();
    e->counted = std::move(*counted);
    {
        const counter connecting(stats_.connecting);
        const duration left = limit == forever ? forever : limit - (clock.turn_time() - begin);
        auto made = co_await attempt(make_.connect(std::max(left, duration::zero())));
        if (!made) {
            ++stats_.connect_failures;
            e.reset();
            co_await fail(made.error().code, std::move(made.error().detail));
        }
        e->session = std::move(*made);
    }
    ++stats_.created;
    e->home = this;
    e->made = e->since = clock.turn_time();
    lent_.push_back(*e);
    co_return lease(*e.release());
}

std::unique_ptr<pool::entry> pool::take_idle() noexcept {
    while (idle_.linked()) {
        std::unique_ptr<entry> e(&static_cast<entry&>(*idle_.next));
        e->unlink();
        e->server.leave();
        --stats_.idle;
        if (!expired(*e)) return e;
        drop(std::move(e));
    }
    expiry_.disarm();
    return nullptr;
}

bool pool::expired(const entry& e) const noexcept {
    const time_point now = executor::current().turn_time();
    return e.made <= retired_at_ || now - e.made >= options_.lifetime || now - e.since >= options_.idle_timeout;
}

void pool::end_lease(entry& e) noexcept {
    e.unlink();
    const duration held = executor::current().now() - e.since;
    const double seconds = std::chrono::duration<double>(held).count();
    const auto bucket = std::ranges::lower_bound(pool_stats::hold_seconds, seconds) - pool_stats::hold_seconds.begin();
    ++stats_.held_for[static_cast<std::size_t>(bucket)];
    ++stats_.leases;
    stats_.held_in_all += held;
}

// Idle first, and then its permit goes: whoever gets that finds it.
void pool::keep(std::unique_ptr<entry> e) noexcept {
    e->since = executor::current().turn_time();
    if (expired(*e)) return drop(std::move(e));
    permit counted = std::move(e->counted);
    if (slot* s = e->session->watched()) {
        e->server.self = e.get();
        e->server.run = [](ready& r) {
            entry& idle = *static_cast<entry::watch&>(static_cast<io_wait&>(r)).self;
            if (idle.session->alive()) return;
            pool& home = *idle.home;
            idle.unlink();
            --home.stats_.idle;
            home.drop(std::unique_ptr<entry>(&idle));
        };
        e->server.enter(s->reading);
        if (s->readable) executor::current().post(e->server); // it has said something already
    }
    ++stats_.idle;
    idle_.push_front(*e.release());
    arm_expiry();
}

void pool::drop(std::unique_ptr<entry> e) noexcept {
    ++stats_.discarded;
    e.reset(); // closed first; then its permit passes on
}

void pool::abandon(std::unique_ptr<entry> e) noexcept {
    ++stats_.cancels;
    try {
        recoveries_.spawn(recover(this, std::move(e)));
    } catch (const std::bad_alloc&) {
        ++stats_.discarded; // it has been closed: there is no memory to say goodbye with
    }
}

task<> pool::recover(pool* self, std::unique_ptr<entry> e) {
    const auto usable = co_await attempt(e->session->recover());
    if (!usable || !*usable) {
        self->drop(std::move(e));
        co_return;
    }
    ++self->stats_.recovered;
    self->keep(std::move(e));
}

void pool::retire() noexcept {
    retired_at_ = executor::current().turn_time();
    while (take_idle()) {
    }
}

void pool::close_expired() noexcept {
    for (list_node* n = idle_.next; n != &idle_;) {
        std::unique_ptr<entry> e(&static_cast<entry&>(*n));
        n = n->next;
        if (!expired(*e)) {
            static_cast<void>(e.release());
            continue;
        }
        e->unlink();
        --stats_.idle;
        drop(std::move(e));
    }
    arm_expiry();
}

void pool::arm_expiry() noexcept {
    const auto after = [](time_point t, duration d) { return d < time_point::max() - t ? t + d : time_point::max(); };
    time_point first = time_point::max();
    for (const list_node* n = idle_.next; n != &idle_; n = n->next) {
        const auto& e = static_cast<const entry&>(*n);
        first = std::min({first, after(e.made, options_.lifetime), after(e.since, options_.idle_timeout)});
    }
    if (first == time_point::max())
        expiry_.disarm();
    else
        executor::current().arm_at(expiry_, first);
}

pool_stats pool::stats() const noexcept {
    pool_stats s = stats_;
    s.waiting = permits_.waiting();
    s.recovering = recoveries_.size();
    for (const list_node* n = lent_.next; n != &lent_; n = n->next) ++s.held;
    return s;
}

} // namespace headgate::db
