#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <ctime>
#include <new>
#include <utility>

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <gateway/access_log.hpp>

namespace headgate::gateway {

access_log::access_log(int fd) : fd_(fd), thread_([this] { run(); }) {}

access_log::~access_log() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
}

void access_log::append(std::string_view lines) noexcept {
    bool was_empty;
    {
        const std::lock_guard lock(mutex_);
        if (pending_.size() + lines.size() > pending_max) return drop();
        was_empty = pending_.empty();
        try {
            pending_ += lines;
        } catch (const std::bad_alloc&) {
            return drop();
        }
    }
    if (was_empty) wake_.notify_one();
}

void access_log::lost() noexcept {
    const std::lock_guard lock(mutex_);
    drop();
}

void access_log::drop() noexcept {
    ++dropped_;
    ++dropped_unsaid_;
}

std::uint64_t access_log::dropped() const {
    const std::lock_guard lock(mutex_);
    return dropped_;
}

namespace {

// Whole lines, if there are any that are short enough: a pipe takes so many bytes in one piece or not at all
// (PIPE_BUF), so the lines of two processes that write to one, during an upgrade, do not get mixed.
std::string_view first_piece(std::string_view text) {
    if (text.size() <= PIPE_BUF) return text;
    const std::size_t end = text.rfind('\n', PIPE_BUF - 1);
    return text.substr(0, end == std::string_view::npos ? PIPE_BUF : end + 1);
}

// Writes all, or as much as a descriptor takes before it has been stuck for a second while `give_up` is set.
template <class GiveUp>
void write_all(int fd, std::string_view text, GiveUp give_up) {
    while (!text.empty()) {
        pollfd p{.fd = fd, .events = POLLOUT, .revents = 0};
        if (::poll(&p, 1, 1000) == 0) {
            if (give_up()) return;
            continue;
        }
        const std::string_view piece = first_piece(text);
        const ssize_t n = ::write(fd, piece.data(), piece.size());
        if (n > 0)
            text.remove_prefix(static_cast<std::size_t>(n));
        else if (n < 0 && errno != EINTR && errno != EAGAIN)
            return; // nobody reads any more
    }
}

} // namespace

void access_log::run() {
    std::string writing;
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [this] { return stopping_ || !pending_.empty(); });
        if (pending_.empty()) return;
        writing.clear();
        writing.swap(pending_);
        std::array<char, 100> note; // not in `writing`: there may be no memory to add it there
        std::size_t note_size = 0;
        if (const std::uint64_t count = std::exchange(dropped_unsaid_, 0); count != 0)
            note_size = fmt::format_to_n(note.data(), note.size(),
                                         "headgate: {} log lines dropped: the log was not read fast enough\n", count)
                            .size;
        lock.unlock();
        const auto give_up = [this] {
            const std::lock_guard inner(mutex_);
            return stopping_;
        };
        write_all(fd_, writing, give_up);
        write_all(fd_, {note.data(), std::min(note_size, note.size())}, give_up);
        lock.lock();
    }
}

namespace {

// The wall clock as text, to the second; made anew once a second and thread.
std::string_view clock_text(std::int64_t seconds) {
    thread_local std::int64_t made_for = -1;
    thread_local char text[24];
    if (made_for != seconds) {
        const time_t t = seconds;
        tm parts{};
        ::gmtime_r(&t, &parts);
        ::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
        made_for = seconds;
    }
    return {text, 19};
}

std::string_view or_dash(std::string_view text) { return text.empty() ? std::string_view("-") : text; }

} // namespace

log_level level_of(const access_record& r) noexcept {
    const std::string_view end = r.end;
    if (end == "complete" && r.status < 500) return log_level::info;
    return end.starts_with("client_") && r.status < 500 ? log_level::warning : log_level::error;
}

void format_record(std::string& out, const access_record& r) {
    const auto now = std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
    const std::int64_t ms = now.time_since_epoch().count();
    auto to = std::back_inserter(out);
    fmt::format_to(to, "{}.{:03}Z ", clock_text(ms / 1000), ms % 1000);
    if (r.status != 0)
        fmt::format_to(to, "{}", r.status);
    else
        out += '-';
    fmt::format_to(to, " {} {} client={} upstream={} up={} down={} ms={}.{:03} end={} id={}\n", or_dash(r.method),
                   or_dash(r.target), or_dash(r.client), or_dash(r.upstream), r.up, r.down, r.microseconds / 1000,
                   r.microseconds % 1000, r.end, or_dash(r.id));
}

} // namespace headgate::gateway
