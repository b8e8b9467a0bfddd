#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include <sys/uio.h>

namespace headgate {

// A file without a name, for bytes that no other process needs: the system frees them when it is closed, or when the
// process ends in whatever way. All calls may block; they are for use in `offload`, whose job must own the file.
class unnamed_file {
public:
    unnamed_file() = default;
    unnamed_file(unnamed_file&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
    unnamed_file& operator=(unnamed_file&& o) noexcept {
        std::swap(fd_, o.fd_);
        return *this;
    }
    ~unnamed_file();

    bool is_open() const noexcept { return fd_ >= 0; }
    // Opens it on the file system of `folder`, with O_TMPFILE or, where there is none, with open_unlinked.
    std::error_code open_in(const std::string& folder);
    // Makes a file with a name, which is taken away at once.
    std::error_code open_unlinked(const std::string& folder);

    // How much of what was asked for has been done before an error.
    struct done {
        std::size_t bytes = 0;
        std::error_code error;
    };
    // Writes all parts, one behind the other, from `at` on. The descriptions of the parts are changed.
    done write(std::span<iovec> parts, std::int64_t at) noexcept;
    // Reads `into.size()` bytes; that there are fewer is an error, EIO.
    done read(std::span<char> into, std::int64_t at) noexcept;
    // Gives the disk back what these bytes take. Gives whether the file system can.
    bool discard(std::int64_t at, std::size_t bytes) noexcept;
    // Gives all back.
    void clear() noexcept;

private:
    int fd_ = -1;
};

} // namespace headgate
