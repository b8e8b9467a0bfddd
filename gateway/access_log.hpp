#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace headgate::gateway {

// Which requests get a line.
enum class log_level : std::uint8_t {
    error,   // those that failed for another reason than the client's
    warning, // all that did not end well
    info,    // all
};

// Writes lines to a descriptor from a thread of its own, so that a slow terminal or pipe never holds up a worker. Holds
// at most `pending_max` bytes; lines beyond, and those there is no memory for, are dropped and counted, and the count
// is written when there is room again.
class access_log {
public:
    explicit access_log(int fd);
    access_log(const access_log&) = delete;
    access_log& operator=(const access_log&) = delete;
    ~access_log(); // writes what is pending, for at most a second

    // Takes lines, each with its newline. From any thread; never waits for the descriptor.
    void append(std::string_view lines) noexcept;
    // Lines could not even be made.
    void lost() noexcept;

    // Which lines are wanted. From any thread.
    void set_level(log_level l) noexcept { level_.store(l, std::memory_order_relaxed); }
    log_level level() const noexcept { return level_.load(std::memory_order_relaxed); }

    std::uint64_t dropped() const;
    static constexpr std::size_t pending_max = 1024 * 1024;

private:
    void run();
    void drop() noexcept;

    int fd_;
    std::atomic<log_level> level_ = log_level::info;
    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::string pending_;
    std::uint64_t dropped_ = 0;
    std::uint64_t dropped_unsaid_ = 0;
    bool stopping_ = false;
    std::thread thread_;
};

// What is known of one request or tunnel when it ends. Views live as long as the call.
struct access_record {
    std::string_view method;
    std::string_view target;
    std::string_view client;
    std::string_view upstream;
    std::string_view id;
    int status = 0; // 0: none was sent
    std::uint64_t up = 0;
    std::uint64_t down = 0;
    std::int64_t microseconds = 0;
    const char* end = "";
};

// The least level at which the record is written.
log_level level_of(const access_record& r) noexcept;

// Appends the record to `out` as one line, for people and for grep:
// "2026-11-22T13:45:01.123Z 200 GET /path client=... upstream=... up=0 down=1234 ms=12.345 end=complete id=..."
void format_record(std::string& out, const access_record& r);

} // namespace headgate::gateway
