#pragma once

#include <headgate/core/nursery.hpp>
#include <headgate/http/inbound.hpp>
#include <headgate/io/proxy_header.hpp>
#include <headgate/io/resolver.hpp>
#include <headgate/io/socket.hpp>
#include <headgate/io/tls.hpp>

#include <memory>
#include <vector>

#include <gateway/balancing.hpp>
#include <gateway/circuit_breaker.hpp>
#include <gateway/config.hpp>
#include <gateway/connection_limit.hpp>
#include <gateway/health.hpp>
#include <gateway/retry.hpp>

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
          permit_(std::move(o.permit_)) {}
    upstream_lease& operator=(upstream_lease&& o) noexcept {
        if (this != &o) {
            drop();
            home_ = std::exchange(o.home_, nullptr);
            c_ = std::move(o.c_);
            reused_ = o.reused_;
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
    void keep(connection_permit p) noexcept { permit_ = std::move(p); }

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
    bool reused_ = false;
    connection_permit permit_;
};

// One worker's connections to one endpoint of an upstream.
class endpoint_pool {
public:
    // It is the endpoint number `place` of those whose health is kept.
    endpoint_pool(const endpoint_config& e, const upstream_config& u, tcp_liveness alive,
                  std::optional<tls_client_context> tls, upstream_health& health, std::size_t place)
        : to_(e.where), name_(to_.text()), weight_(e.weight), options_(u.options), alive_(alive), tls_(std::move(tls)),
          server_name_(u.tls.server_name.empty() ? to_.host : u.tls.server_name), health_(health), place_(place) {}
    endpoint_pool(const endpoint_pool&) = delete;
    endpoint_pool& operator=(const endpoint_pool&) = delete;
    ~endpoint_pool() { close_idle(); }

    // A pooled connection, the one used last; none if the pool is empty.
    upstream_lease reuse() noexcept;
    // A new connection, for whom `from` says if the upstream wants to be told. The error is that of the last address
    // tried.
    task<result<upstream_lease>> connect(const proxy_header* from);
    // The same, on our own behalf, not to be lent or pooled.
    task<result<socket>> open() { return open(nullptr); }

    // How a request went. Connects are reported by the upstream itself if they fail.
    void report(verdict v) noexcept { health_.report(place_, v, executor::current().turn_time()); }

    void close_idle() noexcept;
    // Closes idle connections, and keeps none from now on.
    void retire() noexcept;

    std::string_view name() const noexcept { return name_; }
    std::uint32_t weight() const noexcept { return weight_; }
    std::size_t place() const noexcept { return place_; }
    std::size_t idle() const noexcept { return idle_count_; }
    std::size_t busy() const noexcept { return busy_; }

private:
    friend upstream_lease;
    task<result<socket>> open(const proxy_header* from);
    static upstream_connection& member(list_node* n) noexcept;
    bool used_up(const upstream_connection& c) const noexcept;
    void park(std::unique_ptr<upstream_connection> c) noexcept;
    std::unique_ptr<upstream_connection> unpark(upstream_connection& c) noexcept;
    task<result<std::vector<address>>> addresses();

    // How long the addresses of a name are used before it is looked up again.
    static constexpr duration addresses_age_max = std::chrono::seconds(10);

    endpoint to_;
    resolver resolver_;
    std::vector<address> addresses_;
    time_point addresses_at_{};
    std::string name_;
    std::uint32_t weight_;
    upstream_options options_;
    tcp_liveness alive_;
    std::optional<tls_client_context> tls_;
    std::string server_name_;
    tls_resumption resumption_;
    upstream_health& health_;
    std::size_t place_;
    list_node idle_; // used last first; owns its members
    std::size_t idle_count_ = 0;
    std::size_t busy_ = 0;
};

// One worker's view of an upstream: its endpoints, and which of them is next. Endpoints without weight are left out.
class upstream {
public:
    upstream(const upstream_config& c, tcp_liveness alive, const std::optional<tls_client_context>& tls = std::nullopt);

    // `co_await to.admit()`: waits until there may be one more connection to this upstream; see connection_limit.
    // Whoever picks an endpoint holds the permit from before then until its connection is no longer in use.
    connection_limit::admission admit() noexcept { return limit_.admit(); }

    // The key of a request, or of a connection (`head` is null), for pick().
    pick_key key_of(const http::request_head* head, std::string_view client_address) const noexcept {
        return gateway::key_of(balancing_, head, client_address);
    }
    // The endpoint for a request, of those that are well (see upstream_health), by the upstream's policy. With
    // `not_this` another, if there is one.
    endpoint_pool& pick(pick_key key = {}, const endpoint_pool* not_this = nullptr) noexcept;
    // A new connection to `first`, or to another endpoint if that cannot be reached: nothing has been sent yet. A
    // machine that is short of descriptors is short of them for all endpoints. `name` becomes that of the last one
    // tried, and lives as long as the upstream. The error is that of the last one.
    // The connection is for whom `from` says; null: for us.
    task<result<upstream_lease>> connect(endpoint_pool& first, std::string_view& name, pick_key key = {},
                                         const proxy_header* from = nullptr);
    // What there is to tell the upstream of a client, who is connected to us by `connection`. Costs nothing if the
    // upstream is not to be told.
    proxy_header proxy_header_for(const peer_address& client, const socket& connection) const noexcept;

    // Begins to check the endpoints, if that is asked for; on the worker's loop.
    void start_checks();

    // Ends the checks, closes idle connections, and keeps none from now on.
    void retire() noexcept;
    std::size_t idle() const noexcept;
    std::size_t busy() const noexcept;
    upstream_health& health() noexcept { return health_; }
    const connection_limit& limit() const noexcept { return limit_; }
    retry_budget& budget() noexcept { return budget_; }
    choice& chance() noexcept { return chance_; }
    circuit_breaker& circuit() noexcept { return circuit_; }
    // Whether all endpoints are used because none is well.
    bool none_is_well() noexcept { return health_.none_is_well(executor::current().turn_time()); }

private:
    std::size_t least_busy(std::span<const std::uint32_t> usable, std::size_t not_this) noexcept;
    std::size_t by_chance(std::span<const std::uint32_t> usable, std::size_t not_this) noexcept;

    static constexpr std::size_t connect_tries_max = 3;

    connection_limit limit_;
    retry_budget budget_;
    circuit_breaker circuit_;
    upstream_health health_;
    health_check_options health_check_;
    std::vector<std::unique_ptr<endpoint_pool>> endpoints_;
    bool tells_client_;
    balancing_options balancing_;
    choice chance_;
    round_robin turns_;
    hash_ring ring_; // of consistent_hash
    nursery checks_;
};

} // namespace headgate::gateway
