#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include <gateway/options.hpp>

namespace headgate::gateway {

// Writes lines to a descriptor or a file from a thread of its own, so that a slow terminal, pipe or disk never holds up
// a worker. Holds at most `pending_max` bytes; lines beyond, those there is no memory for, and those that cannot be
// written are dropped and counted, and the count is written when there is room again.
class access_log {
public:
    // To standard output, or appended to the file that the options name. Throws std::system_error if that cannot be
    // opened.
    explicit access_log(const access_log_options& o);
    // To a descriptor, which stays open.
    access_log(int fd, log_format format);
    access_log(const access_log&) = delete;
    access_log& operator=(const access_log&) = delete;
    ~access_log(); // writes what is pending, for at most a second

    // Takes lines, each with its newline. From any thread; never waits for the descriptor.
    void append(std::string_view lines) noexcept;
    // A line could not even be made.
    void lost() noexcept;
    // The file is opened anew, for somebody has moved it away, before anything else is written. One that cannot be
    // opened changes nothing but for a word on standard error.
    void reopen() noexcept;

    // How lines are to be written; never automatic.
    log_format format() const noexcept { return format_; }
    std::uint64_t dropped() const; // lines
    static constexpr std::size_t pending_max = 1024 * 1024;

private:
    void run();
    void drop(std::size_t lines) noexcept;
    void open_again() noexcept;
    void write(std::string_view lines);

    const std::string path_; // empty: not a file
    int fd_;
    const log_format format_;
    bool mid_line_ = false; // the last line that was written is not whole
    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::string pending_;
    std::uint64_t dropped_ = 0;
    std::uint64_t dropped_unsaid_ = 0;
    bool reopen_ = false;
    bool stopping_ = false;
    std::thread thread_;
};

} // namespace headgate::gateway
