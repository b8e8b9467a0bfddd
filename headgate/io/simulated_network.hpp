#pragma once

#include <headgate/io/address.hpp>
#include <headgate/io/kernel.hpp>

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace headgate {

// What a simulation is like. Everything may be changed while it runs and holds for what is done from then on.
struct simulated_options {
    // 0: nothing is left to chance. Otherwise the source of all chance: in which pieces and how late bytes arrive, how
    // much a write takes, in which order events are reported. The same seed gives the same run.
    std::uint64_t seed = 0;
    duration delay_max =
        std::chrono::milliseconds(1); // with a seed: what is sent over TCP is late by up to this much more

    duration latency_to_listener{};  // TCP, from the side that connected
    duration latency_to_connector{}; // TCP, from the side that accepted
    duration connect_delay{};        // added to TCP's first packet; `forever`: it is lost, and the connect hangs

    std::size_t send_buffer = 64 * 1024;    // of sockets opened from then on
    std::size_t receive_buffer = 64 * 1024; // the same; TCP only, as on Linux
    std::size_t events_at_once = 256;    // the most that one wait reports; 1 steps through a run in the smallest steps
    std::size_t descriptors_max = 65536; // open at once; beyond it EMFILE
};

// A small generator of numbers that look random (splitmix64; G. Steele, D. Lea, C. Flood, 2014). Copyable; for tests,
// not for secrets.
class random_source {
public:
    explicit random_source(std::uint64_t seed) noexcept : state_(seed) {}

    std::uint64_t next() noexcept {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        return z ^ z >> 31;
    }
    // A number below `n`, which is not 0.
    std::uint64_t below(std::uint64_t n) noexcept { return next() % n; }

private:
    std::uint64_t state_;
};

namespace detail {

// One end of a connection or of a pipe. It outlives its descriptor until what it has sent has arrived.
struct endpoint {
    enum class kind : std::uint8_t { tcp, local, pipe_read, pipe_write };
    enum class state : std::uint8_t { fresh, listening, connecting, half_open, connected, closed };
    static constexpr unsigned receive = 1; // bits of `shut`
    static constexpr unsigned send = 2;
    static constexpr unsigned both = 3;

    std::uint64_t id = 0;
    int fd = -1; // -1: not accepted yet, or closed
    kind what = kind::tcp;
    state now = state::fresh;
    address name, peer_name;
    std::uint64_t peer = 0;
    std::uint64_t home = 0;           // the listener that it came in by
    const char* opened_by = "";       // for listings
    std::optional<std::uint64_t> tag; // watched with
    bool edge = false;                // something has happened since the last report

    unsigned shut = 0;
    int error = 0;           // SO_ERROR
    bool peer_ended = false; // FIN has arrived
    bool reset_on_close = false;
    bool reuse_port = false;

    std::deque<std::string> received; // one string per segment
    std::size_t received_bytes = 0;
    std::size_t receive_buffer = 0;

    std::deque<std::string> unsent; // taken from the application, not yet on its way
    std::size_t unacknowledged = 0; // of the send buffer: not yet known to have arrived
    std::size_t send_buffer = 0;
    std::size_t window = 0; // what the peer still has room for
    bool end_queued = false;
    bool end_sent = false;
    bool end_arrived = false;
    bool wants_room = false;
    time_point last_arrival{}; // of what it has sent, which never overtakes itself

    std::size_t backlog = 0;
    std::deque<std::uint64_t> waiting; // connections not yet accepted
    std::size_t slots = 0;             // pipe: how many segments it takes

    bool is_pipe() const noexcept { return what == kind::pipe_read || what == kind::pipe_write; }
    bool is_tcp() const noexcept { return what == kind::tcp; }
    std::string text() const;
};

// The sockets, pipes, wires and the clock of a simulation, without descriptors. Each operation does what Linux does,
// and returns what the system call would (-errno on failure). Bounded by the buffers of the sockets.
class simulated_network {
public:
    explicit simulated_network(simulated_options o) : options(o), chance(o.seed) {}

    endpoint& make(endpoint::kind what);
    endpoint* find(std::uint64_t id) noexcept;
    void close(endpoint& e);

    int bind(endpoint& e, const address& at);
    int listen(endpoint& e, int backlog);
    int connect(endpoint& e, const address& to);
    int connect_pair(endpoint& a, endpoint& b);
    endpoint* accept(endpoint& listener); // none: nobody waits
    int unlink(const std::string& path);
    int shutdown(endpoint& e, int how);

    ssize_t read(endpoint& e, char* to, std::size_t bytes);
    ssize_t write(endpoint& e, const iovec* from, int count);
    int pipe(endpoint& read_end, endpoint& write_end, std::size_t bytes);
    ssize_t splice(endpoint& from, endpoint& to, std::size_t bytes);

    // The EPOLL* bits that hold now.
    std::uint32_t bits(const endpoint& e) const noexcept;
    // Something has happened to `e`: it is reported if it is watched and anything holds.
    void touch(endpoint& e);
    // What has been touched since the last call and is watched, with bits that hold.
    std::vector<endpoint*> take_touched();

    time_point now() const noexcept { return now_; }
    // When the next packet arrives; time_point::max() if none is on its way.
    time_point next_arrival() const noexcept { return wire_.empty() ? time_point::max() : wire_.begin()->first.first; }
    // Lets everything arrive that is due.
    void settle();
    void advance_to(time_point t);

    const std::map<std::uint64_t, endpoint>& endpoints() const noexcept { return endpoints_; }
    std::map<std::uint64_t, endpoint>& endpoints() noexcept { return endpoints_; }
    std::size_t bytes_in_flight() const noexcept;

    simulated_options options;
    random_source chance;
    bool random() const noexcept { return options.seed != 0; }

private:
    enum class packet_kind : std::uint8_t { syn, syn_ack, established, data, ack, window, end, reset };
    struct packet {
        packet_kind what;
        std::uint64_t to;
        std::uint64_t from;
        std::string bytes;
        std::size_t count = 0;
        address target; // syn
    };

    void post(endpoint& from, packet p, duration extra = {});
    void post_control(const endpoint& from, packet p, duration extra = {});
    void reply_reset(std::uint64_t to, const endpoint* nearest);
    duration latency_from(const endpoint& e) const noexcept;

    void arrive(packet p);
    void arrive_syn(packet p);
    void arrive_data(endpoint* e, packet p);
    void arrive_reset(endpoint& e);
    void arrive_acknowledgement(endpoint& e, std::size_t bytes);

    endpoint* listener_at(const address& at);
    void transmit(endpoint& e);
    void end_sending(endpoint& e);
    void close_local(endpoint& e, bool never_accepted);
    void close_tcp(endpoint& e);
    void close_pipe(endpoint& e);
    void remove_if_done(endpoint& e);
    bool has_room(const endpoint& e) const noexcept;
    bool writable(const endpoint& e) const noexcept;
    ssize_t may_receive(endpoint& e);
    ssize_t may_send(endpoint& e, bool any);
    ssize_t take(endpoint& e, char* to, std::size_t bytes, std::size_t slots);
    std::size_t put(endpoint& e, std::string bytes);

    time_point now_{std::chrono::hours(1)};
    std::uint64_t last_id_ = 0;
    std::uint64_t last_packet_ = 0;
    std::uint16_t last_port_ = 32767;
    std::map<std::uint64_t, endpoint> endpoints_;
    std::map<std::pair<time_point, std::uint64_t>, packet> wire_;
    std::set<std::string> paths_;
    std::vector<std::uint64_t> touched_;
};

} // namespace detail

} // namespace headgate
