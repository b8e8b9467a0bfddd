#pragma once

#include <headgate/core/timer.hpp>
#include <headgate/io/loop.hpp>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include <pthread.h>

namespace headgate::gateway {

// Watches loops from a thread of its own: one that does not come back to its wait within `threshold` holds up
// everything that it serves. Each such stall is told once, with the stack of the thread at that moment, and once more
// when it has ended. A thread that the system did not run meanwhile, because others were running, is not told: that is
// the machine's stall. Costs some microseconds per half a threshold, and the watched threads two stores per turn.
class loop_watch {
public:
    // Makes text of a stack: a line for each call, by the addresses to which the calls return.
    using to_text = std::string (*)(std::span<void* const> calls);

    // `tell` and `name` are called on the watching thread. SIGRTMIN+5 is used to ask a thread for its stack.
    loop_watch(duration threshold, void (*tell)(const std::string& text), to_text name);
    loop_watch(const loop_watch&) = delete;
    loop_watch& operator=(const loop_watch&) = delete;
    ~loop_watch();

    // Watches `l`, which runs on the calling thread, until forget(), which must come before the loop's end.
    void add(const loop& l, std::string name);
    void forget(const loop& l);

    // How many stalls there were, told or not.
    std::uint64_t stalls() const noexcept { return stalls_.load(std::memory_order_relaxed); }
    // At most so many are told in a second, of all loops.
    static constexpr unsigned told_per_second_max = 1;

private:
    struct watched {
        const loop* home;
        std::string name;
        pthread_t thread;
        int tid;
        std::uint64_t beat = 0;
        time_point since{};     // when it had this beat first
        duration used_before{}; // processor time of the thread by then
        bool stalled = false;
        bool told = false;
    };
    void run();
    std::string look_at(watched& w, time_point now);

    const duration threshold_;
    void (*const tell_)(const std::string&);
    const to_text name_;
    std::atomic<std::uint64_t> stalls_ = 0;
    time_point told_at_{};
    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<watched> all_;
    bool stopping_ = false;
    pthread_t thread_{};
};

} // namespace headgate::gateway
