#pragma once

#include <headgate/core/nursery.hpp>
#include <headgate/core/permits.hpp>
#include <headgate/http/inbound.hpp>
#include <headgate/io/proxy_header.hpp>
#include <headgate/io/resolver.hpp>
#include <headgate/io/socket.hpp>
#include <headgate/io/tls.hpp>

#include <memory>
#include <vector>

#include <gateway/config.hpp>
#include <gateway/health.hpp>
#include <gateway/observe/live_flow.hpp>

namespace headgate::gateway {

class endpoint_pool;
struct pool_link : list_node {};

// One connection to an upstream, with what it has sent and nobody has used yet. In the pool it waits, in the loop, for
// the first sign of life from the other side, which ends it: an idle connection has nothing to say.
class upstream_connection : pool_link, io_wait, timer {
public:
    explicit upstream_connection(socket s) noexcept
        : connection(std::move(s)), opened_(executor::current().turn_time()) {}

    socket connection;
    http::inbound in;

private:
    friend endpoint_pool;
    endpoint_pool* home_ = nullptr;
    time_point opened_;
    std::size_t requests_ = 1; // the one that it carries included
};

// A connection on loan for one exchange. It goes back to the pool only with give_back(); destroyed before, it is reset,
// so that the upstream sees that the exchange was cut. It may keep the permit by which there is a connection.
class upstream_lease {
public:
    upstream_lease() = default;
    upstream_lease(endpoint_pool& home, std::unique_ptr<upstream_connection> c, bool reused) noexcept;
    upstream_lease(upstream_lease&& o) noexcept
        : home_(std::exchange(o.home_, nullptr)), c_(std::move(o.c_)), reused_(o.reused_),
          told_(std::exchange(o.told_, nullptr)), permit_(std::move(o.permit_)) {}
    upstream_lease& operator=(upstream_lease&& o) noexcept {
        if (this != &o) {
            drop();
            home_ = std::exchange(o.home_, nullptr);
            c_ = std::move(o.c_);
            reused_ = o.reused_;
            told_ = std::exchange(o.told_, nullptr);
            permit_ = std::move(o.permit_);
        }
        return *this;
    }
    ~upstream_lease() { drop(); }

    explicit operator bool() const noexcept { return c_ != nullptr; }
    socket& connection() const noexcept { return c_->connection; }
    http::inbound& in() const noexcept { return c_->in; }
    endpoint_pool& home() const noexcept { return *home_; }
    // Whether it has carried an exchange before: then it may turn out to be dead.
    bool reused() const noexcept { return reused_; }
    // Keeps the permit until the lease ends.
    void keep(permit p) noexcept { permit_ = std::move(p); }
    // `f` holds the connection, until the lease ends; it outlives the lease.
    void tell(live_flow& f) noexcept {
        if (told_ != &f) f.hold();
        told_ = &f;
    }

    // Resets the connection, unless it went elsewhere.
    void drop() noexcept;
    // Closes it in an orderly way: the exchange is complete, but the connection is not fit for another.
    void close() noexcept;
    // The exchange is complete both ways and the upstream keeps the connection open. It is pooled, unless there is
    // anything on it that does not belong to the exchange.
    void give_back() noexcept;

private:
    endpoint_pool* home_ = nullptr;
    std::unique_ptr<upstream_connection> c_;
    void ended() noexcept;

    bool reused_ = false;
    live_flow* told_ = nullptr;
    permit permit_;
};

// Handshakes of TLS that were completed. Those that went on with an earlier session cost both sides less.
struct tls_counts {
    std::uint64_t full = 0;
    std::uint64_t resumed = 0;
};

// One endpoint as it is connected to: a configured one, or what a name has been resolved to.
struct endpoint_target {
    endpoint where{};
    std::string srv{};         // if it is all addresses that this SRV record leads to
    std::string authority{};   // what it is called in requests of ours: host:port
    std::string server_name{}; // what its certificate must name
    std::uint32_t weight = 1;
    std::uint32_t priority = 0; // one with a higher number is used when there is none with a lower one
    std::size_t from = 0;       // its place in the configuration

