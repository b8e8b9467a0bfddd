#include <headgate/io/offload.hpp>
#include <headgate/io/open_file.hpp>

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace headgate::files {

namespace {

std::error_code last_error() noexcept { return system_error_code(errno); }

template <class Call>
auto uninterrupted(Call call) noexcept {
    decltype(call()) r;
    do r = call();
    while (r < 0 && errno == EINTR);
    return r;
}

int open_beneath(int folder, const char* path, std::uint64_t flags, std::uint64_t resolve) noexcept {
    open_how how{};
    how.flags = flags | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | resolve;
    return static_cast<int>(uninterrupted([&] { return ::syscall(SYS_openat2, folder, path, &how, sizeof how); }));
}

result<file_facts> facts_of(int fd) noexcept {
    struct stat s{};
    if (::fstat(fd, &s) != 0) return std::unexpected(last_error());
    return file_facts{.what = S_ISREG(s.st_mode)   ? file_facts::kind::regular
                              : S_ISDIR(s.st_mode) ? file_facts::kind::folder
                                                   : file_facts::kind::other,
                      .size = static_cast<std::uint64_t>(s.st_size),
                      .inode = s.st_ino,
                      .modified = s.st_mtim.tv_sec,
                      .modified_nanoseconds = static_cast<std::uint32_t>(s.st_mtim.tv_nsec)};
}

result<opened_file> open_now(int folder, const std::string& path, std::uint64_t resolve) noexcept {
    // Without a terminal becoming ours, or a fifo keeping us.
    open_file file(open_beneath(folder, path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY, resolve));
    if (!file) return std::unexpected(last_error());
    const auto facts = facts_of(file.fd());
    if (!facts) return std::unexpected(facts.error());
    return opened_file{std::move(file), *facts};
}

// The system could not be sure that ".." in a link stayed below, because something was renamed meanwhile.
constexpr int attempts_max = 8;

// What a read that runs elsewhere is given and gives back.
struct reading {
    open_file file;
    chunk data;
    std::error_code error;
};

// Fills `to` from `at` on, as far as the file goes.
result<std::size_t> fill(int fd, std::span<char> to, std::uint64_t at) noexcept {
    std::size_t filled = 0;
    while (filled != to.size()) {
        const ssize_t n = uninterrupted(
            [&] { return ::pread(fd, to.data() + filled, to.size() - filled, static_cast<off_t>(at + filled)); });
        if (n < 0) return std::unexpected(last_error());
        if (n == 0) break;
        filled += static_cast<std::size_t>(n);
    }
    return filled;
}

// The same, as far as no disk is waited for. Not all file systems can tell: then nothing is read.
std::size_t fill_at_once(int fd, std::span<char> to, std::uint64_t at) noexcept {
    const iovec into{to.data(), to.size()};
    const ssize_t n = uninterrupted([&] { return ::preadv2(fd, &into, 1, static_cast<off_t>(at), RWF_NOWAIT); });
    return n < 0 ? 0 : static_cast<std::size_t>(n);
}

} // namespace

open_file::~open_file() {
    if (fd_ >= 0) ::close(fd_);
}

result<folder> folder::open(const std::string& path) {
    auto at = std::make_shared<const open_file>(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!*at) return std::unexpected(last_error());
    const open_file tried(open_beneath(at->fd(), ".", O_PATH, 0));
    if (!tried) return std::unexpected(last_error());
    return folder(std::move(at));
}

task<result<opened_file>> folder::find(std::string path, links follow) const {
    const std::uint64_t resolve = follow == links::never ? RESOLVE_NO_SYMLINKS : 0;
    auto found = open_now(at_->fd(), path, resolve | RESOLVE_CACHED);
    // EINVAL: the kernel (before Linux 5.12) cannot be asked for what it has in memory.
    if (found || (found.error().value() != EAGAIN && found.error().value() != EINVAL)) co_return found;
    co_return co_await offload([at = at_, path = std::move(path), resolve] {
        for (int attempts = 1;; ++attempts) {
            auto opened = open_now(at->fd(), path, resolve);
            if (opened || opened.error().value() != EAGAIN || attempts == attempts_max) return opened;
        }
    });
}

task<result<chunk>> read_at(open_file& f, std::uint64_t at, std::size_t bytes) {
    chunk data(bytes);
    const std::size_t had = fill_at_once(f.fd(), data.bytes(), at);
    if (had == bytes) co_return data;
    reading r = co_await offload([given = reading{std::move(f), std::move(data), {}}, at, had]() mutable {
        const auto n = fill(given.file.fd(), given.data.bytes().subspan(had), at + had);
        if (n)
            given.data.truncate(had + *n);
        else
            given.error = n.error();
        return std::move(given);
    });
    f = std::move(r.file);
    if (r.error) co_return std::unexpected(r.error);
    co_return std::move(r.data);
}

task<std::error_code> bring_in(open_file& f, std::uint64_t at, std::size_t bytes) {
    char last;
    if (bytes == 0 || fill_at_once(f.fd(), {&last, 1}, at + bytes - 1) == 1) co_return std::error_code();
    reading r = co_await offload([given = reading{std::move(f), {}, {}}, at, bytes]() mutable {
        std::array<char, chunk_large> unused;
        for (std::size_t done = 0; done < bytes;) {
            const std::span<char> to(unused.data(), std::min(unused.size(), bytes - done));
            const auto n = fill(given.file.fd(), to, at + done);
            if (!n) given.error = n.error();
            if (!n || *n < to.size()) break;
            done += *n;
        }
        return std::move(given);
    });
    f = std::move(r.file);
    co_return r.error;
}

} // namespace headgate::files
