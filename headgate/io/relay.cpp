#include <headgate/core/memory_budget.hpp>
#include <headgate/core/sleep.hpp>
#include <headgate/io/relay.hpp>

#include <algorithm>
#include <cerrno>

#include <fcntl.h>

namespace headgate {

namespace {

constexpr std::size_t small_buffer = 16 * 1024;
constexpr std::size_t small_splice = 8 * 1024;
constexpr const char* too_slow = "it is slower than the minimum rate";
constexpr int turns_to_change = 2; // how many reads of one kind in a row make the relay change its way

class relay_state {
public:
    relay_state(socket& from, socket& to, const relay_limits& limits, joint& out)
        : from_(from), to_(to), limits_(limits), out_(out), os_(loop::current().os()), source_(limits.source),
          sink_(limits.sink) {
        sink_.set_source(from);
    }

    // Moves by copying until the end (true) or until the reads are large enough for splice (false).
    task<bool> copy() {
        int full = 0;
        out_.limit = limits_.buffer_bytes;
        std::size_t size = std::min(small_buffer, limits_.buffer_bytes);
        while (left() != 0) {
            if (const duration pause = limits_.pause(); pause != duration::zero()) co_await sleep_for(pause);
            source_.wait();
            if (const auto ready = co_await from_.readable(source_.idle()); !ready)
                co_await fail(idle_if_timed_out(ready.error()), side::source);
            chunk buffer(memory_share(std::min({size, limits_.slice(), sink_.slice()})));
            const std::size_t want = std::min<std::uint64_t>(buffer.size(), left());
            const auto n = co_await from_.read_some(buffer.bytes().first(want), source_.idle());
            if (!n) co_await fail(idle_if_timed_out(n.error()), side::source);
            if (*n == 0) co_return true;
            if (const auto slow = source_.moved(*n)) co_await fail(slow, side::source, too_slow);
            const bool was_full = *n == want && want == size;
            full = was_full ? full + 1 : 0;
            if (*n < size / 4) size = std::min(small_buffer, limits_.buffer_bytes);
            const held_bytes held(out_, *n);
            iovec piece{buffer.data(), *n};
            sink_.wait();
            out_.begin_pull(executor::current().turn_time());
            for (;;) {
                const auto written = co_await to_.write_all(std::span(&piece, 1), sink_.look_after());
                if (written) break;
                if (written.error() != errc::timed_out) co_await fail(written.error(), side::sink);
                if (const auto idle = sink_.look(to_)) co_await fail(idle, side::sink);
            }
            out_.stop(executor::current().turn_time());
            if (const auto slow = sink_.moved(to_, *n)) co_await fail(slow, side::sink, too_slow);
            moved(*n);
            if (full >= turns_to_change) {
                if (limits_.pipes && left() > limits_.buffer_bytes) co_return false;
                size = std::min(size * 4, limits_.buffer_bytes);
                full = 0;
            }
        }
        co_return true;
    }

    // Moves by splice until the end (true), or until reads are small or there is no pipe to be had (false).
    task<bool> splice() {
        int small = 0;
        while (left() != 0) {
            if (const duration pause = limits_.pause(); pause != duration::zero()) co_await sleep_for(pause);
            source_.wait();
            if (const auto ready = co_await from_.readable(source_.idle()); !ready)
                co_await fail(idle_if_timed_out(ready.error()), side::source);
            pipe_lease pipe = limits_.pipes->borrow();
            if (!pipe) {
                limits_.pipes = nullptr;
                co_return false;
            }
            // The pipe is kept while there is more to move at once, and goes back before we wait for the source.
            for (;;) {
                const std::size_t most =
                    std::min({memory_share(limits_.pipes->pipe_bytes()), limits_.slice(), sink_.slice()});
                const std::size_t want = std::min<std::uint64_t>(most, left());
                out_.limit = most;
                const ssize_t n = os_.splice(from_.fd(), pipe.write_end(), want, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
                if (n == -EAGAIN) {
                    from_.state().readable = false;
                    break;
                }
                if (n < 0) co_await fail(system_error_code(static_cast<int>(-n)), side::source);
                if (n == 0) co_return true;
                if (const auto slow = source_.moved(static_cast<std::size_t>(n)))
                    co_await fail(slow, side::source, too_slow);
                pipe.bytes = static_cast<std::size_t>(n);
                small = pipe.bytes < small_splice ? small + 1 : 0;
                co_await empty(pipe);
                source_.wait();
                if (left() == 0 || limits_.pause() != duration::zero() || !loop::current().spend()) break;
            }
            if (small > turns_to_change) co_return false;
        }
        co_return true;
    }

private:
    std::uint64_t left() const noexcept { return limits_.bytes_max - moved_; }

    void moved(std::size_t n) noexcept {
        moved_ += n;
        out_.moved(n);
        out_.set_held(out_.held - n);
        if (limits_.total) *limits_.total += n;
        if (limits_.rate) limits_.rate->moved(n);
    }

    task<> empty(pipe_lease& pipe) {
        const memory_charge in_kernel(pipe.bytes);
        const held_bytes held(out_, pipe.bytes);
        sink_.wait();
        out_.begin_pull(executor::current().turn_time());
        while (pipe.bytes != 0) {
            const ssize_t n = os_.splice(pipe.read_end(), to_.fd(), pipe.bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
            if (n > 0) {
                pipe.bytes -= static_cast<std::size_t>(n);
                if (const auto slow = sink_.moved(to_, static_cast<std::size_t>(n)))
                    co_await fail(slow, side::sink, too_slow);
                moved(static_cast<std::size_t>(n)); // at once: a slow sink takes long to empty a pipe, and is not idle
                continue;
            }
            if (n != -EAGAIN) co_await fail(system_error_code(n == 0 ? EPIPE : static_cast<int>(-n)), side::sink);
            to_.state().writable = false;
            while (!co_await to_.writable(sink_.look_after()))
                if (const auto idle = sink_.look(to_)) co_await fail(idle, side::sink);
        }
        out_.stop(executor::current().turn_time());
    }

    socket& from_;
    socket& to_;
    relay_limits limits_;
    joint& out_;
    kernel& os_;
    source_pace source_;
    sink_pace sink_;
    std::uint64_t moved_ = 0;

    friend task<std::uint64_t> headgate::relay_bytes(socket&, socket&, relay_limits, joint&);
};

task<> watch_broken(socket& to, place& at) {
    if (!co_await to.broken()) co_return;
    const std::error_code why = to.pending_error();
    at.of->fail({why ? why : make_error_code(errc::premature_close), side::sink, at.stage, {}});
}

} // namespace

task<std::uint64_t> relay_bytes(socket& from, socket& to, relay_limits limits, joint& out) {
    if (!from.plain() || !to.plain()) limits.pipes = nullptr; // the kernel knows their bytes in another form
    relay_state state(from, to, limits, out);
    while (!co_await state.copy() && !co_await state.splice()) {
    }
    co_return state.moved_;
}

task<> relay(tunnel_source source, tunnel_sink sink, joint& out, detail::chain_limits& limits) {
    out.of = (co_await here()).of;
    strand watching;
    watching.start(watch_broken(*sink.to, out), out);
    limits.start();
    co_await relay_bytes(*source.from, *sink.to, source.limits, out);
    const auto ended = co_await finish(*sink.to, source.limits.sink.idle);
    if (!ended) co_await fail(idle_if_timed_out(ended.error()), side::sink);
}

} // namespace headgate
