#include <headgate/core/chunk.hpp>
#include <headgate/core/memory_budget.hpp>
#include <headgate/core/sleep.hpp>

#include <array>
#include <new>

#include <fcntl.h>
#include <unistd.h>

#include <gateway/cause.hpp>
#include <gateway/tell.hpp>
#include <gateway/worker.hpp>

namespace headgate::gateway {

namespace {

// How long no connection is accepted when there is not even a descriptor to refuse one with.
constexpr duration shed_pause = std::chrono::milliseconds(100);

// How many connections that wait are taken from a listener that is about to be closed: twice its backlog.
constexpr int waiting_max = 2 * 4096;

// A connection does not fail of its own accord: what arrives here is an exception, for example for want of memory.
// For want of memory there may be none for the message either.
void report(void*, const flow_error& e) noexcept {
    try {
        tell_line(log_level::error, "a connection was dropped: {}", e.message());
    } catch (const std::bad_alloc&) {
        tell(log_level::error, "headgate: a connection was dropped: out of memory\n");
    }
}

upstream_surroundings surroundings_of(const server_options& o) {
    upstream_surroundings s{.alive = o.alive, .names = {}, .key = o.sticky_key, .notices = o.notices};
    for (const std::string& n : o.resolver.nameservers)
        if (const auto at = address::parse(n)) s.names.servers.push_back(*at);
    s.names.try_timeout = o.resolver.timeout;
    s.names.tries = static_cast<int>(o.resolver.tries);
    return s;
}

} // namespace

idle_connection::idle_connection(worker& w, socket& client, const service* home) noexcept
    : client_(client.state()), home_(home) {
    w.idle_.push_front(*this);
}

live_counts& live_counts::operator+=(const live_counts& o) noexcept {
    connections += o.connections;
    requests += o.requests;
    upstream_busy += o.upstream_busy;
    upstream_idle += o.upstream_idle;
    frames += o.frames;
    descriptors += o.descriptors;
    waits += o.waits;
    timers += o.timers;
    buffer_bytes += o.buffer_bytes;
    pipes += o.pipes;
    memory += o.memory;
    return *this;
}

void worker::report_chore(void*, const flow_error& e) noexcept {
    tell_line(log_level::error, "a worker could not be asked: {}", e.message());
}

worker::worker(loop& l, const server_options& o, access_log* log, client_table* clients, tracer* traces)
    : loop_(l), options_(o), log_(log), clients_(clients), traces_(traces),
      pipes_(l.os(), {.pipes_max = o.splice_pipes_max}), reserve_fd_(::open("/dev/null", O_RDONLY | O_CLOEXEC)),
      config_(surroundings_of(o), abort_.signal(), o.drain_timeout) {
    flush_.self = this;
    flush_.run = [](ready& r) { static_cast<log_flush&>(r).self->flush(); };
    if (log_ && options_.access_log.interval != forever) chores_.spawn(log_long_flows());
}

void worker::close() noexcept {
    doors_.clear();
    connections_.clear();
    chores_.clear();
}

worker::~worker() {
    close();
    flush();
    if (reserve_fd_ >= 0) ::close(reserve_fd_);
}

void worker::start(listener l, service& s) {
    door& d = *doors_[&s].emplace_back(std::make_unique<door>(std::move(l)));
    d.accepting.spawn(accept_connections(d.on, s));
}

// It goes on whatever happens to one connection: a worker that accepts none would still be given its share of them.
task<> worker::accept_connections(listener& l, service& s) {
    for (;;) {
        bool no_memory = false;
        try {
            auto a = co_await l.accept();
            if (a) take_reserve();
            if (!a) {
                if (out_of_resources(a.error()))
                    co_await shed(l, s);
                else
                    co_await sleep_for(shed_pause);
            } else {
                admit(std::move(*a), s);
            }
        } catch (const std::bad_alloc&) {
            no_memory = true;
        }
        if (no_memory) co_await sleep_for(shed_pause);
    }
}

void worker::admit(accepted a, service& s) {
    if (connections_.size() >= options_.connections_max)
        refuse(std::move(a.connection), s, 503);
    else if (client_peer peer(a.peer, clients_, !clients_ || s.counts(a.peer)); peer)
        connections_.spawn(s.serve(std::move(a.connection), std::move(peer)), &report);
    else
        refuse(std::move(a.connection), s, 429);
}

// There is no descriptor for a connection: the one in reserve is given up to take what waits, refuse it and close it.
// It must not be given up for longer, or an upstream connection takes its place; and there may be nothing that waits,
// for the system looks for a descriptor first.
task<> worker::shed(listener& l, service& s) {
    if (reserve_fd_ >= 0) {
        ::close(std::exchange(reserve_fd_, -1));
        if (auto a = l.try_accept(); a && *a) refuse(std::move((*a)->connection), s, 503);
    }
    take_reserve();
    if (reserve_fd_ >= 0) co_return;
    // Another worker was faster. What becomes free meanwhile must be the reserve again before it is anything else:
    // otherwise it is used up by the next connection, and one per pause is all that is ever refused.
    co_await sleep_for(shed_pause);
    take_reserve();
}

void worker::take_reserve() noexcept {
    if (reserve_fd_ < 0) reserve_fd_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}

// Says why, if it can be said at once. What the client has sent already is read, so that closing does not become a
// reset that takes the answer with it. Where there is nothing to say, an orderly end would look like an answer of no
// bytes.
void worker::refuse(socket client, service& s, int status) {
    const std::string_view text = s.refusal(status);
    if (text.empty()) return client.reset();
    const iovec answer{const_cast<char*>(text.data()), text.size()};
    kernel& os = loop_.os();
    os.write(client.fd(), &answer, 1);
    static_cast<void>(client.end()); // closed in any case
    std::array<char, 16 * 1024> unread;
    os.read(client.fd(), unread.data(), unread.size());
}

void worker::drain() {
    if (draining_) return;
    draining_ = true;
    close_idle(nullptr);
    for (auto& [s, doors] : doors_) close_doors(doors, *s);
    doors_.clear();
    config_.drain();
}

void worker::hand_over() {
    if (draining_) return;
    draining_ = true;
    for (auto& [s, doors] : doors_)
        for (const std::unique_ptr<door>& d : doors) d->on.keep_path();
    doors_.clear();
    config_.drain();
}

std::vector<listener*> worker::listeners(service& s) {
    std::vector<listener*> all;
    if (const auto its = doors_.find(&s); its != doors_.end())
        for (const std::unique_ptr<door>& d : its->second) all.push_back(&d->on);
    return all;
}

// Who has connected was told so by the system, and may have sent a request: it is not reset with the listener.
void worker::close_doors(std::vector<std::unique_ptr<door>>& doors, service& s) {
    for (const std::unique_ptr<door>& d : doors) {
        d->accepting.clear();
        try {
            for (int n = 0; n < waiting_max; ++n) {
                auto a = d->on.try_accept();
                if (!a || !*a) break;
                admit(std::move(**a), s);
            }
        } catch (const std::bad_alloc&) {
            continue; // they are reset
        }
    }
    doors.clear();
}

// Each of them wakes up to the end of its input and leaves in its own way.
void worker::close_idle(const service* home) noexcept {
    for (list_node* i = idle_.next; i != &idle_; i = i->next) {
        const auto& c = *static_cast<idle_connection*>(i);
        if (!home || c.home_ == home) loop_.os().shutdown(c.client_.fd, SHUT_RD);
    }
}

void worker::stop(service& s) {
    s.last = config_.now();
    close_idle(&s);
    if (const auto its = doors_.find(&s); its != doors_.end()) {
        close_doors(its->second, s);
        doors_.erase(its);
    }
    if (s.connections == 0) s.last.reset();
}

void worker::abort() {
    abort_.abort();
    close_idle(nullptr);
}

live_counts worker::live() const noexcept {
    return {.connections = connections_.size(),
            .requests = requests,
            .upstream_busy = config_.busy(),
            .upstream_idle = config_.idle(),
            .frames = live_frames(),
            .descriptors = loop_.descriptors(),
            .waits = loop_.waits(),
            .timers = loop_.timers_armed(),
            .buffer_bytes = live_chunk_bytes(),
            .pipes = pipes_.on_loan(),
            .memory = memory_held()};
}

void worker::log(const live_flow& f) {
    if (log_) add_line(f.facts(), &f, false);
}

void worker::log(const flow_facts& f) {
    if (log_) add_line(f, nullptr, false);
}

void worker::add_line(const flow_facts& facts, const live_flow* f, bool interim) noexcept {
    if (!wanted(level_of(facts))) return;
    const std::size_t before = lines_.size();
    const log_record r{.facts = facts, .flow = f, .worker = number, .interim = interim};
    const std::vector<std::string>& redacted = options_.access_log.redact_query;
    try {
        if (log_->format() == log_format::json)
            append_json_line(lines_, r, redacted);
        else
            append_text_line(lines_, r, redacted);
    } catch (const std::bad_alloc&) {
        lines_.resize(before);
        log_->lost();
    }
    loop_.post(flush_);
}

// What goes on for longer than the interval has a line in each. All of it at once would hold up the others: of each
// interval every sixteenth has its own share.
task<> worker::log_long_flows() {
    constexpr std::uint64_t shares = 16;
    const duration interval = options_.access_log.interval;
    for (std::uint64_t share = 0;; share = (share + 1) % shares) {
        co_await sleep_for(interval / shares);
        const time_point now = executor::current().turn_time();
        flows.each([&](const live_flow& f) {
            if (f.number() % shares == share && now - f.begun() >= interval) add_line(f.facts(), &f, true);
        });
    }
}

void worker::flush() {
    if (lines_.empty()) return;
    log_->append(lines_);
    lines_.clear();
}

} // namespace headgate::gateway
