#pragma once

#include <headgate/core/chunk.hpp>
#include <headgate/io/address.hpp>
#include <headgate/io/loop.hpp>

#include <coroutine>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

namespace headgate {

// An open descriptor that the current loop watches. Move-only; closes it when destroyed. Must be destroyed before its
// loop.
class descriptor {
public:
    descriptor() = default;
    explicit descriptor(slot& s) noexcept : slot_(&s) {}
    descriptor(descriptor&& o) noexcept : slot_(std::exchange(o.slot_, nullptr)) {}
    descriptor& operator=(descriptor&& o) noexcept {
        if (this != &o) {
            close();
            slot_ = std::exchange(o.slot_, nullptr);
        }
        return *this;
    }
    ~descriptor() { close(); }

    void close() noexcept {
        if (slot_) loop::current().close(*std::exchange(slot_, nullptr));
    }
    explicit operator bool() const noexcept { return slot_ != nullptr; }
    int fd() const noexcept { return slot_->fd; }
    slot& state() const noexcept { return *slot_; }

private:
    slot* slot_ = nullptr;
};

struct tcp_liveness;

// What comes after a write. `more`: more bytes, or the end, and that at once, so that the system may send both
// together.
enum class followed_by : std::uint8_t { anything, more };

namespace detail {

// Sets what every TCP socket of ours has: TCP_NODELAY, and `alive`.
void set_tcp_options(kernel& os, int fd, const tcp_liveness& alive) noexcept;

// Which wait of a slot an operation is, and the flag that it waits for.
struct to_read {
    static constexpr io_wait* slot::* wait = &slot::reading;
    static constexpr bool slot::* flag = &slot::readable;
};
struct to_write {
    static constexpr io_wait* slot::* wait = &slot::writing;
    static constexpr bool slot::* flag = &slot::writable;
};
struct any_kind {
    io_wait* slot::* wait;
    bool slot::* flag;
};

// One operation on a descriptor: tried at once, then whenever the descriptor is ready, until it is done or `limit` has
// passed without any progress. `Operation` has attempt(), which returns whether it is done; and `fail`, which sets its
// error.
template <class Operation, class Kind>
class io_operation : protected io_wait, protected timer {
public:
    io_operation(slot& s, Kind kind, duration limit) noexcept : slot_(s), kind_(kind), limit_(limit) {}
    io_operation(const io_operation&) = delete;

    bool await_ready() const noexcept { return false; }

    // Nothing is read or written on behalf of a flow that has failed.
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> h) {
        if (h.promise().at->of->failed()) return true;
        if (slot_.*kind_.flag && loop::current().spend() && self().attempt()) return false;
        wait(h);
        return true;
    }

protected:
    void progressed() noexcept {
        if (limit_ != forever && in) loop::current().arm(*this, limit_);
    }

    slot& slot_;

private:
    void wait(std::coroutine_handle<> h) {
        h_ = h;
        run = [](ready& r) {
            auto& op = static_cast<io_operation&>(static_cast<io_wait&>(r));
            if (op.slot_.*op.kind_.flag && op.self().attempt()) op.resume();
        };
        fire = [](timer& t) {
            auto& op = static_cast<io_operation&>(t);
            op.self().fail(errc::timed_out);
            op.resume();
        };
        enter(slot_.*kind_.wait);
        loop& l = loop::current();
        if (slot_.*kind_.flag) l.post(*this); // it is ready, but others have their turn first
        progressed();
    }

    Operation& self() noexcept { return static_cast<Operation&>(*this); }
    void resume() {
        leave();
        ready::unlink();
        timer::disarm();
        h_.resume();
    }

    [[no_unique_address]] Kind kind_;
    duration limit_;
    std::coroutine_handle<> h_;
};

// Takes `bytes` off the front of `from`. Pieces that are used up have no length afterwards.
void remove_front(std::span<iovec>& from, std::size_t bytes) noexcept;

class read_operation : public io_operation<read_operation, to_read> {
public:
    read_operation(slot& s, std::span<char> to, duration limit) noexcept : io_operation(s, {}, limit), to_(to) {}
    bool attempt();
    void fail(std::error_code e) noexcept { result_ = std::unexpected(e); }
    result<std::size_t> await_resume() const noexcept { return result_; }

private:
    std::span<char> to_;
    result<std::size_t> result_{};
};

class write_operation : public io_operation<write_operation, to_write> {
public:
    write_operation(slot& s, std::span<iovec> from, duration limit, followed_by next) noexcept
        : io_operation(s, {}, limit), next_(next), from_(from) {}
    write_operation(slot& s, std::string_view from, duration limit, followed_by next) noexcept
        : io_operation(s, {}, limit), next_(next), one_{const_cast<char*>(from.data()), from.size()}, from_(&one_, 1) {}
    bool attempt();
    void fail(std::error_code e) noexcept { error_ = e; }
    result<void> await_resume() const noexcept {
        if (error_) return std::unexpected(error_);
        return {};
    }

private:
    followed_by next_;
    iovec one_{};
    std::span<iovec> from_;
    std::error_code error_;
};

// Waits until a flag of the slot is set: what the kernel says.
class ready_operation : public io_operation<ready_operation, any_kind> {
public:
    ready_operation(slot& s, io_wait* slot::* wait, bool slot::* flag, duration limit) noexcept
        : io_operation(s, {wait, flag}, limit) {}
    bool attempt() noexcept { return true; }
    void fail(std::error_code e) noexcept { error_ = e; }
    result<void> await_resume() const noexcept {
        if (error_) return std::unexpected(error_);
        return {};
    }

private:
    std::error_code error_;
};

// Waits until a read gives something.
class readable_operation : public io_operation<readable_operation, to_read> {
public:
    readable_operation(slot& s, duration limit) noexcept : io_operation(s, {}, limit) {}
    bool attempt() { return !slot_.layer || slot_.layer->readable(); }
    void fail(std::error_code) noexcept { timed_out_ = true; } // nothing else can happen to it
    result<void> await_resume() const noexcept {
        if (timed_out_) return std::unexpected(make_error_code(errc::timed_out));
        return {};
    }

private:
    bool timed_out_ = false;
};

} // namespace detail

