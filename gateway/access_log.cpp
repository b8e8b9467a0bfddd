#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <new>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <gateway/access_log.hpp>
#include <gateway/log_line.hpp>
#include <gateway/tell.hpp>

namespace headgate::gateway {

namespace {

int open_file(const std::string& path) noexcept {
    return ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

int open_or_throw(const std::string& path) {
    if (path.empty()) return STDOUT_FILENO;
    const int fd = open_file(path);
    if (fd < 0) throw std::system_error(errno, std::system_category(), "cannot open the access log " + path);
    return fd;
}

log_format resolved(log_format f, int fd) noexcept {
    if (f != log_format::automatic) return f;
    return ::isatty(fd) == 1 ? log_format::text : log_format::json;
}

std::size_t lines_of(std::string_view text) { return static_cast<std::size_t>(std::ranges::count(text, '\n')); }

} // namespace

access_log::access_log(const access_log_options& o)
    : path_(o.path), fd_(open_or_throw(o.path)), format_(resolved(o.format, fd_)), thread_([this] { run(); }) {}

access_log::access_log(int fd, log_format format)
    : fd_(fd), format_(resolved(format, fd)), thread_([this] { run(); }) {}

access_log::~access_log() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
    if (!path_.empty()) ::close(fd_);
}

void access_log::append(std::string_view lines) noexcept {
    bool was_empty;
    {
        const std::lock_guard lock(mutex_);
        if (pending_.size() + lines.size() > pending_max) return drop(lines_of(lines));
        was_empty = pending_.empty();
        try {
            pending_ += lines;
        } catch (const std::bad_alloc&) {
            return drop(lines_of(lines));
        }
    }
    if (was_empty) wake_.notify_one();
}

void access_log::lost() noexcept {
    const std::lock_guard lock(mutex_);
    drop(1);
}

void access_log::reopen() noexcept {
    if (path_.empty()) return;
    {
        const std::lock_guard lock(mutex_);
        reopen_ = true;
    }
    wake_.notify_one();
}

void access_log::drop(std::size_t lines) noexcept {
    dropped_ += lines;
    dropped_unsaid_ += lines;
}

std::uint64_t access_log::dropped() const {
    const std::lock_guard lock(mutex_);
    return dropped_;
}

void access_log::open_again() noexcept {
    const int fresh = open_file(path_);
    if (fresh < 0) {
        tell_line(log_level::error, "the access log {} cannot be opened again: {}; it goes on where it was", path_,
                  std::system_category().message(errno));
        return;
    }
    ::close(std::exchange(fd_, fresh));
    mid_line_ = false;
}

namespace {

// Whole lines, if there are any that are short enough: a pipe takes so many bytes in one piece or not at all
// (PIPE_BUF), so the lines of two processes that write to one, during an upgrade, do not get mixed.
std::string_view first_piece(std::string_view text) {
    if (text.size() <= PIPE_BUF) return text;
    const std::size_t end = text.rfind('\n', PIPE_BUF - 1);
    return text.substr(0, end == std::string_view::npos ? PIPE_BUF : end + 1);
}

} // namespace

// Writes all, or as much as a descriptor takes before it has been stuck for a second at the end. What it does not take,
// because a disk is full or nobody reads any more, is dropped: the next lines may fare better.
void access_log::write(std::string_view lines) {
    const auto give_up = [this] {
        const std::lock_guard lock(mutex_);
        return stopping_;
    };
    char last = '\n';
    while (!lines.empty()) {
        pollfd p{.fd = fd_, .events = POLLOUT, .revents = 0};
        if (::poll(&p, 1, 1000) == 0) {
            if (!give_up()) continue;
            break;
        }
        const std::string_view piece = mid_line_ ? std::string_view("\n") : first_piece(lines);
        const ssize_t n = ::write(fd_, piece.data(), piece.size());
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n <= 0) break;
        if (std::exchange(mid_line_, false)) continue;
        last = piece[static_cast<std::size_t>(n) - 1];
        lines.remove_prefix(static_cast<std::size_t>(n));
    }
    if (lines.empty()) return;
    if (last != '\n') mid_line_ = true; // half of a line stands alone
    const std::lock_guard lock(mutex_);
    drop(lines_of(lines));
}

void access_log::run() {
    std::string writing;
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [this] { return stopping_ || reopen_ || !pending_.empty(); });
        if (std::exchange(reopen_, false)) {
            lock.unlock();
            open_again();
            lock.lock();
            continue;
        }
        if (pending_.empty()) return;
        writing.clear();
        writing.swap(pending_);
        const std::uint64_t dropped = std::exchange(dropped_unsaid_, 0);
        lock.unlock();
        write(writing);
        std::array<char, 200> note; // not in `writing`: there may be no memory to add it there
        if (dropped != 0) write({note.data(), write_dropped(note, format_, dropped)});
        lock.lock();
    }
}

} // namespace headgate::gateway
