#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

#include <bench/load/modes.hpp>
#include <bench/load/net.hpp>
#include <bench/load/response_reader.hpp>

namespace bench {

namespace {

void send_whole(int fd, std::string_view text) {
    if (::send(fd, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) die("send");
}

std::string get(const std::string& path) { return "GET " + path + " HTTP/1.1\r\nHost: bench\r\n\r\n"; }

// The time that this share of all were within.
double percentile(std::vector<double>& all, double share) {
    if (all.empty()) return 0;
    const auto at = all.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(all.size() - 1));
    std::nth_element(all.begin(), at, all.end());
    return *at;
}

void tell(std::vector<double>& all, double scale, double seconds) {
    const std::size_t count = all.size();
    std::printf("{\"exchanges\": %zu, \"bytes\": 0, \"seconds\": %.6f, \"p50\": %.4f, \"p99\": %.4f}\n", count, seconds,
                percentile(all, 0.5) * scale, percentile(all, 0.99) * scale);
}

// One stream of events.
class event_stream final : public handler {
public:
    event_stream(poller& events, const load_options& o, std::vector<double>& ages)
        : fd_(connect_to(o.to)), ages_(ages) {
        send_whole(fd_, get(o.path));
        events.add(fd_, EPOLLIN, *this);
    }
    ~event_stream() override { ::close(fd_); }

    void on_event(std::uint32_t) override {
        std::array<char, 16 * 1024> buffer;
        const ssize_t n = ::recv(fd_, buffer.data(), buffer.size(), 0);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) die("a stream of events has ended");
        const double at = now();
        rest_.append(buffer.data(), static_cast<std::size_t>(n));
        std::size_t from = 0;
        // However the chunks are cut on the way, an event stays in one.
        while ((from = rest_.find("data: ", from)) != rest_.npos && rest_.size() - from >= event_bytes) {
            ages_.push_back(at - std::strtod(rest_.c_str() + from + 6, nullptr));
            from += event_bytes;
        }
        rest_.erase(0, from == rest_.npos ? rest_.size() - std::min<std::size_t>(rest_.size(), 5) : from);
    }

private:
    int fd_;
    std::vector<double>& ages_;
    std::string rest_;
};

// A connection that is asked now and then. What is due while an answer is awaited waits for it.
class asked final : public handler {
public:
    asked(poller& events, const load_options& o, std::vector<double>& took)
        : fd_(connect_to(o.to)), request_(get(o.path)), took_(took) {
        events.add(fd_, EPOLLIN, *this);
    }
    ~asked() override { ::close(fd_); }

    void ask(double due) {
        due_.push_back(due);
        if (due_.size() == 1) send_whole(fd_, request_);
    }
    void on_event(std::uint32_t) override {
        if (!reader_.read(fd_)) return;
        took_.push_back(now() - due_.front());
        due_.pop_front();
        if (!due_.empty()) send_whole(fd_, request_);
    }
    bool waits() const { return !due_.empty(); }

private:
    int fd_;
    std::string request_;
    std::vector<double>& took_;
    std::deque<double> due_;
    response_reader reader_;
};

class asker final : public handler {
public:
    asker(poller& events, const load_options& o, std::vector<double>& took) : timer_(1 / o.rate) {
        for (int i = 0; i < o.connections; ++i) all_.push_back(std::make_unique<asked>(events, o, took));
        events.add(timer_.fd(), EPOLLIN, *this);
    }
    void on_event(std::uint32_t) override {
        if (timer_.expirations() == 0 || !running_) return;
        all_[next_++ % all_.size()]->ask(now());
    }
    // Each of them, one after the other.
    void ask_all(poller& events) {
        for (auto& each : all_) {
            each->ask(now());
            while (each->waits()) events.turn();
        }
    }
    void begin() { running_ = true; }
    void end() { running_ = false; }
    bool waits() const {
        return std::any_of(all_.begin(), all_.end(), [](const auto& each) { return each->waits(); });
    }

private:
    interval_timer timer_;
    std::vector<std::unique_ptr<asked>> all_;
    std::size_t next_ = 0;
    bool running_ = false;
};

} // namespace

void run_events(const load_options& options) {
    poller events;
    std::vector<double> ages;
    std::vector<std::unique_ptr<event_stream>> all;
    for (int i = 0; i < options.connections; ++i) all.push_back(std::make_unique<event_stream>(events, options, ages));
    const double start = now();
    while (now() < start + options.seconds) events.turn();
    tell(ages, 1e3, now() - start);
}

void run_latency(const load_options& options) {
    poller events;
    std::vector<double> took;
    asker all(events, options, took);
    if (options.held) {
        all.ask_all(events);
        took.clear();
        std::printf("{\"open\": %d}\n", options.connections);
        std::fflush(stdout);
        if (std::getchar() == EOF) return;
    }
    const double start = now();
    all.begin();
    while (now() < start + options.seconds) events.turn();
    all.end();
    while (all.waits()) events.turn();
    tell(took, 1e6, now() - start);
}

} // namespace bench
