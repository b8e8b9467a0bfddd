#pragma once

#include <headgate/core/memory_budget.hpp>
#include <headgate/io/offload.hpp>

#include <coroutine>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gateway/post_mortem/dump.hpp>
#include <gateway/worker_thread.hpp>

namespace headgate::gateway {

// The workers of a server, and what they serve. Lives on the main thread.
class fleet {
public:
    // What the workers report to, on the main thread; outlives its loop.
    struct endings {
        std::size_t running = 0;
        abort_source all_ended;
    };

    // `main` is the loop of this thread; it is where the workers report that they have ended. `log` and `traces` may be
    // null.
    fleet(const config& c, loop& main, access_log* log, tracer* traces, endings& e);

    // Starts the workers. Throws if one cannot be started.
    void start();
    // All workers serve `next` from now on, or none does: then the text says why. New listeners take over sockets from
    // `given`, if there are any for them.
    std::string change_to(const std::shared_ptr<const snapshot>& next, inheritance* given = nullptr);
    // What they serve. Not before the first change_to().
    const snapshot& current() const noexcept { return *current_; }
    // Where the listeners of current() listen: "127.0.0.1:8080 [::1]:8443".
    std::string addresses() const;

    // Other descriptors of all listening sockets, for another process. Throws std::system_error.
    std::vector<handed_socket> share();
    // Drains when another process has them.
    void hand_over();
    void drain();
    void abort();
    abort_signal all_ended() const noexcept { return endings_.all_ended.signal(); }
    bool running() const noexcept { return endings_.running != 0; }

    live_counts live();
    // How long the turns of the workers' loops took, by their numbers.
    std::vector<turn_times::counts> turns() const;
    // How often one of them was held up for longer than the threshold; nothing if they are not watched.
    std::optional<std::uint64_t> stalls() const noexcept;
    // The coroutines of all workers. One that does not answer within a second is left out.
    std::vector<worker_stacks> stacks();

    // `co_await workers.ask<T>(f)`, on the main loop: calls `T f(worker&)` on each worker's thread and gives what they
    // return, by their numbers; nothing for one that does not answer within `limit`. `f` must own what it uses: who
    // asks may be dropped meanwhile.
    template <class T>
    task<std::vector<std::optional<T>>> ask(std::function<T(worker&)> f, duration limit = answer_time) {
        return ask_each<T>([f = std::move(f)](worker& w, std::size_t) { return f(w); }, limit);
    }
    // The same, where they are told their numbers.
    template <class T>
    task<std::vector<std::optional<T>>> ask_each(std::function<T(worker&, std::size_t)> f,
                                                 duration limit = answer_time);
    // The same, of one of them.
    template <class T>
    task<std::optional<T>> ask_one(std::size_t number, std::function<T(worker&)> f, duration limit = answer_time);
    static constexpr duration answer_time = std::chrono::seconds(1);
    // The same, of what takes a worker several turns of its loop.
    template <class T>
    task<std::vector<std::optional<T>>> ask_slowly(std::function<task<T>(worker&)> f, duration limit = survey_time);
    static constexpr duration survey_time = std::chrono::seconds(5);

    // Null if there is none.
    access_log* log() const noexcept { return shared_.log; }
    const memory_budget* budget() const noexcept { return budget_ ? &*budget_ : nullptr; }

    // Asks all workers whether they work; all_answered() tells whether all have done so since.
    void probe();
    bool all_answered() const noexcept;
    std::size_t size() const noexcept { return workers_.size(); }
    const server_options& options() const noexcept { return options_; }

private:
    static void divide(const std::string& name, std::vector<handed_socket> sockets, std::vector<given_sockets>& shares);

    server_options options_;
    loop& main_;
    endings& endings_;
    std::optional<client_table> clients_;
    std::optional<memory_budget> budget_;
    std::optional<loop_watch> watch_;
    std::optional<offload_pool> files_; // from when a route serves files; outlives the workers
    worker_thread::shared shared_;
    bound_addresses bound_;
    std::vector<std::unique_ptr<worker_thread>> workers_;
    std::shared_ptr<const snapshot> current_;
};

namespace detail {

// Answers that are awaited on the main loop. Shared by who waits and the jobs that are away.
template <class T>
struct inquiry {
    loop& home;
    std::vector<std::optional<T>> answers;
    std::size_t missing;
    ready* waiter = nullptr;

    void answered(std::size_t worker, T value) {
        if (worker >= answers.size()) return; // too late
        answers[worker] = std::move(value);
        if (--missing == 0 && waiter) home.post(*waiter);
    }
};

template <class T>
class inquiry_wait : ready, timer {
public:
    inquiry_wait(inquiry<T>& of, duration limit) noexcept : of_(of), limit_(limit) {}
    inquiry_wait(const inquiry_wait&) = delete;
    ~inquiry_wait() { of_.waiter = nullptr; }

    bool await_ready() const noexcept { return of_.missing == 0; }
    void await_suspend(std::coroutine_handle<> h) noexcept {
        h_ = h;
        run = [](ready& r) { static_cast<inquiry_wait&>(r).resume(); };
        fire = [](timer& t) { static_cast<inquiry_wait&>(t).resume(); };
        of_.waiter = this;
        of_.home.arm(*this, limit_);
    }
    void await_resume() const noexcept {}

private:
    void resume() {
        of_.waiter = nullptr;
        ready::unlink();
        timer::disarm();
        h_.resume();
    }

    inquiry<T>& of_;
    duration limit_;
    std::coroutine_handle<> h_;
};

} // namespace detail

namespace detail {

template <class T>
task<> answer_with(task<T> work, std::shared_ptr<inquiry<T>> all, std::size_t worker) {
    T value = co_await std::move(work);
    call_on(all->home, [all, worker, value = std::move(value)]() mutable { all->answered(worker, std::move(value)); });
}

} // namespace detail

template <class T>
task<std::vector<std::optional<T>>> fleet::ask_slowly(std::function<task<T>(worker&)> f, duration limit) {
    const auto all =
        std::make_shared<detail::inquiry<T>>(main_, std::vector<std::optional<T>>(workers_.size()), workers_.size());
    for (std::size_t i = 0; i < workers_.size(); ++i)
        workers_[i]->post([all, f, i](worker& w) { w.spawn_chore(detail::answer_with<T>(f(w), all, i)); });
    co_await detail::inquiry_wait<T>(*all, limit);
    co_return std::exchange(all->answers, {});
}

template <class T>
task<std::optional<T>> fleet::ask_one(std::size_t number, std::function<T(worker&)> f, duration limit) {
    const auto one = std::make_shared<detail::inquiry<T>>(main_, std::vector<std::optional<T>>(1), 1);
    workers_[number]->post([one, f = std::move(f)](worker& w) {
        call_on(one->home, [one, value = f(w)]() mutable { one->answered(0, std::move(value)); });
    });
    co_await detail::inquiry_wait<T>(*one, limit);
    co_return std::exchange(one->answers, {}).front();
}

template <class T>
task<std::vector<std::optional<T>>> fleet::ask_each(std::function<T(worker&, std::size_t)> f, duration limit) {
    const auto all =
        std::make_shared<detail::inquiry<T>>(main_, std::vector<std::optional<T>>(workers_.size()), workers_.size());
    for (std::size_t i = 0; i < workers_.size(); ++i)
        workers_[i]->post([all, f, i](worker& w) {
            call_on(all->home, [all, i, value = f(w, i)]() mutable { all->answered(i, std::move(value)); });
        });
    co_await detail::inquiry_wait<T>(*all, limit);
    co_return std::exchange(all->answers, {});
}

} // namespace headgate::gateway
