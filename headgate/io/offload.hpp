#pragma once

#include <headgate/io/loop.hpp>

#include <condition_variable>
#include <coroutine>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace headgate {

class offload_pool;

namespace detail {

class offload_wait_base;

// One call on its way through a pool. Owns the function, its data and its result. It is made and destroyed on its
// loop's thread, by the waiter or, if that has gone meanwhile, by the loop.
struct offload_job : remote_job, list_node {
    virtual ~offload_job() = default;
    virtual void work() noexcept = 0; // on a thread of the pool

    loop* home = nullptr;
    offload_wait_base* waiter = nullptr; // touched on the loop's thread only
};

} // namespace detail

// A few threads for calls that block: files, SQLite. One pool serves any number of loops:
// `loop.set_offload_pool(pool)`.
//
// Jobs start in the order in which they came. A waiting job is owned by the coroutine that waits for it, so the queue
// needs no memory and no bound of its own: it is as long as there are coroutines in it, and dropping one shortens it.
//
// Order of life: the pool is made before the loops that use it and destroyed after them. A loop that is destroyed first
// waits for its calls that are running (no new ones start) and destroys what they own.
class offload_pool {
public:
    // Throws std::system_error if the threads cannot be started. They take no signals.
    explicit offload_pool(unsigned threads = 4);
    ~offload_pool();
    offload_pool(const offload_pool&) = delete;
    offload_pool& operator=(const offload_pool&) = delete;

    unsigned threads() const noexcept { return static_cast<unsigned>(threads_.size()); }
    // How many jobs wait for a thread, and how many run.
    std::size_t waiting() const noexcept;
    std::size_t running() const noexcept;

private:
    friend detail::offload_wait_base;
    void submit(detail::offload_job& job) noexcept;
    bool take_back(detail::offload_job& job) noexcept; // false if it has begun
    void serve();
    void stop() noexcept;

    mutable std::mutex mutex_;
    std::condition_variable work_;
    list_node queue_;
    std::size_t running_ = 0;
    bool stopping_ = false;
    std::vector<std::thread> threads_;
};

namespace detail {

class offload_wait_base {
public:
    offload_wait_base() = default;
    offload_wait_base(const offload_wait_base&) = delete;
    ~offload_wait_base();

protected:
    // Runs `job` on the loop's pool, or at once if it has none. Returns whether to wait.
    bool start(std::coroutine_handle<> h);
    offload_job* job_ = nullptr;

private:
    static void finished(remote_job& r);

    loop* home_ = nullptr; // set as long as the job is with the pool
    std::coroutine_handle<> h_;
};

template <class Function>
class offload_wait : offload_wait_base {
    using value = std::invoke_result_t<Function&>;
    using stored = std::conditional_t<std::is_void_v<value>, std::monostate, value>;

    struct job final : offload_job {
        explicit job(Function f) : function(std::move(f)) {}
        void work() noexcept override {
            try {
                if constexpr (std::is_void_v<value>) {
                    function();
                    out.emplace();
                } else {
                    out.emplace(function());
                }
            } catch (...) {
                thrown = std::current_exception();
            }
        }
        Function function;
        std::optional<stored> out;
        std::exception_ptr thrown;
    };

public:
    explicit offload_wait(Function f) { job_ = new job(std::move(f)); }

    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> h) { return start(h); }
    value await_resume() {
        auto& done = static_cast<job&>(*job_);
        if (done.thrown) std::rethrow_exception(done.thrown);
        if constexpr (!std::is_void_v<value>) return std::move(*done.out);
    }
};

} // namespace detail

// `co_await offload(fn)`: runs `fn` on a thread of this loop's pool and gives what it returns, or throws what it
// throws. Without a pool it runs here and now, which is what a simulation wants.
//
// `fn` must own whatever it touches, because the awaiting frame may be dropped at any time. A call that has not begun
// is then taken back; one that runs goes on to its end alone. In either case what it owns is destroyed on the loop's
// thread.
template <class Function>
[[nodiscard]] auto offload(Function fn) {
    return detail::offload_wait<Function>(std::move(fn));
}

} // namespace headgate
