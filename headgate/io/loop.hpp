#pragma once

#include <headgate/core/executor.hpp>
#include <headgate/core/task.hpp>
#include <headgate/io/kernel.hpp>
#include <headgate/io/layer.hpp>
#include <headgate/io/turn_times.hpp>

#include <array>
#include <atomic>
#include <concepts>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

namespace headgate {

struct slot;
class offload_pool;

// One wait for a descriptor: lives in the awaiting frame. `run` is called when the slot's state has changed, or from
// the queue of ready things, and may find that there is nothing to do yet. Its destructor takes it back.
struct io_wait : ready {
    io_wait** in = nullptr; // where the slot points to this wait

    ~io_wait() { leave(); }
    void enter(io_wait*& where) noexcept {
        where = this;
        in = &where;
    }
    void leave() noexcept {
        if (in && *in == this) *in = nullptr; // not if the slot was closed and used again meanwhile
        in = nullptr;
    }
};

// What the loop knows of one open descriptor: what the kernel has reported, and who waits. At most one wait of each
// kind.
struct slot {
    int fd = -1;
    std::uint32_t generation = 0; // events of a descriptor closed meanwhile carry an older one
    bool readable = false;
    bool writable = false;
    bool peer_closed = false; // the peer has ended its direction, or is gone
    bool broken = false;      // error or hang-up: nothing more can be sent
    bool keeps_up = false;    // whoever is at the other end has taken a stream as fast as it came: see kernel_share.hpp
    io_wait* reading = nullptr;
    io_wait* writing = nullptr;
    io_wait* hanging_up = nullptr;
    std::unique_ptr<socket_layer> layer{}; // whom its socket asks instead of the kernel; none for a plain one
};

// Work handed over by another thread. It is owned by whoever posted it until `run` is called, on the loop's thread.
struct remote_job {
    remote_job* next = nullptr;
    void (*run)(remote_job&) = nullptr;
};

// The event loop of one thread: what coroutines run on. Readiness-based: the kernel never holds a buffer of ours, so a
// frame that waits may be dropped at any moment.
class loop final : public executor {
public:
    explicit loop(kernel& k);
    ~loop();

    // The loop of this thread.
    static loop& current() noexcept { return static_cast<loop&>(executor::current()); }

    time_point now() const noexcept override { return kernel_.now(); }
    kernel& os() noexcept { return kernel_; }

    // Runs until stop() is called, which any of the coroutines may do. Gives an error if nothing can ever happen (a
    // simulation) or the kernel refuses to wait.
    std::error_code run();
    void stop() noexcept { stopping_ = true; }

    // Runs a task to its end, as a flow of its own, and gives its value or its error; errc::aborted if it is stopped.
    template <class T>
    std::expected<T, flow_error> run(task<T> work);

    // One turn: jobs of other threads, what is ready, then events (waiting for them if `may_wait` and there was no
    // job), then timers.
    std::error_code turn(bool may_wait = true);

    // Takes over `fd`: the loop watches it. The slot stays where it is until the descriptor is closed with `close`. On
    // failure the descriptor is closed, a connection with a reset.
    result<slot*> open(int fd);
    void close(slot& s) noexcept;
    // Watches a descriptor that somebody else will close, until it is released. On failure nothing has happened to it.
    result<slot*> watch(int fd);
    // Gives the descriptor back, open and unwatched, without its layer.
    int release(slot& s) noexcept;

    // How many descriptors the loop watches, and how many waits for them there are. For snapshots and leak checks.
    std::size_t descriptors() const noexcept { return open_; }
    std::size_t waits() const noexcept;

    // Runs `job` on this loop's thread. The only member that other threads may call.
    void post_remote(remote_job& job) noexcept;

    // How often the loop has begun or ended to wait, so far: odd while it runs something. For other threads, which see
    // in it whether the loop moves.
    std::uint64_t heartbeat() const noexcept { return heartbeat_.load(std::memory_order_relaxed); }

    // How long its turns took. For other threads, too.
    const turn_times& turns() const noexcept { return turns_; }

    // Before a job is given to another thread that will post it here, and when it has come back: the loop is not
    // destroyed as long as jobs are away.
    void expect_remote() noexcept { ++remote_away_; }
    void remote_came() noexcept { --remote_away_; }
    std::size_t remote_away() const noexcept { return remote_away_; }

    // Where this loop's blocking calls run: see io/offload.hpp. The pool must outlive the loop. None: they run on its
    // own thread.
    void set_offload_pool(offload_pool& pool) noexcept { offload_to_ = &pool; }
    offload_pool* offload_to() const noexcept { return offload_to_; }

    // Whether a coroutine may go on with a descriptor that is ready, or must let others have their turn: fair after
    // `ready_operations_max` operations in one turn.
    bool spend() noexcept { return credit_ != 0 && --credit_ != 0; }
    static constexpr unsigned ready_operations_max = 512;

private:
    static constexpr std::size_t slots_per_block = 256;
    using block = std::array<slot, slots_per_block>;

    slot& slot_of(int fd);
    int forget(slot& s) noexcept;
    void dispatch(const io_event& e);
    void notify(slot& s, std::uint32_t generation, io_wait* slot::* who);
    bool run_remote(); // whether there was any
    void beat() noexcept { heartbeat_.store(heartbeat() + 1, std::memory_order_relaxed); }

    kernel& kernel_;
    std::vector<std::unique_ptr<block>> slots_; // by descriptor number
    std::size_t open_ = 0;
    unsigned credit_ = 0;
    bool stopping_ = false;
    offload_pool* offload_to_ = nullptr;
    std::size_t remote_away_ = 0;
    std::atomic<std::uint64_t> heartbeat_ = 1; // only this thread writes
    turn_times turns_;
    std::atomic<bool> remote_pending_ = false;
    std::mutex remote_mutex_;
    std::condition_variable remote_posted_;
    remote_job* remote_first_ = nullptr;
    remote_job** remote_last_ = &remote_first_;
};

template <class T>
std::expected<T, flow_error> loop::run(task<T> work) {
    struct root : flow {
        place at;
        loop* home = nullptr;
        bool ended = false;

        void end() noexcept {
            ended = true;
            home->stop();
        }
    } r;
    stopping_ = false;
    turn_time_ = now(); // timers armed before the first turn count from here
    r.at.of = &r;
    r.home = this;
    r.run = [](ready& n) { static_cast<root&>(n).end(); };
    promise_base& p = work.handle().promise();
    p.at = &r.at;
    p.parent = &r;
    p.then = [](promise_base& promise) noexcept -> std::coroutine_handle<> {
        static_cast<root*>(promise.parent)->end();
        return std::noop_coroutine();
    };
    work.handle().resume();
    while (!r.ended) {
        const std::error_code e = turn();
        if (r.ended || r.failed()) continue;
        if (e) r.fail({e, side::caller, 0, "nothing can happen any more"});
        if (stopping_) r.fail({errc::aborted, side::caller, 0, "the loop was stopped"});
    }
    stopping_ = false; // further turns are up to the caller
    if (r.failed()) {
        work.reset();
        return std::unexpected(r.take_error());
    }
    if constexpr (std::is_void_v<T>) {
        return {};
    } else {
        return work.handle().promise().take();
    }
}

} // namespace headgate
