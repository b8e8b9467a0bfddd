#include <headgate/core/error.hpp>
#include <headgate/io/unnamed_file.hpp>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <tuple>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace headgate {

namespace {

std::error_code last_error() noexcept { return system_error_code(errno); }

} // namespace

unnamed_file::~unnamed_file() {
    if (fd_ >= 0) ::close(fd_);
}

// O_EXCL: nobody can give it a name later.
std::error_code unnamed_file::open_in(const std::string& folder) {
    fd_ = ::open(folder.c_str(), O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (fd_ >= 0) return {};
    if (errno == EOPNOTSUPP || errno == EISDIR) return open_unlinked(folder);
    return last_error();
}

std::error_code unnamed_file::open_unlinked(const std::string& folder) {
    std::string name = folder + "/headgate.XXXXXX";
    fd_ = ::mkostemp(name.data(), O_CLOEXEC);
    if (fd_ >= 0 && ::unlink(name.c_str()) == 0) return {};
    const std::error_code why = last_error();
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    return why;
}

unnamed_file::done unnamed_file::write(std::span<iovec> parts, std::int64_t at) noexcept {
    done d;
    while (!parts.empty()) {
        const auto count = static_cast<int>(std::min<std::size_t>(parts.size(), IOV_MAX));
        const ssize_t n = ::pwritev(fd_, parts.data(), count, at + static_cast<std::int64_t>(d.bytes));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return d.error = n == 0 ? system_error_code(ENOSPC) : last_error(), d;
        d.bytes += static_cast<std::size_t>(n);
        auto left = static_cast<std::size_t>(n);
        while (!parts.empty() && left >= parts[0].iov_len) {
            left -= parts[0].iov_len;
            parts = parts.subspan(1);
        }
        if (left != 0) parts[0] = {static_cast<char*>(parts[0].iov_base) + left, parts[0].iov_len - left};
    }
    return d;
}

unnamed_file::done unnamed_file::read(std::span<char> into, std::int64_t at) noexcept {
    done d;
    while (d.bytes < into.size()) {
        const ssize_t n =
            ::pread(fd_, into.data() + d.bytes, into.size() - d.bytes, at + static_cast<std::int64_t>(d.bytes));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return d.error = n == 0 ? system_error_code(EIO) : last_error(), d;
        d.bytes += static_cast<std::size_t>(n);
    }
    return d;
}

bool unnamed_file::discard(std::int64_t at, std::size_t bytes) noexcept {
    return ::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, static_cast<std::int64_t>(bytes)) == 0;
}

void unnamed_file::clear() noexcept { std::ignore = ::ftruncate(fd_, 0); }

} // namespace headgate
