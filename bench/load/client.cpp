#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string_view>
#include <vector>

#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bench/load/modes.hpp>
#include <bench/load/net.hpp>
#include <bench/load/response_reader.hpp>

namespace bench {

namespace {

constexpr std::size_t block_bytes = 1024 * 1024;

// What the connections of one client share: when to stop, and what was done.
struct tally {
    poller events;
    double end = 0;
    int active = 0;
    std::uint64_t exchanges = 0;
    std::uint64_t bytes = 0;
};

void send_whole(int fd, std::string_view text) {
    if (::send(fd, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) die("send");
}

// One connection: an exchange, then the next, until the time is over. `Exchange` has begin(fd), which gives the events
// to wait for, and step(fd), which tells what has come of it.
enum class progress { going_on, now_reading, done };

template <class Exchange>
class connection final : public handler {
public:
    connection(tally& t, const load_options& options) : tally_(t), fd_(connect_to(options.to)), exchange_(options) {
        t.events.add(fd_, exchange_.begin(fd_), *this);
        ++t.active;
    }
    ~connection() override { ::close(fd_); }

    void on_event(std::uint32_t) override {
        switch (exchange_.step(fd_)) {
        case progress::going_on: return;
        case progress::now_reading: tally_.events.change(fd_, EPOLLIN, *this); return;
        case progress::done: break;
        }
        ++tally_.exchanges;
        tally_.bytes += exchange_.bytes();
        if (now() >= tally_.end) {
            tally_.events.change(fd_, 0, *this);
            --tally_.active;
        } else if (const std::uint32_t wanted = exchange_.begin(fd_); wanted != EPOLLIN) {
            tally_.events.change(fd_, wanted, *this);
        }
    }

private:
    tally& tally_;
    int fd_;
    Exchange exchange_;
};

class download {
public:
    explicit download(const load_options& o) : request_("GET " + o.path + " HTTP/1.1\r\nHost: bench\r\n\r\n") {}
    std::uint32_t begin(int fd) {
        send_whole(fd, request_);
        return EPOLLIN;
    }
    progress step(int fd) { return reader_.read(fd) ? progress::done : progress::going_on; }
    std::uint64_t bytes() const { return reader_.body_bytes(); }

private:
    std::string request_;
    response_reader reader_;
};

class upload {
public:
    explicit upload(const load_options& o)
        : head_("POST /sink HTTP/1.1\r\nHost: bench\r\nContent-Length: " + std::to_string(o.bytes) + "\r\n\r\n"),
          bytes_(o.bytes) {}
    std::uint32_t begin(int fd) {
        send_whole(fd, head_);
        left_ = bytes_;
        return EPOLLOUT;
    }
    progress step(int fd) {
        if (left_ == 0) return reader_.read(fd) ? progress::done : progress::going_on;
        off_t from = 0;
        const ssize_t n = ::sendfile(fd, block_, &from, std::min<std::uint64_t>(left_, block_bytes));
        if (n < 0 && errno == EAGAIN) return progress::going_on;
        if (n <= 0) die("a request body was refused");
        left_ -= static_cast<std::uint64_t>(n);
        return left_ == 0 ? progress::now_reading : progress::going_on;
    }
    std::uint64_t bytes() const { return bytes_; }

private:
    inline static const int block_ = file_in_memory(block_bytes);
    std::string head_;
    std::uint64_t bytes_;
    std::uint64_t left_ = 0;
    response_reader reader_;
};

// The same, in chunks of 16 KiB.
class upload_chunked {
public:
    explicit upload_chunked(const load_options& o) : chunks_(o.bytes / chunk_bytes) {}
    std::uint32_t begin(int fd) {
        send_whole(fd, "POST /sink HTTP/1.1\r\nHost: bench\r\nTransfer-Encoding: chunked\r\n\r\n");
        left_ = chunks_;
        sent_ = 0;
        return EPOLLOUT;
    }
    progress step(int fd) {
        if (left_ == 0) return reader_.read(fd) ? progress::done : progress::going_on;
        const std::string_view all = block();
        const std::size_t chunks = std::min(left_, block_chunks);
        const std::size_t end = chunks * (all.size() - last.size()) / block_chunks;
        // Whole chunks from the front of the block, or its last ones with what follows them.
        const std::string_view part =
            left_ > block_chunks ? all.substr(0, end) : all.substr(all.size() - last.size() - end);
        const ssize_t n = ::send(fd, part.data() + sent_, part.size() - sent_, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) return progress::going_on;
        if (n <= 0) die("a request body was refused");
        sent_ += static_cast<std::size_t>(n);
        if (sent_ != part.size()) return progress::going_on;
        sent_ = 0;
        left_ -= chunks;
        return left_ == 0 ? progress::now_reading : progress::going_on;
    }
    std::uint64_t bytes() const { return chunks_ * chunk_bytes; }

private:
    static constexpr std::size_t block_chunks = block_bytes / chunk_bytes;
    static constexpr std::string_view last = "0\r\n\r\n";
    static const std::string& block() {
        static const std::string made = [] {
            std::string all;
            for (std::size_t i = 0; i < block_chunks; ++i)
                all.append("4000\r\n").append(chunk_bytes, 'x').append("\r\n");
            return all.append(last);
        }();
        return made;
    }
    std::size_t chunks_;
    std::size_t left_ = 0; // chunks
    std::size_t sent_ = 0; // of the current block, in bytes
    response_reader reader_;
};

class pingpong {
public:
    explicit pingpong(const load_options& o) : message_(o.bytes, 'x') {}
    std::uint32_t begin(int fd) {
        send_whole(fd, message_);
        left_ = message_.size();
        return EPOLLIN;
    }
    progress step(int fd) {
        std::array<char, 4096> buffer;
        const ssize_t n = ::recv(fd, buffer.data(), std::min(buffer.size(), left_), 0);
        if (n < 0 && errno == EAGAIN) return progress::going_on;
        if (n <= 0) die("a connection was closed");
        left_ -= static_cast<std::size_t>(n);
        return left_ == 0 ? progress::done : progress::going_on;
    }
    std::uint64_t bytes() const { return message_.size(); }

private:
    std::string message_;
    std::size_t left_ = 0;
};

template <class Exchange>
void run(const load_options& options) {
    tally t;
    const double start = now();
    t.end = start + options.seconds;
    std::vector<std::unique_ptr<connection<Exchange>>> all;
    for (int i = 0; i < options.connections; ++i) all.push_back(std::make_unique<connection<Exchange>>(t, options));
    while (t.active != 0) t.events.turn();
    std::printf("{\"exchanges\": %llu, \"bytes\": %llu, \"seconds\": %.6f}\n",
                static_cast<unsigned long long>(t.exchanges), static_cast<unsigned long long>(t.bytes), now() - start);
}

int count_closed(const std::vector<int>& all) {
    int closed = 0;
    for (const int fd : all) {
        pollfd p{fd, POLLIN | POLLRDHUP, 0};
        closed += ::poll(&p, 1, 0) != 0;
    }
    return closed;
}

} // namespace

void run_download(const load_options& options) { run<download>(options); }
void run_upload(const load_options& options) { run<upload>(options); }
void run_upload_chunked(const load_options& options) { run<upload_chunked>(options); }
void run_pingpong(const load_options& options) { run<pingpong>(options); }

void run_idle(const load_options& options) {
    std::vector<int> all;
    for (int i = 0; i < options.connections; ++i) {
        const int fd = connect_to(options.to);
        all.push_back(fd);
        download once(options);
        once.begin(fd);
        pollfd p{fd, POLLIN, 0};
        while (::poll(&p, 1, -1) >= 0 && once.step(fd) != progress::done) {
        }
    }
    std::printf("{\"open\": %zu}\n", all.size());
    std::fflush(stdout);
    while (std::getchar() != EOF) {
    }
    std::printf("{\"closed\": %d}\n", count_closed(all));
}

} // namespace bench
