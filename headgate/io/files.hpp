#pragma once

#include <headgate/core/chunk.hpp>
#include <headgate/core/stream.hpp>
#include <headgate/core/task.hpp>

#include <string>
#include <system_error>
#include <utility>

// Files as sources and sinks. All calls that may block go through `offload`, so a loop that has a pool is never held
// up. An error is the system's, with the path as its detail.
namespace headgate::files {

// The source of a file's bytes: `files::read("input.csv")`. It is opened at the first pull and closed at its end, or
// when the source is dropped; a read that is running then ends alone and closes it. Reads one chunk of at most
// `chunk_bytes` at a time, none ahead.
//
// Meant for files on disks: a pipe or a terminal would keep a thread of the pool waiting.
class read {
public:
    explicit read(std::string path, std::size_t chunk_bytes = chunk_bulk) noexcept
        : path_(std::move(path)), chunk_bytes_(chunk_bytes) {}

    stream<chunk> into_stream() &&;
    // NOLINTNEXTLINE(google-explicit-constructor): it is one
    operator stream<chunk>() && { return std::move(*this).into_stream(); }
    const char* name() const noexcept { return "files::read"; }

private:
    std::string path_;
    std::size_t chunk_bytes_;
};

// A file that is being written under another name in the folder of its own, "<path>.XXXXXX.part". Removed when
// destroyed, unless it has been given its name.
class part_file {
public:
    part_file() = default;
    part_file(part_file&& o) noexcept : fd_(std::exchange(o.fd_, -1)), name_(std::exchange(o.name_, {})) {}
    part_file& operator=(part_file&& o) noexcept {
        std::swap(fd_, o.fd_);
        std::swap(name_, o.name_);
        return *this;
    }
    ~part_file();

    bool is_open() const noexcept { return fd_ >= 0; }
    // These block. `path` must be that of a file, or of none yet; the mode is 0666 less the umask.
    std::error_code open_for(const std::string& path);
    std::error_code write(std::string_view bytes) noexcept;
    // Closes the file and renames it to `path`, which it replaces. With `sync`, the contents and the name are on the
    // disk then.
    std::error_code commit(const std::string& path, bool sync) noexcept;

private:
    int fd_ = -1;
    std::string name_;
};

struct create_options {
    bool fsync = false; // finish() waits until the disk has it
};

// The sink that makes a file: `files::create("output.csv.gz")`. The bytes go to a part_file, which gets the name
// `path`, and replaces a file that had it, at finish() and not before: whatever else happens, nothing is left behind.
//
// Items below `gathered_below` bytes are gathered, up to 64 KiB, and written together.
class create {
public:
    explicit create(std::string path, create_options o = {}) noexcept : path_(std::move(path)), options_(o) {}

    task<> write(chunk item);
    task<> finish();
    const char* name() const noexcept { return "files::create"; }

    static constexpr std::size_t gathered_below = 16 * 1024;

private:
    chunk take_gathered() noexcept;
    task<> put(chunk first, chunk second, bool last);

    std::string path_;
    create_options options_;
    part_file file_;
    chunk gathered_;
    std::size_t filled_ = 0;
};

} // namespace headgate::files
