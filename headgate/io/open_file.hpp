#pragma once

#include <headgate/core/chunk.hpp>
#include <headgate/core/error.hpp>
#include <headgate/core/task.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

// Files that are opened to be read a part at a time. What the system has in memory is had at once, on the loop's own
// thread; only what would wait for a disk goes through `offload`.
namespace headgate::files {

// An open file. Move-only; closes it when destroyed. What reads it owns it: a descriptor must not be closed, and its
// number given out again, while another thread reads from it.
class open_file {
public:
    open_file() = default;
    explicit open_file(int fd) noexcept : fd_(fd) {}
    open_file(open_file&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
    open_file& operator=(open_file&& o) noexcept {
        std::swap(fd_, o.fd_);
        return *this;
    }
    ~open_file();

    explicit operator bool() const noexcept { return fd_ >= 0; }
    int fd() const noexcept { return fd_; }

private:
    int fd_ = -1;
};

// What the system knows of an open file.
struct file_facts {
    enum class kind : std::uint8_t { regular, folder, other };
    kind what = kind::other;
    std::uint64_t size = 0;
    std::uint64_t inode = 0;
    std::int64_t modified = 0;              // seconds since 1970
    std::uint32_t modified_nanoseconds = 0; // of that second
};

struct opened_file {
    open_file file;
    file_facts facts;
};

// A folder below which files are opened. Copies share its descriptor; threads may share copies.
class folder {
public:
    // Errors are the system's: ENOENT, ENOTDIR, EACCES; ENOSYS where the kernel has no openat2(2) (before Linux 5.6).
    static result<folder> open(const std::string& path);

    enum class links : std::uint8_t {
        within, // symbolic links are followed as long as they stay in the folder; none that is absolute does
        never
    };

    // Opens `path`, which is relative, to read it. It is the kernel that keeps the path in the folder, link by link
    // (RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS): whatever the path says and whoever renames what meanwhile, nothing
    // outside is ever opened. Errors are the system's; EXDEV for what would leave the folder, ELOOP for a link that is
    // not followed. Opening does not wait for the other end of a fifo.
    task<result<opened_file>> find(std::string path, links follow) const;

private:
    explicit folder(std::shared_ptr<const open_file> at) noexcept : at_(std::move(at)) {}

    std::shared_ptr<const open_file> at_; // also of a call that is running when the waiter is gone
};

// Reads `bytes` from `at` on, or less at the end of the file. Errors are the system's. While it is read elsewhere, `f`
// is empty; if the caller is dropped meanwhile, the file is closed by whoever has it.
task<result<chunk>> read_at(open_file& f, std::uint64_t at, std::size_t bytes);

// Returns when the system has these bytes of the file in memory, or has none there: what is done with them next does
// not wait for a disk. Looks at the last byte only: files are mostly read from front to back.
task<std::error_code> bring_in(open_file& f, std::uint64_t at, std::size_t bytes);

} // namespace headgate::files
