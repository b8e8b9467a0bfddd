#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <span>
#include <system_error>
#include <thread>

#include <execinfo.h>
#include <fmt/format.h>
#include <unistd.h>

#include <gateway/post_mortem/loop_watch.hpp>

namespace headgate::gateway {

namespace {

// Where the thread that was asked puts its stack. There is one, and one watch that asks at a time.
struct answered_stack {
    std::array<void*, 64> calls{};
    std::atomic<int> depth = -1; // none yet
};
answered_stack answer; // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

constexpr duration answer_time = std::chrono::milliseconds(50);
constexpr int handlers_own = 2; // the handler, and what the kernel returns to from it

int ask_signal() { return SIGRTMIN + 5; }

void on_ask(int) {
    const int kept = errno;
    answer.depth.store(::backtrace(answer.calls.data(), static_cast<int>(answer.calls.size())),
                       std::memory_order_release);
    errno = kept;
}

duration processor_time(pthread_t thread) {
    clockid_t clock{};
    timespec t{};
    if (::pthread_getcpuclockid(thread, &clock) != 0 || ::clock_gettime(clock, &t) != 0) return {};
    return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

// Whether it waits in the kernel, for a disk for instance, and not for a processor.
bool is_blocked(int tid) {
    std::array<char, 512> line{};
    const std::string path = fmt::format("/proc/self/task/{}/stat", tid);
    const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "re"),
                                                     [](FILE* f) { return std::fclose(f); });
    if (!file || !std::fgets(line.data(), line.size(), file.get())) return false;
    const std::string_view text = line.data();
    const std::size_t name_end = text.rfind(')');
    return name_end != text.npos && name_end + 2 < text.size() && text[name_end + 2] != 'R';
}

std::span<void* const> stack_of(pthread_t thread) {
    answer.depth.store(-1, std::memory_order_relaxed);
    if (::pthread_kill(thread, ask_signal()) != 0) return {};
    constexpr duration step = std::chrono::milliseconds(1);
    int depth = -1;
    for (duration waited{}; depth < 0 && waited < answer_time; waited += step) {
        std::this_thread::sleep_for(step);
        depth = answer.depth.load(std::memory_order_acquire);
    }
    if (depth <= handlers_own) return {};
    return std::span(answer.calls).subspan(handlers_own, static_cast<std::size_t>(depth - handlers_own));
}

double milliseconds(duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

} // namespace

loop_watch::loop_watch(duration threshold, void (*tell)(const std::string&), to_text name)
    : threshold_(threshold), tell_(tell), name_(name) {
    std::array<void*, 4> warm{};
    ::backtrace(warm.data(), warm.size()); // the first call loads a library, which a handler may not
    struct sigaction s{};
    s.sa_handler = &on_ask;
    s.sa_flags = SA_RESTART;
    ::sigaction(ask_signal(), &s, nullptr);
    pthread_attr_t small{};
    ::pthread_attr_init(&small);
    ::pthread_attr_setstacksize(&small, 256 * 1024);
    const int wrong = ::pthread_create(
        &thread_, &small,
        [](void* self) -> void* {
            static_cast<loop_watch*>(self)->run();
            return nullptr;
        },
        this);
    ::pthread_attr_destroy(&small);
    if (wrong != 0) throw std::system_error(wrong, std::system_category(), "a thread that watches the workers");
}

loop_watch::~loop_watch() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_one();
    ::pthread_join(thread_, nullptr);
}

void loop_watch::add(const loop& l, std::string name) {
    const std::lock_guard lock(mutex_);
    all_.push_back({.home = &l, .name = std::move(name), .thread = ::pthread_self(), .tid = ::gettid()});
}

void loop_watch::forget(const loop& l) {
    const std::lock_guard lock(mutex_);
    std::erase_if(all_, [&](const watched& w) { return w.home == &l; });
}

// A loop may stall for half of the threshold before it is seen for the first time.
void loop_watch::run() {
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, threshold_ / 2, [this] { return stopping_; })) {
        for (std::size_t i = 0; i < all_.size(); ++i) {
            const std::string what = look_at(all_[i], clock::now());
            if (what.empty()) continue;
            lock.unlock();
            tell_(what);
            lock.lock();
        }
    }
}

// Gives what there is to tell.
std::string loop_watch::look_at(watched& w, time_point now) {
    const std::uint64_t beat = w.home->heartbeat();
    if (beat != w.beat || beat % 2 == 0) {
        const bool was_told = std::exchange(w.told, false);
        const duration lasted = now - w.since;
        w = {.home = w.home, .name = std::move(w.name), .thread = w.thread, .tid = w.tid, .beat = beat, .since = now};
        if (beat % 2 == 1) w.used_before = processor_time(w.thread);
        if (!was_told) return {};
        return fmt::format("headgate: {} goes on after {:.0f} ms\n", w.name, milliseconds(lasted));
    }
    if (w.stalled || now - w.since < threshold_) return {};
    const duration used = processor_time(w.thread) - w.used_before;
    if (used < threshold_ / 2 && !is_blocked(w.tid)) return {};
    w.stalled = true;
    stalls_.fetch_add(1, std::memory_order_relaxed);
    if (now - told_at_ < std::chrono::seconds(1) / told_per_second_max) return {};
    told_at_ = now;
    w.told = true;
    return fmt::format(
        "headgate: {} has not come back to its loop for {:.0f} ms, {:.0f} ms of them at work; it is in\n{}", w.name,
        milliseconds(now - w.since), milliseconds(used), name_(stack_of(w.thread)));
}

} // namespace headgate::gateway
