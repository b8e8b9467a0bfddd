#pragma once

#include <headgate/db/query.hpp>
#include <headgate/io/spool.hpp>

#include <map>
#include <memory>
#include <string_view>

#include <gateway/config.hpp>
#include <gateway/export/plan.hpp>

namespace headgate::gateway {

struct config_origin;

// A configuration made ready to serve from. Never changes; shared by all workers and by every request that began while
// it was current.
class snapshot {
public:
    // Reads the files that TLS needs, but for those that `before` has read already and that have not changed since:
    // what was made of them is used again, and with it pooled connections and the sessions of clients. Policies go on
    // counting where those of `before` were, for routes by the same name. Opens the folders of static routes. Throws
    // std::runtime_error, which says which file is wrong and how. `from` is only kept, for those who ask.
    explicit snapshot(config c, const snapshot* before = nullptr, std::shared_ptr<const config_origin> from = nullptr);
    snapshot(const snapshot&) = delete;
    snapshot& operator=(const snapshot&) = delete;

    // One route as a request finds it.
    struct route {
        const route_config* config;
        std::size_t place;                        // among the routes of all listeners
        const route_policies* policies = nullptr; // null if there are none
        struct target {
            std::size_t upstream; // its place in of().upstreams
            std::uint32_t below;  // the weights up to and with this one
        };
        std::optional<files::folder> folder{};        // of a static route
        std::shared_ptr<const db::query> statement{}; // of an export
        std::size_t source = 0;                       // the same: its place in of().sources
        export_patterns patterns{};                   // the same: of its parameters
        const spool_options* spool = nullptr;         // of one that reads ahead of its clients
        std::vector<target> targets;                  // of proxy and tcp routes; those without weight are left out
        std::optional<std::size_t> fallback{};        // the same, of proxy routes

        bool answers_preflights() const noexcept { return policies && policies->cors.enabled(); }
        // The upstream for the n-th request: in the long run each gets its share.
        std::size_t choose(std::uint64_t n) const noexcept;
    };

    // What one listener serves.
    struct entrance {
        const listener_config* config;
        std::vector<route> routes; // by the index that the table gives
        network_set trusted{};     // proxies
        address_rules addresses{};
        route_table table{{}};
        bool by_name = false; // tcp: what a client asks for (SNI) decides on the route
        std::optional<tls_server_context> tls{};
    };

    const config& of() const noexcept { return config_; }
    // Where that was read from; null if it comes from a command line.
    const std::shared_ptr<const config_origin>& origin() const noexcept { return origin_; }
    // How the upstream at this place of of().upstreams is spoken to; none: without TLS.
    const std::optional<tls_client_context>& tls_of(std::size_t upstream) const noexcept {
        return upstream_tls_[upstream];
    }
    // What is not as it should be, but can be served: certificates that have expired.
    const std::vector<std::string>& warnings() const noexcept { return warnings_; }
    // What spools take on disk now, in bytes over all workers, and how much they may: that of all of them, without a
    // name, then that of each route that has any. What requests of earlier configurations still have is counted.
    struct spool_level {
        std::string_view route;
        std::size_t used;
        std::size_t limit; // `unlimited` for none
    };
    std::vector<spool_level> spool_levels() const;
    // Whether requests may need blocking calls: see io/offload.hpp.
    bool reads_files() const noexcept;
    // Whether a file that was read has changed since. Looks at the disk.
    bool files_changed() const;

    // What makes each route at each listener the one that it is, by its place: the listener's address, what it matches,
    // its kind of action and the names of its upstreams. A route of another snapshot with the same identity is the same
    // route, whatever else has changed.
    const std::vector<std::string>& identities() const noexcept { return identities_; }

    // By the listener's address, as text: a listener that is renamed is the same. Null if there is none.
    const entrance* find(std::string_view address) const noexcept;

private:
    route compile(std::size_t index, const listener_config& l);
    const route_policies* policies_of(std::string_view route) const noexcept;
    // How a route spools, and what that counts for.
    struct spooling {
        disk_quotas quotas{};
        spool_options options{};
    };
    std::unique_ptr<const spooling> spooling_of(const route_config& r, const snapshot* before) const;
    template <class Context>
    Context warned(std::expected<Context, tls_load_error> made, const std::string& of);
    tls_client_context client_context(const upstream_config& u, const snapshot* before);
    tls_server_context server_context(const listener_config& l, const snapshot* before);

    config config_;
    std::shared_ptr<const config_origin> origin_;
    std::vector<std::optional<tls_client_context>> upstream_tls_;
    std::vector<std::unique_ptr<const route_policies>> policies_; // of the routes; null for none
    std::shared_ptr<disk_account> spooled_;                       // by all routes
    std::vector<std::unique_ptr<const spooling>> spools_;         // of the routes; null for none
    std::map<std::string, entrance, std::less<>> entrances_;
    std::vector<std::string> identities_;
    std::vector<std::string> warnings_;
};

// What `headgate proxy` and `headgate tunnel` serve: one listener, one route, one upstream.
std::shared_ptr<const snapshot> snapshot_of(const proxy_options& o, const server_options& s);
std::shared_ptr<const snapshot> snapshot_of(const tunnel_options& o, const server_options& s);

} // namespace headgate::gateway
