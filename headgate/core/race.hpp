#pragma once

#include <headgate/core/task.hpp>

#include <array>
#include <tuple>
#include <variant>

namespace headgate {

namespace detail {

template <class T>
using void_to_monostate = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <class T>
void_to_monostate<T> take_value(task<T>& t) {
    if constexpr (std::is_void_v<T>)
        return {};
    else
        return t.handle().promise().take();
}

// Runs tasks side by side in the flow of the awaiting frame, until `enough` of them have ended; tells which ended last.
template <class... T>
class run_beside {
public:
    run_beside(std::tuple<task<T>...>& tasks, std::size_t enough) noexcept : tasks_(tasks), missing_(enough) {}

    bool await_ready() const noexcept { return false; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> parent) {
        owner_ = parent;
        place* at = parent.promise().at;
        flow& f = *at->of;
        if (f.failed()) return true;
        start_all(at, std::index_sequence_for<T...>());
        if (f.failed()) return true;
        starting_ = false;
        return missing_ != 0;
    }
    std::size_t await_resume() const noexcept { return last_; }

private:
    struct branch {
        run_beside* all;
        std::size_t index;
    };

    template <std::size_t... I>
    void start_all(place* at, std::index_sequence<I...>) {
        ((missing_ != 0 && !at->of->failed() ? start(std::get<I>(tasks_).handle(), I, at) : void()), ...);
    }
    template <class Promise>
    void start(std::coroutine_handle<Promise> h, std::size_t index, place* at) {
        branches_[index] = {this, index};
        promise_base& p = h.promise();
        p.at = at;
        p.parent = &branches_[index];
        p.then = &ended;
        h.resume();
    }
    static std::coroutine_handle<> ended(promise_base& p) noexcept {
        if (p.at->of->failed()) return std::noop_coroutine();
        const branch& b = *static_cast<branch*>(p.parent);
        run_beside& all = *b.all;
        all.last_ = b.index;
        if (--all.missing_ != 0 || all.starting_) return std::noop_coroutine();
        return all.owner_;
    }

    std::tuple<task<T>...>& tasks_;
    std::size_t missing_;
    std::size_t last_ = 0;
    bool starting_ = true;
    std::coroutine_handle<> owner_;
    std::array<branch, sizeof...(T)> branches_{};
};

template <class Variant, std::size_t I, class... T>
void take_if(std::optional<Variant>& out, std::size_t index, std::tuple<task<T>...>& tasks) {
    if (index == I) out.emplace(std::in_place_index<I>, take_value(std::get<I>(tasks)));
}

} // namespace detail

// Runs the tasks side by side until all have ended, and gives their values (std::monostate for void). If one fails, the
// flow they run in fails with it, and the rest are dropped.
template <class... T>
task<std::tuple<detail::void_to_monostate<T>...>> all(task<T>... tasks) {
    std::tuple<task<T>...> running(std::move(tasks)...);
    co_await detail::run_beside<T...>(running, sizeof...(T));
    co_return std::apply([](auto&... t) { return std::tuple(detail::take_value(t)...); }, running);
}

// Runs the tasks side by side until the first has ended, gives its value at its index, and drops the rest before it
// returns.
template <class... T>
task<std::variant<detail::void_to_monostate<T>...>> race(task<T>... tasks) {
    using value = std::variant<detail::void_to_monostate<T>...>;
    std::tuple<task<T>...> running(std::move(tasks)...);
    const std::size_t winner = co_await detail::run_beside<T...>(running, 1);
    std::optional<value> first;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        (detail::take_if<value, I>(first, winner, running), ...);
    }(std::index_sequence_for<T...>());
    std::apply([](auto&... t) { (t.reset(), ...); }, running);
    co_return std::move(*first);
}

} // namespace headgate
