#pragma once

#include <string_view>

#include <fmt/format.h>

namespace headgate::gateway {

// How much is told while the gateway runs, in the access log and on standard error.
enum class log_level : std::uint8_t {
    error,   // what failed, and not for the client's reasons
    warning, // also what did not end well, or may lead to failures
    info,    // all
};

// Which lines are wanted; info at first. It is the process's, as standard error is. From any thread.
void set_log_level(log_level l) noexcept;
bool wanted(log_level l) noexcept;
log_level wanted_level() noexcept;

// Writes what the gateway has to say of itself, whole lines, to standard error, if lines of that level are wanted. From
// any thread. Answers to a command line or a signal do not come through here: who asks is told.
void tell(log_level l, std::string_view lines) noexcept;

// The same: "headgate: ", the text, and the end of the line. Without memory to make it, it says just that.
template <class... Args>
void tell_line(log_level l, fmt::format_string<Args...> format, Args&&... args) noexcept {
    if (!wanted(l)) return;
    try {
        tell(l, "headgate: " + fmt::format(format, std::forward<Args>(args)...) + "\n");
    } catch (const std::exception&) {
        tell(l, "headgate: something is wrong, and there is no memory to say what\n");
    }
}

} // namespace headgate::gateway
