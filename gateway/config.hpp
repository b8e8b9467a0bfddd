#pragma once

#include <headgate/io/open_file.hpp>
#include <headgate/io/tls_context.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <gateway/export/options.hpp>
#include <gateway/header_edits.hpp>
#include <gateway/options.hpp>
#include <gateway/policy/policies.hpp>
#include <gateway/policy/provenance.hpp>
#include <gateway/route_table.hpp>
#include <gateway/trace/options.hpp>

namespace headgate::gateway {

// What an operator has written down, checked and complete: plain values, in the words of the file. `headgate proxy` and
// `headgate tunnel` make one from their flags. Names that refer to something else are those of things that exist.

// One of the upstreams among which a route's requests are divided.
struct weighted_upstream {
    std::string upstream;
    std::uint32_t weight = 1; // 0: none of them
    bool operator==(const weighted_upstream&) const = default;
};

// Sends requests on.
struct proxy_action {
    std::vector<weighted_upstream> upstreams{}; // at least one, and one weight that is not 0
    std::optional<std::string> fallback{};      // the upstream for requests that those cannot serve
    std::optional<std::string>
        replace_prefix{};                      // instead of the path prefix that the route matched; "" or "/" strips it
    std::optional<std::string> replace_path{}; // instead of the whole path
    std::optional<std::string> host{};         // instead of the client's
    header_edits request_headers{};
    header_edits response_headers{};
    route_options options{};
};

// Sends the client elsewhere.
struct redirect_action {
    int status = 302; // 301, 302, 303, 307 or 308
    std::optional<std::string> scheme{};
    std::optional<std::string> host{};
    std::optional<std::uint16_t> port{};
    std::optional<std::string> replace_prefix{};
    std::optional<std::string> replace_path{};
};

// Answers by itself.
struct respond_action {
    int status = 200;
    std::string body{};
    std::string content_type = "text/plain; charset=utf-8";
    header_edits headers{}; // `remove` is not used
    compression_options compression{};
};

// Serves files below a folder.
struct static_action {
    std::string root{};
    std::vector<std::string> index{"index.html"}; // of folders, the first that exists
    bool hidden_files = false;                    // whether names may begin with a dot
    files::folder::links follow_symlinks = files::folder::links::within;
    std::vector<std::string> precompressed{}; // codings whose variants may lie beside a file: zstd, gzip, br
    std::optional<std::string> cache_control{};
    std::vector<std::pair<std::string, std::string>> mime_types{}; // by extension, in lower case
    header_edits headers{};                                        // `remove` is not used
    compression_options compression{};                             // of what has no variant
    duration client_idle_timeout = 60s;
    std::uint64_t client_rate_min = 240;
    duration rate_grace = 10s;

    pace_limits client_pace() const { return {client_idle_timeout, client_rate_min, rate_grace}; }
};

// Passes bytes on, both ways.
struct tcp_action {
    std::vector<weighted_upstream> upstreams{};
    duration idle_timeout = 1h;
    duration half_close_timeout = 60s;
};

struct route_config {
    std::string name{};                   // unique; made from its place in the file if it has none
    std::vector<std::string> listeners{}; // names; none: all whose protocol fits
    route_policies_config policies{};
    route_match match{};                      // not of tcp routes
    std::size_t spool_disk_limit = unlimited; // of all its responses together, over all workers; of what is spooled
    std::variant<proxy_action, redirect_action, respond_action, static_action, export_action, tcp_action> action{};
};

// Whether it reads ahead of its clients.
inline bool spools(const route_config& r) noexcept {
    const auto* p = std::get_if<proxy_action>(&r.action);
    return std::holds_alternative<export_action>(r.action) ||
           (p && p->options.response.buffering == response_buffering::spool);
}

struct endpoint_config {
    endpoint where{};
    std::string srv{}; // the name of an SRV record, which stands for `where`; empty for none
    std::uint32_t weight = 1;
    bool operator==(const endpoint_config&) const = default;
};

// How the endpoints of an upstream are spoken to by TLS.
struct upstream_config {
    std::string name{};
    std::vector<endpoint_config> endpoints{}; // at least one
    upstream_tls tls{};
    upstream_options options{};
    bool operator==(const upstream_config&) const = default;
};

enum class listener_protocol : std::uint8_t { http, tcp };

struct listener_config {
    std::string name{};
    address listen{};
    listener_protocol protocol = listener_protocol::http;
    std::vector<std::string> trusted_proxies{}; // networks
    bool proxy_protocol = false;                // each connection begins with whose it is
    forwarded_fields forwarded = forwarded_fields::x_forwarded;
    address_rules_config addresses{};
    tls_server_options tls{}; // without certificates: no TLS
    http_options http{};      // of an HTTP listener
};

// Where the gateway is looked after: see admin/http_server.hpp.
struct admin_options {
    bool enabled = false;
    address listen = address::parse("127.0.0.1:9909").value_or(address());
    std::string token_file{}; // of the token that requests must have; empty: none

    // Whether others than this machine can connect, and there is no token.
    bool open_to_others() const noexcept;
};

struct config {
    server_options server{}; // its `listen` is not used
    admin_options admin{};
    tracing_options tracing{};
    std::vector<listener_config> listeners{};
    std::vector<route_config> routes{};
    std::vector<upstream_config> upstreams{};
    std::vector<source_config> sources{};
};

} // namespace headgate::gateway
