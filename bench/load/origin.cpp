#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bench/load/modes.hpp>
#include <bench/load/net.hpp>

namespace bench {

namespace {

constexpr std::size_t block_bytes = 1024 * 1024; // what is sent per event, and the file it is sent from
constexpr std::string_view last_chunk = "0\r\n\r\n";
constexpr double event_seconds = 0.1; // between two events of a stream
constexpr int event_turns = 20;       // in which the streams take turns, so that they do not all come at once

const std::string small_response =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 200\r\n\r\n" + std::string(199, 'x') + "\n";

std::string make_chunks() {
    std::array<char, 16> size;
    const int n = std::snprintf(size.data(), size.size(), "%zx\r\n", chunk_bytes);
    std::string all;
    for (std::size_t bytes = 0; bytes < block_bytes; bytes += chunk_bytes) {
        all.append(size.data(), static_cast<std::size_t>(n)).append(chunk_bytes, 'x').append("\r\n");
    }
    return all.append(last_chunk);
}

class http_connection;

// What all connections share.
struct shared {
    poller events;
    std::array<std::vector<http_connection*>, event_turns> streams{}; // those that are sent events, by turn
    std::size_t streams_begun = 0;
    int block = file_in_memory(block_bytes);
    std::string chunks = make_chunks(); // one block of a chunked body, and the end of the body
};

// The number that follows `prefix` in `text`, if it starts with it.
std::optional<std::uint64_t> number_after(std::string_view text, std::string_view prefix) {
    std::uint64_t n = 0;
    if (!text.starts_with(prefix)) return {};
    text.remove_prefix(prefix.size());
    if (std::from_chars(text.data(), text.data() + text.size(), n).ec != std::errc{}) return {};
    return n;
}

// The Content-Length of a head; 0 without.
std::uint64_t content_length(const std::string& head) {
    const char* field = ::strcasestr(head.c_str(), "\r\ncontent-length:");
    return field ? std::strtoull(field + std::strlen("\r\ncontent-length:"), nullptr, 10) : 0;
}

// One connection: a request, its answer, the next request. Nothing is pipelined.
class http_connection final : public handler {
public:
    http_connection(shared& s, int fd) : shared_(s), fd_(fd) { s.events.add(fd, EPOLLIN, *this); }
    ~http_connection() override {
        if (stream_) std::erase(shared_.streams[*stream_], this);
        ::close(fd_);
    }

    void on_event(std::uint32_t events) override {
        if (!((events & EPOLLOUT) ? send_more() : receive())) delete this;
    }

    // An event with the time in it, as a chunk. A client that does not take it misses it.
    void send_event() {
        std::array<char, event_bytes + 1> event{};
        event.fill('.');
        std::snprintf(event.data(), event.size(), "data: %020.9f", now());
        event[event_time_end] = ' ';
        event[event_bytes - 2] = event[event_bytes - 1] = '\n';
        std::array<char, event_bytes + 16> chunk;
        const int n = std::snprintf(chunk.data(), chunk.size(), "%zx\r\n%.*s\r\n", event_bytes,
                                    static_cast<int>(event_bytes), event.data());
        ::send(fd_, chunk.data(), static_cast<std::size_t>(n), MSG_NOSIGNAL);
    }

private:
    // Members that move bytes return whether the connection lives.
    bool receive() {
        std::array<char, 256 * 1024> buffer;
        if (upload_left_ != 0) return drain();
        if (upload_chunked_) return drain_chunks();
        const ssize_t n = ::recv(fd_, buffer.data(), buffer.size(), 0);
        if (n < 0 && errno == EAGAIN) return true;
        if (n <= 0) return false;
        head_.append(buffer.data(), static_cast<std::size_t>(n));
        const auto end = head_.find("\r\n\r\n");
        if (end == head_.npos) return head_.size() < 64 * 1024;
        const std::string body = head_.substr(end + 4);
        head_.resize(end + 2);
        const bool alive = start(body);
        head_.clear();
        return alive;
    }