// A connected stream socket, TCP or Unix, plain or with TLS (io/tls.hpp), which changes nothing for those who read and
// write. All waits are dropped with the frame that waits; at most one reader, one writer and one watcher at a time. A
// `limit` is the longest time an operation may make no progress; it ends with errc::timed_out.
class socket {
public:
    socket() = default;
    explicit socket(slot& s) noexcept : fd_(s) {}

    explicit operator bool() const noexcept { return static_cast<bool>(fd_); }
    int fd() const noexcept { return fd_.fd(); }
    slot& state() const noexcept { return fd_.state(); }
    // Whether its bytes are those of the descriptor, so that the kernel may move them.
    bool plain() const noexcept { return !state().layer; }

    // `co_await s.read_some(buffer)`: at least one byte, or 0 at the peer's end (FIN; with TLS the
    // peer's close_notify, and a FIN without it is errc::premature_close).
    auto read_some(std::span<char> to, duration limit = forever) noexcept {
        return detail::read_operation(state(), to, limit);
    }
    // `co_await s.write_all(bytes)`: completes when the system has taken all. The bytes, and the array that names them,
    // must stay until then. After a failure the array names what was not taken: an operation that has timed out may be
    // begun again.
    auto write_all(std::string_view from, duration limit = forever, followed_by next = followed_by::anything) noexcept {
        return detail::write_operation(state(), from, limit, next);
    }
    auto write_all(std::span<iovec> from, duration limit = forever, followed_by next = followed_by::anything) noexcept {
        return detail::write_operation(state(), from, limit, next);
    }
    // Waits until there is something to read (bytes, the peer's end, or an error), with no buffer.
    auto readable(duration limit = forever) noexcept { return detail::readable_operation(state(), limit); }
    // What read_some() gives at once; nothing if it would wait.
    std::optional<result<std::size_t>> try_read(std::span<char> to);
    auto writable(duration limit = forever) noexcept {
        return detail::ready_operation(state(), &slot::writing, &slot::writable, limit);
    }
    // Waits until the peer has ended its direction (FIN) or is gone (RST), though nobody reads.
    auto peer_closed(duration limit = forever) noexcept {
        return detail::ready_operation(state(), &slot::hanging_up, &slot::peer_closed, limit);
    }
    // Waits until the connection is broken: reset, or ended in both directions.
    auto broken() noexcept { return detail::ready_operation(state(), &slot::hanging_up, &slot::broken, forever); }

    // Our own end's address; all zero if that cannot be told.
    peer_address local() const noexcept;

    // Why the connection is broken: the socket's pending error, which this clears.
    std::error_code pending_error() const noexcept;

    // Bytes written that the peer's system has not confirmed yet; 0 if that cannot be told.
    std::size_t unacknowledged() const noexcept;

    // Ends our direction: the peer reads the end after all that was written. (With TLS the end needs room: it goes when
    // there is, as long as the socket lives. `finish` below waits for that.)
    std::error_code end() noexcept;
    // Closes with a reset, so that the peer sees a failure and not an end.
    void reset() noexcept;
    // Ends our direction and closes; bytes written before are still delivered. A TLS socket that is destroyed without
    // this, or end(), is cut: its peer sees no end.
    void close() noexcept;

private:
    descriptor fd_;
};

// Ends our direction of `s` and waits until the system has taken the end, so that closing `s` takes nothing back.
task<result<void>> finish(socket& s, duration limit = forever);

// How the system finds out that the peer of a TCP connection has gone without a word: its machine, or the network to
// it. The connection then fails with ETIMEDOUT, whether anybody reads or writes or not. `forever` leaves one out.
struct tcp_liveness {
    // After so long without traffic the peer is asked, up to three times, ten seconds apart (keep-alive probes).
    duration probe_after = forever;
    // What was sent must be confirmed within this time (TCP_USER_TIMEOUT, RFC 5482). It also ends a connection whose
    // peer confirms but takes nothing: it should not be shorter than the limits on idle peers.
    duration unconfirmed_max = forever;
};

// Connects to `to` within `limit`. Any error is the system's, or errc::timed_out. TCP_NODELAY is set.
task<result<socket>> connect(address to, duration limit = forever, tcp_liveness alive = {});

// Two connected Unix sockets. Errors are the system's.
result<std::pair<socket, socket>> socket_pair();

} // namespace headgate
