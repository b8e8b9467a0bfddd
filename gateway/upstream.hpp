#pragma once

#include <headgate/core/nursery.hpp>
#include <headgate/core/permits.hpp>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gateway/balancing.hpp>
#include <gateway/circuit_breaker.hpp>
#include <gateway/config.hpp>
#include <gateway/endpoint_pool.hpp>
#include <gateway/health.hpp>
#include <gateway/retry.hpp>
#include <gateway/short_text.hpp>
#include <gateway/sticky_cookie.hpp>

namespace headgate::gateway {

// An endpoint's name, kept by those who may outlive the endpoint.
using endpoint_name = short_text<64>;

// What the upstreams of a worker have in common.
struct upstream_surroundings {
    tcp_liveness alive{};
    resolver_options names{};
    sticky_key key{};
    bool notices = false; // whether changes of health are told on standard error
};

// What has happened to an upstream's endpoints and requests, since it was made.
struct upstream_counts {
    std::uint64_t retries = 0;
    std::uint64_t fallbacks = 0;
    std::uint64_t ejections = 0;
    std::uint64_t downs = 0; // found by checks
    tls_counts tls{};
};

// An endpoint as it is seen by who asks.
struct endpoint_state {
    std::string address{};
    bool healthy = true; // neither ejected nor found to be down
    bool ejected = false;
    bool draining = false;
    std::size_t busy = 0;
    std::size_t idle = 0;
    std::uint32_t weight = 1;
};

// One worker's view of an upstream: its endpoints, and which of them is next. Endpoints without weight are left out.
// With `resolve: all`, and from SRV records, endpoints come and go while it is in use; one that is gone gets no new
// requests, and lives until its last one has ended.
class upstream {
public:
    explicit upstream(const upstream_config& c, const upstream_surroundings& s = {},
                      const std::optional<tls_client_context>& tls = std::nullopt);

    // `co_await to.admit()`: waits until there may be one more connection to this upstream; first come, first served,
    // within the options' queue_timeout. errc::overloaded if the queue is full, errc::timed_out if the turn does not
    // come. Whoever picks an endpoint holds the permit from before then until its connection is no longer in use.
    permit_queue::admission admit() noexcept { return limit_.admit(config_.options.queue_timeout); }

    // The key of a request, or of a connection (`head` is null), for pick().
    pick_key key_of(const http::request_head* head, std::string_view client_address) const noexcept;
    // The endpoint for a request, of those that are well (see upstream_health), by the upstream's policy. With
    // `not_this` another, if there is one; it need not exist any more. Good for as long as nothing is waited for.
    endpoint_pool& pick(pick_key key = {}, const endpoint_pool* not_this = nullptr) noexcept;
    // A new connection to `first`, or to another endpoint if that cannot be reached: nothing has been sent yet. A
    // machine that is short of descriptors is short of them for all endpoints. `name` becomes that of the last one
    // tried. The error is that of the last one. The connection is for whom `from` says; null: for us.
    // `handshake` becomes the time that TLS took.
    task<result<upstream_lease>> connect(endpoint_pool& first, endpoint_name& name, pick_key key = {},
                                         const proxy_header* from = nullptr, duration* handshake = nullptr);
    // What there is to tell the upstream of a client, who is connected to us by `connection`. Costs nothing if the
    // upstream is not to be told.
    proxy_header proxy_header_for(const peer_address& client, const socket& connection) const noexcept;

    // The value of the Set-Cookie that brings the client of a request with this key back to `to`; empty if there is
    // none to set.
    std::string cookie_for(pick_key key, const endpoint_pool& to, bool secure) const;

    // Begins to check the endpoints and to look up their names, if that is asked for; on the worker's loop.
    void start();

    // Ends the checks and lookups, closes idle connections, and keeps none from now on.
    void retire() noexcept;

    // The endpoints of the configured one at `from` are these from now on. Those that stay keep their connections and
    // their health.
    void replace(std::size_t from, std::vector<endpoint_target> with);

    std::size_t idle() const noexcept;
    std::size_t busy() const noexcept;
    std::size_t endpoints() const noexcept { return endpoints_.size(); }
    std::vector<endpoint_state> states() const;
    // No new requests for the endpoint of this address, or again; for as long as it is one of the upstream's. Gives
    // whether there is one.
    bool drain(std::string_view address, bool on) noexcept;
    // Endpoints that are gone and still in use.
    std::size_t leaving() const noexcept { return leaving_.size(); }
    upstream_health& health() noexcept { return health_; }
    const permit_queue& limit() const noexcept { return limit_; }
    retry_budget& budget() noexcept { return budget_; }
    choice& chance() noexcept { return chance_; }
    circuit_breaker& circuit() noexcept { return circuit_; }
    upstream_counts& counts() noexcept { return counts_; }
    // Whether all endpoints are used because none is well.
    bool none_is_well() noexcept { return health_.none_is_well(executor::current().turn_time()); }

private:
    using pools = std::vector<std::unique_ptr<endpoint_pool>>;
    struct sweep : ready {
        upstream* self = nullptr;
    };

    endpoint_target target_of(std::size_t from) const;
    std::unique_ptr<endpoint_pool> make_pool(endpoint_target t);
    void arrange(std::span<endpoint_pool* const> order, time_point now);
    void check(endpoint_pool& e);
    void changed(std::size_t endpoint, health_event what) noexcept;
    task<> keep_resolving(std::size_t from);
    double weight(std::size_t e, time_point now) const noexcept;
    std::size_t least_busy(std::span<const std::uint32_t> usable, std::size_t not_this, time_point now) noexcept;
    std::size_t by_chance(std::span<const std::uint32_t> usable, std::size_t not_this, time_point now) noexcept;

    static constexpr std::size_t connect_tries_max = 3;

    const upstream_config config_;
    const upstream_surroundings around_;
    const std::optional<tls_client_context> tls_;
    resolver names_;
    permit_queue limit_; // on connections
    retry_budget budget_;
    circuit_breaker circuit_;
    upstream_health health_;
    choice chance_;
    round_robin turns_;
    hash_ring ring_; // of consistent_hash
    upstream_counts counts_;
    sweep sweep_;
    pools endpoints_; // by their places
    pools leaving_;
    bool started_ = false;
    nursery resolving_;
};

} // namespace headgate::gateway