    bool start(std::string_view body) {
        const std::string_view line = std::string_view(head_).substr(0, head_.find('\r'));
        if (line.starts_with("POST ") && ::strcasestr(head_.c_str(), "\r\ntransfer-encoding: chunked\r\n")) {
            upload_chunked_ = true;
            return saw_chunks(body);
        }
        if (line.starts_with("POST ")) {
            upload_left_ = content_length(head_) - body.size();
            return upload_left_ != 0 || answer(small_response);
        }
        if (const auto bytes = number_after(line, "GET /bytes/")) {
            plain_left_ = *bytes;
            return answer("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(*bytes) + "\r\n\r\n") &&
                   begin_sending();
        }
        if (const auto bytes = number_after(line, "GET /chunked/")) {
            blocks_left_ = *bytes / block_bytes;
            return answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") && begin_sending();
        }
        if (line.starts_with("GET /events ")) {
            stream_ = shared_.streams_begun++ % event_turns;
            shared_.streams[*stream_].push_back(this);
            return answer("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                          "Transfer-Encoding: chunked\r\n\r\n");
        }
        if (line.starts_with("GET ")) return answer(small_response);
        return false;
    }

    // Sends what always fits into the socket's buffer.
    bool answer(std::string_view text) {
        return ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
    }

    bool drain() {
        const ssize_t n = ::recv(fd_, nullptr, std::min<std::uint64_t>(upload_left_, block_bytes), MSG_TRUNC);
        if (n < 0 && errno == EAGAIN) return true;
        if (n <= 0) return false;
        upload_left_ -= static_cast<std::uint64_t>(n);
        return upload_left_ != 0 || answer(small_response);
    }

    // A chunked body is all x, so what looks like its end is its end.
    bool drain_chunks() {
        static std::array<char, 256 * 1024> buffer;
        const ssize_t n = ::recv(fd_, buffer.data(), buffer.size(), 0);
        if (n < 0 && errno == EAGAIN) return true;
        return n > 0 && saw_chunks({buffer.data(), static_cast<std::size_t>(n)});
    }

    bool saw_chunks(std::string_view bytes) {
        upload_tail_.append(bytes.substr(bytes.size() - std::min(bytes.size(), last_chunk.size())));
        if (upload_tail_.size() > last_chunk.size()) upload_tail_.erase(0, upload_tail_.size() - last_chunk.size());
        if (upload_tail_ != last_chunk) return true;
        upload_tail_.clear();
        upload_chunked_ = false;
        return answer(small_response);
    }

    bool begin_sending() {
        shared_.events.change(fd_, EPOLLIN | EPOLLOUT, *this);
        return true;
    }

    bool send_more() {
        const ssize_t n = plain_left_ != 0 ? send_plain() : send_chunks();
        if (n < 0) return errno == EAGAIN;
        if (plain_left_ != 0 || blocks_left_ != 0) return true;
        shared_.events.change(fd_, EPOLLIN, *this);
        return true;
    }

    ssize_t send_plain() {
        off_t from = 0;
        const ssize_t n = ::sendfile(fd_, shared_.block, &from, std::min<std::uint64_t>(plain_left_, block_bytes));
        if (n > 0) plain_left_ -= static_cast<std::uint64_t>(n);
        return n;
    }

    ssize_t send_chunks() {
        const std::size_t block_end = shared_.chunks.size() - (blocks_left_ == 1 ? 0 : last_chunk.size());
        const ssize_t n = ::send(fd_, shared_.chunks.data() + block_sent_, block_end - block_sent_, MSG_NOSIGNAL);
        if (n <= 0) return n;
        block_sent_ += static_cast<std::size_t>(n);
        if (block_sent_ == block_end) {
            block_sent_ = 0;
            --blocks_left_;
        }
        return n;
    }

    shared& shared_;
    int fd_;
    std::string head_;
    std::uint64_t upload_left_ = 0;
    bool upload_chunked_ = false;
    std::string upload_tail_;           // the last bytes of a chunked body so far
    std::optional<std::size_t> stream_; // its turn, if it is a stream of events
    std::uint64_t plain_left_ = 0;
    std::uint64_t blocks_left_ = 0;
    std::size_t block_sent_ = 0; // of the current block of chunks
};

// Sends back what it reads. Messages are small: a socket that would not take one is given up.
class echo_connection final : public handler {
public:
    echo_connection(shared& s, int fd) : fd_(fd) { s.events.add(fd, EPOLLIN, *this); }
    ~echo_connection() override { ::close(fd_); }

    void on_event(std::uint32_t) override {
        std::array<char, 4096> buffer;
        const ssize_t n = ::recv(fd_, buffer.data(), buffer.size(), 0);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0 || ::send(fd_, buffer.data(), static_cast<std::size_t>(n), MSG_NOSIGNAL) != n) delete this;
    }

private:
    int fd_;
};

// Sends all streams their events.
class event_clock final : public handler {
public:
    explicit event_clock(shared& s) : shared_(s), timer_(event_seconds / event_turns) {
        s.events.add(timer_.fd(), EPOLLIN, *this);
    }

    void on_event(std::uint32_t) override {
        for (std::uint64_t n = timer_.expirations(); n > 0; --n) {
            for (http_connection* each : shared_.streams[turn_]) each->send_event();
            turn_ = (turn_ + 1) % event_turns;
        }
    }

private:
    shared& shared_;
    interval_timer timer_;
    std::size_t turn_ = 0;
};

template <class Connection>
class acceptor final : public handler {
public:
    acceptor(shared& s, const sockaddr_in& at) : shared_(s), fd_(listen_on(at)) { s.events.add(fd_, EPOLLIN, *this); }

    void on_event(std::uint32_t) override {
        for (int fd; (fd = accept_from(fd_)) >= 0;) new Connection(shared_, fd);
    }

private:
    shared& shared_;
    int fd_;
};

} // namespace

void run_origin(const sockaddr_in& http, const sockaddr_in& echo) {
    shared s;
    acceptor<http_connection> http_acceptor(s, http);
    acceptor<echo_connection> echo_acceptor(s, echo);
    event_clock clock(s);
    std::puts("ready");
    std::fflush(stdout);
    for (;;) s.events.turn();
}

} // namespace bench
