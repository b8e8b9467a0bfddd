#include <headgate/io/loop.hpp>

#include <algorithm>
#include <cerrno>
#include <new>

#include <sys/epoll.h>

namespace headgate {

loop::loop(kernel& k) : executor(k.now()), kernel_(k) {}

loop::~loop() {
    run_remote();
    while (remote_away_ != 0) {
        {
            std::unique_lock lock(remote_mutex_);
            remote_posted_.wait(lock, [this] { return remote_first_ != nullptr; });
        }
        run_remote();
    }
}

std::error_code loop::run() {
    stopping_ = false;
    while (!stopping_)
        if (const std::error_code e = turn()) return e;
    stopping_ = false; // further turns are up to the caller
    return {};
}

std::error_code loop::turn(bool may_wait) {
    credit_ = ready_operations_max;
    run_next(); // what failed since the last turn is dropped before a job resumes any of it
    const bool came = run_remote();
    run_ready();
    if (stopping_) return {};

    duration timeout = duration::zero();
    const bool waits = may_wait && !came && !has_ready(); // after a job the caller may have what it waited for
    if (waits) {
        const time_point next = next_timer();
        const time_point ended = now();
        turns_.add(ended - turn_time_);
        timeout = next == time_point::max() ? forever : std::max(next - ended, duration::zero());
    }
    std::array<io_event, 256> events;
    beat();
    const int n = kernel_.wait(events, timeout);
    beat();
    if (n < 0) return system_error_code(-n);
    const time_point begins = now();
    if (!waits) turns_.add(begins - turn_time_);
    turn_time_ = begins;
    credit_ = ready_operations_max;
    for (int i = 0; i < n; ++i) dispatch(events[static_cast<std::size_t>(i)]);
    run_timers(turn_time_);
    return {};
}

slot& loop::slot_of(int fd) {
    const std::size_t b = static_cast<std::size_t>(fd) / slots_per_block;
    if (b >= slots_.size()) slots_.resize(b + 1);
    if (!slots_[b]) slots_[b] = std::make_unique<block>();
    return (*slots_[b])[static_cast<std::size_t>(fd) % slots_per_block];
}

result<slot*> loop::watch(int fd) {
    slot* known = nullptr;
    try {
        known = &slot_of(fd);
    } catch (const std::bad_alloc&) {
        return std::unexpected(system_error_code(ENOMEM));
    }
    slot& s = *known;
    const std::uint64_t tag = std::uint64_t{s.generation} << 32 | static_cast<std::uint32_t>(fd);
    if (const int r = kernel_.watch(fd, tag); r < 0) return std::unexpected(system_error_code(-r));
    s.fd = fd;
    s.readable = s.writable = s.peer_closed = s.broken = s.keeps_up = false;
    ++open_;
    return &s;
}

result<slot*> loop::open(int fd) {
    result<slot*> s = watch(fd);
    if (!s) {
        const linger reset{.l_onoff = 1, .l_linger = 0}; // the peer of a connection must not see an orderly end
        kernel_.set_option(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        kernel_.close(fd);
    }
    return s;
}

int loop::forget(slot& s) noexcept {
    // Waits that are left lose their descriptor: they are not told of the next one with the same number.
    for (io_wait* w : {s.reading, s.writing, s.hanging_up})
        if (w) w->leave();
    s.layer.reset();
    s.generation = (s.generation + 1) & 0x7fff'ffff;
    --open_;
    return std::exchange(s.fd, -1);
}

void loop::close(slot& s) noexcept { kernel_.close(forget(s)); }

int loop::release(slot& s) noexcept {
    kernel_.unwatch(s.fd);
    return forget(s);
}

// Each waiter may end the life of the descriptor, or of any other; so the slot is looked at anew before the next is
// told.
void loop::dispatch(const io_event& e) {
    const auto fd = static_cast<int>(e.tag & 0xffff'ffff);
    const auto generation = static_cast<std::uint32_t>(e.tag >> 32);
    slot& s = slot_of(fd);
    if (s.fd < 0 || s.generation != generation) return;
    const bool broken = e.bits & (EPOLLERR | EPOLLHUP);
    const bool peer_closed = broken || (e.bits & EPOLLRDHUP);
    const bool readable = peer_closed || (e.bits & EPOLLIN);
    const bool writable = broken || (e.bits & EPOLLOUT);
    s.broken |= broken;
    s.peer_closed |= peer_closed;
    s.readable |= readable;
    s.writable |= writable;
    if (peer_closed) notify(s, generation, &slot::hanging_up);
    if (readable) notify(s, generation, &slot::reading);
    if (writable) notify(s, generation, &slot::writing);
}

void loop::notify(slot& s, std::uint32_t generation, io_wait* slot::* who) {
    if (s.generation != generation) return;
    if (io_wait* w = s.*who) {
        w->run(*w);
        run_next();
    }
}

std::size_t loop::waits() const noexcept {
    std::size_t n = 0;
    for (const auto& b : slots_) {
        if (!b) continue;
        for (const slot& s : *b) n += (s.reading != nullptr) + (s.writing != nullptr) + (s.hanging_up != nullptr);
    }
    return n;
}

// All under the lock: once it is released the job may run, and the loop and its kernel be gone.
void loop::post_remote(remote_job& job) noexcept {
    const std::lock_guard lock(remote_mutex_);
    const bool first = remote_first_ == nullptr;
    job.next = nullptr;
    *remote_last_ = &job;
    remote_last_ = &job.next;
    remote_pending_.store(true, std::memory_order_release);
    if (!first) return;
    kernel_.wake();
    remote_posted_.notify_one();
}

bool loop::run_remote() {
    if (!remote_pending_.load(std::memory_order_acquire)) return false;
    remote_job* jobs;
    {
        const std::lock_guard lock(remote_mutex_);
        jobs = std::exchange(remote_first_, nullptr);
        remote_last_ = &remote_first_;
        remote_pending_.store(false, std::memory_order_relaxed);
    }
    while (jobs) {
        remote_job& j = *std::exchange(jobs, jobs->next);
        j.run(j);
        run_next();
    }
    return true;
}

} // namespace headgate
