#include <algorithm>

#include <gateway/fleet.hpp>
#include <gateway/machine_memory.hpp>

namespace headgate::gateway {

namespace {

// Workers share a port (SO_REUSEPORT). Another gateway must not: it would get a part of the connections and nobody
// would know.
std::string check_free(const address& at) {
    if (at.family() == AF_UNIX || at.port() == 0) return {};
    const auto alone = listener::open(at);
    return alone ? std::string() : "cannot listen on " + at.text() + ": " + alone.error().message();
}

} // namespace

fleet::fleet(const config& c, loop& main, access_log* log, endings& e) : options_(c.server), endings_(e) {
    for (const listener_config& l : c.listeners)
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

void fleet::start() {
    while (workers_.size() < options_.workers) {
        workers_.push_back(std::make_unique<worker_thread>(shared_));
        ++endings_.running;
    }
}

std::string fleet::change_to(const std::shared_ptr<const snapshot>& next) {
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
    for (const listener_config& l : next->of().listeners) bound_.emplace(l.listen.text(), bound.at(l.listen.text()));
    return {};
}

std::string fleet::addresses() const {
    std::string all;
    for (const listener_config& l : current_->of().listeners)
        all += (all.empty() ? "" : " ") + bound_.at(l.listen.text()).text();
    return all;
}

void fleet::drain() {
    for (const auto& w : workers_) w->drain();
}

void fleet::abort() {
    for (const auto& w : workers_) w->abort();
}

live_counts fleet::live() {
    live_counts all;
    for (const auto& w : workers_) all += w->live();
    return all;
}

} // namespace headgate::gateway
