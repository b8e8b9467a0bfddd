#include <headgate/io/files.hpp>
#include <headgate/io/offload.hpp>
#include <headgate/io/open_file.hpp>

#include <cerrno>
#include <cstring>
#include <random>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace headgate::files {

namespace {

std::error_code last_error() noexcept { return system_error_code(errno); }

// What a reading call is given and gives back.
struct reading {
    open_file file;
    chunk data;
    std::error_code error;
};

reading begin_reading(const std::string& path) {
    reading r;
    r.file = open_file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (r.file.fd() < 0)
        r.error = last_error();
    else
        ::posix_fadvise(r.file.fd(), 0, 0, POSIX_FADV_SEQUENTIAL);
    return r;
}

reading read_some(reading r) noexcept {
    ssize_t n;
    do n = ::read(r.file.fd(), r.data.data(), r.data.size());
    while (n < 0 && errno == EINTR);
    if (n < 0) r.error = last_error();
    r.data.truncate(n < 0 ? 0 : static_cast<std::size_t>(n));
    return r;
}

stream<chunk> read_chunks(std::string path, std::size_t chunk_bytes) {
    place& at = co_await here();
    reading r = co_await offload([path] { return begin_reading(path); });
    for (;;) {
        if (r.error) co_await fail(r.error, path);
        r.data = chunk(chunk_bytes);
        hold(at, chunk_bytes, chunk_bytes);
        r = co_await offload([given = std::move(r)]() mutable { return read_some(std::move(given)); });
        if (r.error) co_await fail(r.error, path);
        hold(at, 0, chunk_bytes);
        if (r.data.empty()) co_return;
        co_yield std::move(r.data);
    }
}

// Six characters that no other part_file of the same path is likely to have.
std::string random_letters() {
    static constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz0123456789";
    std::random_device random;
    std::string out(6, '\0');
    for (char& c : out) c = letters[random() % letters.size()];
    return out;
}

std::error_code sync_folder_of(const std::string& path) noexcept {
    const std::size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    const open_file f(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return f.fd() < 0 || ::fsync(f.fd()) != 0 ? last_error() : std::error_code(); // before f is closed
}

} // namespace

stream<chunk> read::into_stream() && { return read_chunks(std::move(path_), chunk_bytes_); }

part_file::~part_file() {
    if (fd_ >= 0) ::close(fd_);
    if (!name_.empty()) ::unlink(name_.c_str());
}

// Only a file may be replaced: renaming onto a device would take it away from everybody.
std::error_code part_file::open_for(const std::string& path) {
    struct stat there{};
    if (::stat(path.c_str(), &there) == 0 && !S_ISREG(there.st_mode))
        return system_error_code(S_ISDIR(there.st_mode) ? EISDIR : ENOTSUP);
    for (int attempts = 0; attempts < 100; ++attempts) {
        std::string name = path + "." + random_letters() + ".part";
        fd_ = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd_ >= 0) {
            name_ = std::move(name);
            return {};
        }
        if (errno != EEXIST) return last_error(); // read before the name's memory is freed: that may set errno
    }
    return system_error_code(EEXIST);
}

std::error_code part_file::write(std::string_view bytes) noexcept {
    while (!bytes.empty()) {
        const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return last_error();
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
}

std::error_code part_file::commit(const std::string& path, bool sync) noexcept {
    if (sync && ::fsync(fd_) != 0) return last_error();
    if (::close(std::exchange(fd_, -1)) != 0 && errno != EINTR)
        return last_error(); // a network disk tells here that it is full
    if (::rename(name_.c_str(), path.c_str()) != 0) return last_error();
    name_.clear();
    return sync ? sync_folder_of(path) : std::error_code();
}

chunk create::take_gathered() noexcept {
    gathered_.truncate(std::exchange(filled_, 0));
    return std::exchange(gathered_, {});
}

task<> create::write(chunk item) {
    if (item.empty()) co_return;
    place& at = co_await here();
    if (item.size() >= gathered_below) {
        co_await put(take_gathered(), std::move(item), false);
        hold(at, 0, chunk_large);
        co_return;
    }
    if (filled_ + item.size() > gathered_.size()) {
        if (filled_ != 0) co_await put(take_gathered(), {}, false);
        gathered_ = chunk(chunk_large);
    }
    std::memcpy(gathered_.data() + filled_, item.data(), item.size());
    filled_ += item.size();
    hold(at, filled_, chunk_large);
}

task<> create::finish() { co_await put(take_gathered(), {}, true); }

task<> create::put(chunk first, chunk second, bool last) {
    auto write = [file = std::move(file_), first = std::move(first), second = std::move(second), path = path_, last,
                  sync = options_.fsync]() mutable {
        std::error_code e;
        if (!file.is_open()) e = file.open_for(path);
        if (!e) e = file.write(first.text());
        if (!e) e = file.write(second.text());
        if (!e && last) e = file.commit(path, sync);
        return std::pair(std::move(file), e);
    };
    std::error_code e;
    std::tie(file_, e) = co_await offload(std::move(write));
    if (e) co_await fail(e, path_);
}

} // namespace headgate::files
