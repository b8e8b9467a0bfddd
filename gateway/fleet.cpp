#include <algorithm>

#include <fmt/format.h>

#include <gateway/fleet.hpp>
#include <gateway/machine_memory.hpp>
#include <gateway/post_mortem/call_stack.hpp>
#include <gateway/tell.hpp>

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

fleet::fleet(const config& c, loop& main, access_log* log, tracer* traces, endings& e)
    : options_(c.server), main_(main), endings_(e) {
    for (const listener_config& l : c.listeners)
        if (l.listen.family() == AF_UNIX) options_.workers = 1; // the path of a Unix socket cannot be shared
    options_.sticky_key = {main.os().random(), main.os().random()};
    options_.notices = true;
    if (options_.connections_per_client_max != 0) clients_.emplace(options_.connections_per_client_max);
    if (options_.memory_limit == 0) options_.memory_limit = machine_memory() / 2;
    if (options_.memory_limit != unlimited) budget_.emplace(std::max(options_.memory_limit, memory_limit_min));
    if (options_.loop_stall_threshold != forever)
        watch_.emplace(
            options_.loop_stall_threshold, [](const std::string& text) { tell(log_level::warning, text); },
            &text_of_calls);
    shared_ = {.options = options_,
               .log = log,
               .clients = clients_ ? &*clients_ : nullptr,
               .traces = traces,
               .budget = budget_ ? &*budget_ : nullptr,
               .watch = watch_ ? &*watch_ : nullptr,
               .ended = [&main, &e] {
                   call_on(main, [&e] {
                       if (--e.running == 0) e.all_ended.abort();
                   });
               }};
}

void fleet::start() {
    while (workers_.size() < options_.workers) {
        workers_.push_back(std::make_unique<worker_thread>(shared_, workers_.size()));
        ++endings_.running;
    }
}

// A socket that shares its port has connections of its own that wait: it goes to one worker, whatever the number of
// sockets and of workers. A worker for which there is none opens one beside them. Another socket goes to all workers.
void fleet::divide(const std::string& name, std::vector<handed_socket> sockets, std::vector<given_sockets>& shares) {
    for (std::size_t n = 0; n < sockets.size(); ++n) {
        if (shares_port(sockets[n].fd.get())) {
            shares[n % shares.size()][name].push_back(std::move(sockets[n]));
            continue;
        }
        for (std::size_t w = 1; w < shares.size(); ++w)
            shares[w][name].push_back(
                {.fd = owned_fd::copy_of(sockets[n].fd.get()), .keep_path = sockets[n].keep_path});
        shares[0][name].push_back(std::move(sockets[n]));
    }
}

std::string fleet::change_to(const std::shared_ptr<const snapshot>& next, inheritance* given) {
    if (next->reads_files() && !files_) shared_.files = &files_.emplace();
    std::vector<given_sockets> shares(workers_.size());
    bound_addresses bound = bound_;
    for (const listener_config& l : next->of().listeners) {
        const std::string name = l.listen.text();
        if (bound_.contains(name)) continue;
        if (auto sockets = given ? given->take(name, l.listen) : std::vector<handed_socket>(); !sockets.empty()) {
            bound.emplace(name, listening_at(sockets.front().fd.get()));
            divide(name, std::move(sockets), shares);
        } else if (std::string wrong = check_free(l.listen); !wrong.empty()) {
            return wrong;
        }
    }
    for (std::size_t i = 0; i < workers_.size(); ++i) {
        std::string wrong = workers_[i]->prepare(next, bound, std::move(shares[i]));
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

std::vector<handed_socket> fleet::share() {
    std::vector<handed_socket> all;
    for (const auto& w : workers_) std::ranges::move(w->share(), std::back_inserter(all));
    return all;
}

void fleet::hand_over() {
    for (const auto& w : workers_) w->hand_over();
}

void fleet::probe() {
    for (const auto& w : workers_) w->probe();
}

bool fleet::all_answered() const noexcept {
    return std::ranges::all_of(workers_, [](const auto& w) { return w->has_answered(); });
}

void fleet::drain() {
    for (const auto& w : workers_) w->drain();
}

void fleet::abort() {
    for (const auto& w : workers_) w->abort();
}

std::vector<worker_stacks> fleet::stacks() {
    std::vector<worker_stacks> all;
    for (const auto& w : workers_) {
        std::string name = fmt::format("worker {}", all.size());
        all.push_back(w->stacks(answer_time).value_or(worker_stacks{.name = {}, .frames = std::nullopt}));
        all.back().name = std::move(name);
    }
    return all;
}

std::vector<turn_times::counts> fleet::turns() const {
    std::vector<turn_times::counts> all;
    for (const auto& w : workers_) all.push_back(w->turns());
    return all;
}

std::optional<std::uint64_t> fleet::stalls() const noexcept {
    return watch_ ? std::optional(watch_->stalls()) : std::nullopt;
}

live_counts fleet::live() {
    live_counts all;
    for (const auto& w : workers_) all += w->live();
    return all;
}

} // namespace headgate::gateway
