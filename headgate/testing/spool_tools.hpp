#pragma once

#include <headgate/core/abort.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/testing/temporary_folder.hpp>
#include <headgate/testing/tools.hpp>

#include <filesystem>
#include <optional>
#include <string>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

// What the tests of spools have in common.
namespace headgate::spool_testing {

// The body 1 of `bytes` bytes, ready at once, and how many bytes of it have been given out.
inline stream<chunk> body(std::size_t bytes, std::size_t piece, std::size_t* made = nullptr) {
    for (std::size_t at = 0; at < bytes; at += piece) {
        const std::size_t n = std::min(piece, bytes - at);
        if (made) *made += n;
        co_yield chunk(testing::body_bytes(1, at, n));
    }
}

// Checks that the bytes of the body 1 come in their order. Takes the first item, then waits to be told to go on.
struct checked {
    std::size_t bytes = 0;
    bool right = true;
    bool finished = false;
};
struct checking_sink {
    checked* seen;
    abort_signal go;

    task<> write(chunk item) {
        seen->right = seen->right && item.text() == testing::body_bytes(1, seen->bytes, item.size());
        seen->bytes += item.size();
        co_await go.wait();
    }
    task<> finish() {
        seen->finished = true;
        co_return;
    }
    const char* name() const noexcept { return "checking sink"; }
};
inline abort_signal at_once() {
    abort_source fired;
    fired.abort();
    return fired.signal();
}

// The descriptor of the spool's file in `folder`; -1 if there is none.
inline int file_in(const std::string& folder) {
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code gone;
        const std::string what = std::filesystem::read_symlink(entry.path(), gone);
        if (!gone && what.starts_with(folder) && what.ends_with("(deleted)")) return std::stoi(entry.path().filename());
    }
    return -1;
}

inline task<> keep(task<outcome> flow, std::optional<outcome>* end) { end->emplace(co_await std::move(flow)); }

// Runs `what` in a process that has mounted a file system, of 64 KiB if it can have a limit, at a folder. Gives what is
// wrong.
inline std::string on_a_file_system(const char* type, std::string (*what)(const std::string& folder)) {
    const testing::temporary_folder folder;
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return "no pipe";
    const pid_t child = ::fork();
    if (child == 0) {
        const bool mounted = ::unshare(CLONE_NEWNS) == 0 &&
                             ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                             ::mount("none", (folder / "").c_str(), type, 0, "size=64k") == 0;
        const std::string problem = (mounted ? what(folder / "") : "not permitted") + "\n";
        ::_exit(::write(ends[1], problem.data(), problem.size()) > 0 ? 0 : 1);
    }
    ::close(ends[1]);
    char text[100] = {};
    const ssize_t n = ::read(ends[0], text, sizeof text);
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    return n > 0 ? std::string(text, n - 1) : "it crashed, status " + std::to_string(status);
}

} // namespace headgate::spool_testing
