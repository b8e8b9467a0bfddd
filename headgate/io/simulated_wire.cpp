#include <headgate/io/simulated_network.hpp>

#include <algorithm>
#include <utility>

// The half of the simulated network that is between the endpoints: what is sent, and arrives later.
namespace headgate::detail {

namespace {

using namespace std::chrono_literals;
using enum endpoint::state;

constexpr std::size_t syn_attempts_max = 7; // as net.ipv4.tcp_syn_retries

} // namespace

duration simulated_network::latency_from(const endpoint& e) const noexcept {
    return e.home != 0 ? options.latency_to_connector : options.latency_to_listener;
}

// What an endpoint sends arrives in the order in which it was sent.
void simulated_network::post(endpoint& from, packet p, duration extra) {
    time_point at = now_ + latency_from(from) + extra;
    if (random() && options.delay_max > duration::zero())
        at += duration(chance.below(static_cast<std::uint64_t>(options.delay_max.count()) + 1));
    from.last_arrival = at = std::max(at, from.last_arrival);
    wire_.emplace(std::pair(at, ++last_packet_), std::move(p));
}

// Acknowledgements have no order of their own.
void simulated_network::post_control(const endpoint& from, packet p, duration extra) {
    wire_.emplace(std::pair(now_ + latency_from(from) + extra, ++last_packet_), std::move(p));
}

// The answer of an endpoint that does not exist any more.
void simulated_network::reply_reset(std::uint64_t to, const endpoint* sender) {
    if (!sender) return;
    const duration back = sender->home != 0 ? options.latency_to_listener : options.latency_to_connector;
    packet p{.what = packet_kind::reset, .to = to, .from = 0, .bytes = {}, .target = {}};
    wire_.emplace(std::pair(now_ + back, ++last_packet_), std::move(p));
}

// Sends what the peer has room for; the end follows the last byte.
void simulated_network::transmit(endpoint& e) {
    while (!e.unsent.empty() && e.window != 0) {
        std::string& first = e.unsent.front();
        std::size_t n = std::min(first.size(), e.window);
        if (random() && n > 1 && chance.below(2) == 0) n = 1 + chance.below(n);
        packet p{.what = packet_kind::data, .to = e.peer, .from = e.id, .bytes = first.substr(0, n), .target = {}};
        if (n == first.size())
            e.unsent.pop_front();
        else
            first.erase(0, n);
        e.window -= n;
        post(e, std::move(p));
    }
    if (e.unsent.empty() && e.end_queued && !e.end_sent) {
        e.end_sent = true;
        post(e, {.what = packet_kind::end, .to = e.peer, .from = e.id, .bytes = {}, .target = {}});
    }
}

void simulated_network::settle() {
    while (!wire_.empty() && wire_.begin()->first.first <= now_) {
        packet p = std::move(wire_.extract(wire_.begin()).mapped());
        arrive(std::move(p));
    }
}

void simulated_network::advance_to(time_point t) {
    now_ = std::max(now_, t);
    settle();
}

void simulated_network::arrive(packet p) {
    endpoint* e = find(p.to);
    endpoint* sender = find(p.from);
    switch (p.what) {
    case packet_kind::syn: return arrive_syn(std::move(p));
    case packet_kind::data: return arrive_data(e, std::move(p));
    case packet_kind::reset:
        if (e) arrive_reset(*e);
        return;
    case packet_kind::ack:
        if (e) arrive_acknowledgement(*e, p.count);
        return;
    case packet_kind::window:
        if (!e || e->now != connected) return;
        e->window += p.count;
        return transmit(*e);
    case packet_kind::syn_ack:
        if (!e) return reply_reset(p.from, sender);
        e->now = connected;
        e->peer = p.from;
        e->window = p.count;
        touch(*e);
        post(*e, {.what = packet_kind::established,
                  .to = p.from,
                  .from = e->id,
                  .bytes = {},
                  .count = e->receive_buffer,
                  .target = {}});
        return;
    case packet_kind::established: {
        if (!e) return;
        endpoint* listener = find(e->home);
        if (!listener) {
            endpoints_.erase(e->id);
            return reply_reset(p.from, sender);
        }
        e->now = connected;
        e->window = p.count;
        listener->waiting.push_back(e->id);
        return touch(*listener);
    }
    case packet_kind::end:
        if (sender) {
            sender->end_arrived = true;
            remove_if_done(*sender);
        }
        if (!e || e->now != connected) return;
        e->peer_ended = true;
        e->shut |= endpoint::receive;
        return touch(*e);
    }
}

// With a full backlog Linux drops the first packet; the client sends it again after 1, 2, 4... seconds.
void simulated_network::arrive_syn(packet p) {
    endpoint* client = find(p.from);
    if (!client) return;
    endpoint* listener = listener_at(p.target);
    if (!listener) return reply_reset(p.from, client);
    if (listener->waiting.size() > listener->backlog) {
        if (++p.count == syn_attempts_max) {
            client->error = ETIMEDOUT;
            client->now = closed;
            client->shut = endpoint::both;
            return touch(*client);
        }
        const auto again = 1s * (1 << (p.count - 1));
        return post(*client, std::move(p), again);
    }
    endpoint& child = make(endpoint::kind::tcp);
    child.now = half_open;
    child.opened_by = "accept";
    child.home = listener->id;
    child.peer = p.from;
    child.name = p.target;
    child.peer_name = client->name;
    const std::size_t window = child.receive_buffer;
    post(child,
         {.what = packet_kind::syn_ack, .to = p.from, .from = child.id, .bytes = {}, .count = window, .target = {}});
}

void simulated_network::arrive_data(endpoint* e, packet p) {
    endpoint* sender = find(p.from);
    if (e && e->fd < 0 && e->end_queued) { // closed: its end was sent, and after it comes the reset
        post(*e, {.what = packet_kind::reset, .to = p.from, .from = e->id, .bytes = {}, .target = {}});
        endpoints_.erase(e->id);
        return;
    }
    if (!e || e->now != connected) return reply_reset(p.from, sender);
    const std::size_t n = p.bytes.size();
    e->received_bytes += n;
    e->received.push_back(std::move(p.bytes));
    touch(*e);
    post_control(*e, {.what = packet_kind::ack, .to = p.from, .from = e->id, .bytes = {}, .count = n, .target = {}});
}

void simulated_network::arrive_reset(endpoint& e) {
    if (e.now == closed || e.now == fresh) return;
    if (e.fd < 0 && (e.now == half_open || e.end_queued)) {
        endpoints_.erase(e.id); // nobody is left to be told
        return;
    }
    e.error = e.now == connecting ? ECONNREFUSED : e.peer_ended && !e.end_sent ? EPIPE : ECONNRESET;
    e.now = closed;
    e.shut = endpoint::both;
    e.unsent.clear();
    e.unacknowledged = 0;
    touch(e);
}

void simulated_network::arrive_acknowledgement(endpoint& e, std::size_t bytes) {
    e.unacknowledged -= std::min(bytes, e.unacknowledged);
    if (e.wants_room && writable(e)) {
        e.wants_room = false;
        touch(e);
    }
    remove_if_done(e);
}

std::size_t simulated_network::bytes_in_flight() const noexcept {
    std::size_t n = 0;
    for (const auto& [at, p] : wire_) n += p.bytes.size();
    for (const auto& [id, e] : endpoints_)
        for (const std::string& s : e.unsent) n += s.size();
    return n;
}

} // namespace headgate::detail