    bool same_place(const endpoint_target& o) const { return from == o.from && where == o.where && srv == o.srv; }
};

// One worker's connections to one endpoint of an upstream. Lives until nobody uses it, also when it is no longer one of
// the upstream's.
class endpoint_pool {
public:
    static constexpr std::size_t nowhere = static_cast<std::size_t>(-1);

    endpoint_pool(endpoint_target t, const upstream_options& o, tcp_liveness alive,
                  std::optional<tls_client_context> tls, resolver& names, upstream_health& health, tls_counts& shaken)
        : to_(std::move(t)), name_(to_.srv.empty() ? to_.where.text() : to_.srv), options_(o), alive_(alive),
          tls_(std::move(tls)), names_(names), health_(health), shaken_(shaken) {}
    endpoint_pool(const endpoint_pool&) = delete;
    endpoint_pool& operator=(const endpoint_pool&) = delete;
    ~endpoint_pool() { close_idle(); }

    // A pooled connection, the one used last; none if the pool is empty.
    upstream_lease reuse() noexcept;
    // A new connection, for whom `from` says if the upstream wants to be told. The error is that of the last address
    // tried.
    task<result<upstream_lease>> connect(const proxy_header* from, duration* handshake = nullptr);
    // The same, on our own behalf, not to be lent or pooled.
    task<result<socket>> open() { return open(nullptr, nullptr); }

    // How a request went. Connects are reported by the upstream itself if they fail.
    void report(verdict v) noexcept {
        if (place_ != nowhere) health_.report(place_, v, executor::current().turn_time());
    }

    void close_idle() noexcept;
    // Closes idle connections, keeps none from now on, and is not checked any more.
    void retire() noexcept;
    // It is no longer one of the upstream's endpoints: `when_unused` is posted whenever it may have become unused.
    void leave(ready& when_unused) noexcept;
    bool unused() const noexcept { return busy_ == 0 && opening_ == 0; }

    std::string_view name() const noexcept { return name_; }
    std::string_view authority() const noexcept { return to_.authority; }
    const endpoint_target& target() const noexcept { return to_; }
    std::uint32_t weight() const noexcept { return to_.weight; }
    // Its place among those whose health is kept; `nowhere` if it has left.
    std::size_t place() const noexcept { return place_; }
    void set_place(std::size_t place) noexcept { place_ = place; }
    void set_share(std::uint32_t weight, std::uint32_t priority) noexcept {
        to_.weight = weight;
        to_.priority = priority;
    }
    std::uint64_t token() const noexcept { return token_; }
    void set_token(std::uint64_t t) noexcept { token_ = t; }
    std::size_t idle() const noexcept { return idle_count_; }
    std::size_t busy() const noexcept { return busy_; }
    // Of its health checks.
    nursery& checks() noexcept { return checks_; }

private:
    friend upstream_lease;
    class opening;
    task<result<socket>> open(const proxy_header* from, duration* handshake);
    static upstream_connection& member(list_node* n) noexcept;
    bool used_up(const upstream_connection& c) const noexcept;
    void park(std::unique_ptr<upstream_connection> c) noexcept;
    std::unique_ptr<upstream_connection> unpark(upstream_connection& c) noexcept;
    void ended() noexcept;
    task<result<std::vector<address>>> addresses();

    // How long the addresses of a name are used before it is looked up again.
    static constexpr duration addresses_age_max = std::chrono::seconds(10);

    endpoint_target to_;
    std::vector<address> addresses_;
    time_point addresses_at_{};
    std::string name_;
    upstream_options options_;
    tcp_liveness alive_;
    std::optional<tls_client_context> tls_;
    resolver& names_;
    tls_resumption resumption_;
    upstream_health& health_;
    tls_counts& shaken_;
    std::size_t place_ = nowhere;
    std::uint64_t token_ = 0;
    ready* when_unused_ = nullptr;
    list_node idle_; // used last first; owns its members
    std::size_t idle_count_ = 0;
    std::size_t busy_ = 0;
    std::size_t opening_ = 0; // connects in progress
    nursery checks_;
};

} // namespace headgate::gateway
