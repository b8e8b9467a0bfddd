#pragma once

#include <headgate/core/timer.hpp>
#include <headgate/http/chunked.hpp>
#include <headgate/http/head_reader.hpp>
#include <headgate/io/address.hpp>
#include <headgate/io/pace.hpp>
#include <headgate/io/proxy_header.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace headgate::gateway {

using namespace std::chrono_literals;

// Where requests or connections are sent: a host, by name or address, and a port.
struct endpoint {
    std::string host;
    std::uint16_t port = 0;
    std::string text() const;
    bool operator==(const endpoint&) const = default;
};

// What is read ahead of slow clients, beyond memory: bodies of exports and of routes with response_buffering::spool.
struct spool_limits {
    std::string directory{}; // where its files are made, without names; empty: $TMPDIR, or /var/tmp
    std::size_t disk_limit = std::size_t{16} << 30; // of all of them together, over all workers
};

// How names of endpoints are looked up.
struct name_options {
    std::vector<std::string> nameservers{}; // address:port, in order; empty: as /etc/resolv.conf says
    duration timeout = 2s;                  // for an answer, the first time; doubled at each round
    std::uint32_t tries = 3;                // rounds over all servers
};

// How the lines of the access log are written.
enum class log_format : std::uint8_t {
    automatic, // text to a terminal, JSON to everything else
    json,      // an object per line
    text,      // for people
};

// A line per request or tunnel.
struct access_log_options {
    bool enabled = true;
    log_format format = log_format::automatic;
    std::string path{};      // of a file that is appended to; empty: standard output
    duration interval = 60s; // of the lines of what goes on for longer than that; `forever`: there are none
    // Parameters of the query whose values are left out of logs and traces; "*" for all.
    std::vector<std::string> redact_query{"access_token",
                                          "refresh_token",
                                          "id_token",
                                          "token",
                                          "password",
                                          "secret",
                                          "api_key",
                                          "apikey",
                                          "sig",
                                          "signature",
                                          "x-amz-signature",
                                          "x-amz-credential",
                                          "awsaccesskeyid",
                                          "x-amz-security-token",
                                          "x-goog-signature"};
};

// What both services have in common.
struct server_options {
    address listen;
    unsigned workers = 1;
    std::optional<address> admin{}; // of `headgate proxy` and `headgate tunnel`; a file has admin_options
    std::string admin_token_file{};
    duration drain_delay = {}; // from when it is said that there will be an end to when no more is accepted
    duration drain_timeout = 10s;
    duration upgrade_timeout = 60s;            // for a new process to be ready
    duration certificate_check_interval = 10s; // from looking for changed certificates to looking again
    duration loop_stall_threshold = 25ms;      // from when a worker that does not come back to its loop is told of
    access_log_options access_log{};
    std::size_t connections_max = 10'000;       // client connections per worker; more are refused with 503
    std::size_t connections_per_client_max = 0; // over all workers; more are refused with 429; 0 for no limit
    std::size_t stream_buffer = 64 * 1024;      // the most bytes a stream holds per direction while copying
    std::size_t memory_limit = 0;               // of all buffers of all workers; 0: half of what the machine has
    std::size_t splice_pipes_max = 256;         // per worker; streams beyond copy
    std::size_t slow_stream_bytes = 512 * 1024; // most that the kernel holds of one that is slower than its source
    name_options resolver{};
    spool_limits spool{};
    tcp_liveness alive{.probe_after = 60s}; // of connections to clients and to upstreams

    // Not of the configuration.
    std::array<std::uint64_t, 2> sticky_key{}; // of cookies; the same for all workers
    bool notices = false;                      // whether changes of health are told on standard error
};

inline constexpr std::size_t memory_limit_min = 8 * 1024 * 1024;
inline constexpr std::size_t slow_stream_bytes_min = 64 * 1024;
inline constexpr std::size_t slow_stream_bytes_max = 1024 * 1024 * 1024;
inline constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

// The same, of a stream that the kernel may hold no more of than it should of slow ones.
inline pace_limits bounded(pace_limits l, const server_options& o) noexcept {
    l.kernel_max = o.slow_stream_bytes == unlimited ? 0 : o.slow_stream_bytes;
    return l;
}

// A time without a word on "idle" is absolute; an idle time counts from the last byte that moved, and only while it is
// the peer that is waited for.

// What the clients of one listener may take before it is known which route their request has.
struct http_options {
    http::head_limits heads;                          // of requests
    duration header_timeout = 15s;                    // from the first byte of a client's head to its last
    duration keep_alive_timeout = 75s;                // idle, between a client's requests
    duration client_idle_timeout = 60s;               // for an answer of our own to be taken
    std::size_t requests_per_connection_max = 10'000; // the last one's answer says that it is the last
};

// Statuses of answers, both ends included.
struct status_range {
    int from = 200;
    int to = 399;

    bool contains(int status) const noexcept { return from <= status && status <= to; }
    std::string text() const; // "200-399", or "204"
    bool operator==(const status_range&) const = default;
};

// Which ends of a try are reason for another one (the names are Envoy's).
struct retry_conditions {
    bool connect_failure = false; // no endpoint could be connected to
    bool reset = false;           // no answer: the connection broke or ended, or what came was no response
    bool timeout = false;         // no answer in time
    bool gateway_error = false;   // all of these, and answers with 502, 503 and 504
    bool server_error = false;    // "5xx": all of these, and all answers with 5xx
    std::vector<status_range> statuses{};

    bool operator==(const retry_conditions&) const = default;
};

// When a request is sent once more, of which nothing has been answered to the client. Without conditions it is not.
struct retry_options {
    retry_conditions retry_on{};
    std::uint32_t num_retries = 1;         // of one request
    duration per_try_timeout = forever;    // from the request sent to the response's head received
    duration base_interval = 25ms;         // of the back-off: doubled with each retry, and of that any part by chance
    duration max_interval = 250ms;         // where the doubling ends
    duration retry_after_max = 1s;         // an answer that asks for a longer pause is passed on
    bool non_idempotent = false;           // also requests that may do harm if they arrive twice
    std::size_t replay_buffer = 64 * 1024; // most bytes of a request's body that are kept; beyond, there is no retry

    bool enabled() const noexcept { return retry_on != retry_conditions() && num_retries != 0; }
    bool operator==(const retry_options&) const = default;
};

// Which answers are compressed for clients that want it.
struct compression_options {
    std::vector<std::string> algorithms{}; // zstd, gzip; of those that the client wants equally the first. None: off
    std::vector<std::string> types{"text/*",
                                   "application/javascript",
                                   "application/json",
                                   "application/ld+json",
                                   "application/manifest+json",
                                   "application/problem+json",
                                   "application/wasm",
                                   "application/xhtml+xml",
                                   "application/xml",
                                   "image/svg+xml"}; // of content; "text/*" for all of text
    std::size_t min_length = 1024;                   // of a body whose length is known
    int level = 1;                                   // 1 to 9, as the algorithms count

    bool operator==(const compression_options&) const = default;
};

// Whether the bodies of responses are read at the upstream's speed, or at the client's.
enum class response_buffering : std::uint8_t { none, spool };

struct response_options {
    response_buffering buffering = response_buffering::none;
    std::size_t spool_memory = 1024 * 1024;      // what one response may have in memory; 16 KiB at least
    std::size_t spool_disk = 1024 * 1024 * 1024; // and then in a file

    bool operator==(const response_options&) const = default;
};

// What one request may take at the most, both ways.
struct route_options {
    http::head_limits response_heads;
    http::chunked_limits chunks; // of bodies, both ways
    std::size_t request_body_max = unlimited;
    duration client_idle_timeout = 60s;     // idle, in a body to or from a client
    duration first_byte_timeout = 60s;      // from the request sent to the response's head received
    duration upstream_idle_timeout = 60s;   // idle, in a body to or from the upstream
    std::size_t interim_responses_max = 16; // 1xx before one final response

    // The least rate at which a body must come and be taken, over each rate_grace of waiting for the peer.
    std::uint64_t client_rate_min = 240; // bytes per second; 0 for none
    std::uint64_t upstream_rate_min = 0; // the same; an event stream is slow by its nature
    duration rate_grace = 10s;

    // The most at which it is moved on, in bytes per second; 0 for no limit.
    std::uint64_t request_rate_max = 0;
    std::uint64_t response_rate_max = 0;
    compression_options compression;
    response_options response;

    std::vector<std::string> upgrades; // the protocols that a client may switch to; none by default
    bool connect = false;              // whether CONNECT is served, as a tunnel to the upstream
    duration upgrade_idle_timeout = 1h;
    duration upgrade_half_close_timeout = 60s;

    retry_options retries{};

    pace_limits client_pace() const { return {client_idle_timeout, client_rate_min, rate_grace}; }
    pace_limits upstream_pace() const { return {upstream_idle_timeout, upstream_rate_min, rate_grace}; }
};

// When an endpoint that fails is left alone for a while (Envoy's outlier detection).
struct ejection_options {
    std::uint32_t consecutive_failures = 5; // to connect or to answer; 0: never
    std::uint32_t consecutive_5xx = 0;      // 5xx answers, or failures; 0: never
    duration base_ejection_time = 30s;      // times the number of ejections in a row
    duration max_ejection_time = 300s;
    std::uint32_t max_ejection_percent = 50; // of the endpoints at one time; of two or more, always one

    bool operator==(const ejection_options&) const = default;
};

enum class health_check_type : std::uint8_t { none, tcp, http };

// How endpoints are asked, whether anybody needs them or not, if they are well. An endpoint is well until proven
// otherwise.
struct health_check_options {
    health_check_type type = health_check_type::none;
    std::string path = "/"; // of an http check
    std::string host{};     // empty: the endpoint's
    status_range expected_statuses{};
    duration interval = 10s;               // from the end of a check to the next
    duration timeout = 2s;                 // for a check; none passes that takes longer
    std::uint32_t healthy_threshold = 2;   // checks in a row, for an endpoint that was down
    std::uint32_t unhealthy_threshold = 3; // for one that was up

    bool operator==(const health_check_options&) const = default;
};

// How an endpoint is chosen for a request, of those that are well; all by weight.
enum class balancing_policy : std::uint8_t {
    least_request, // of two by chance the one with fewer requests (the power of two choices; M. Mitzenmacher, 2001)
    round_robin,   // in turn
    random,
    consistent_hash, // the same endpoint for the same key
};

// What a key is made of.
enum class hash_source : std::uint8_t { client_address, header, cookie };

struct balancing_options {
    balancing_policy policy = balancing_policy::least_request;
    hash_source hash_on = hash_source::client_address; // of consistent_hash; what has no key goes anywhere
    std::string hash_name{};                           // of the header or the cookie

    bool operator==(const balancing_options&) const = default;
};

enum class same_site : std::uint8_t { lax, strict, none };

// A cookie that brings a client back to the endpoint that it was sent to first.
struct sticky_cookie_options {
    std::string name{};     // empty: there is none
    duration ttl = forever; // `forever`: as long as the client's session
    std::string path = "/"; // of the cookie
    bool secure = false;    // also for clients that came without TLS; for others it always is
    gateway::same_site same_site = gateway::same_site::lax;
    std::string secret{}; // what its values are made with; empty: by chance, at each start

    bool enabled() const noexcept { return !name.empty(); }
    bool operator==(const sticky_cookie_options&) const = default;
};

// What is made of the names of endpoints.
enum class resolve_mode : std::uint8_t {
    first, // a name is one endpoint: its addresses are tried in order
    all,   // each address of a name is an endpoint of its own
};

struct dns_options {
    resolve_mode resolve = resolve_mode::first;
    duration refresh_min = 1s; // between two lookups, whatever the answer's TTL says
    duration refresh_max = 5 * 60s;

    bool operator==(const dns_options&) const = default;
};

// How many of the requests in progress may be retries, for each worker and upstream: a share of them, but always some.
struct retry_budget_options {
    std::uint32_t budget_percent = 20;
    std::uint32_t min_retry_concurrency = 3;

    bool operator==(const retry_budget_options&) const = default;
};

// When an upstream that fails as a whole is left alone for a while. Without either of the first two it never is.
struct circuit_breaker_options {
    std::uint32_t failure_percent = 0;      // of the requests of a window, if there are enough
    std::uint32_t consecutive_failures = 0; // in a row
    std::uint32_t min_requests = 20;        // in a window
    duration window = 10s;
    duration open_time = 5s;            // in which nothing passes
    std::uint32_t half_open_probes = 3; // that must go well after it

    bool enabled() const noexcept { return failure_percent != 0 || consecutive_failures != 0; }
    bool operator==(const circuit_breaker_options&) const = default;
};

// How an upstream is connected to, and how much of it is used.
struct upstream_options {
    duration connect_timeout = 5s;
    duration keep_alive_timeout = 60s; // idle, in the pool
    std::size_t idle_max = 64;         // connections kept in the pool of a worker

    // What makes an end of a connection that could go on; closed at the end of an exchange, or while it is idle.
    duration connection_lifetime_max = forever;
    std::size_t requests_per_connection_max = unlimited; // at least 1

    std::size_t connections_max = 1024; // per worker, in use or in the making; at least 1. What is more waits
    std::size_t queue_max = 1024;       // that wait, per worker; more are refused with 503
    duration queue_timeout = 5s;        // for its turn; then it is refused with 503

    // Tells it, in front of each connection, whose it is: then connections are not shared between requests.
    headgate::proxy_protocol proxy_protocol = headgate::proxy_protocol::none;

    balancing_options balancing{};
    ejection_options ejection{};
    health_check_options health_check{};
    retry_budget_options retry_budget{};
    circuit_breaker_options circuit_breaker{};
    sticky_cookie_options sticky_cookie{};
    duration slow_start = forever; // in which the weight of an endpoint grows that is new or came back; `forever`: none
    dns_options dns{};

    bool operator==(const upstream_options&) const = default;
};

// The flags of `headgate proxy`.
struct proxy_options {
    endpoint to;
    http_options http;
    route_options route;
    upstream_options upstream;
};

// The flags of `headgate tunnel`.
struct tunnel_options {
    endpoint to;
    upstream_options upstream{.connections_max = 10'000}; // a tunnel's lives long, and cannot be shared
    duration idle_timeout = 1h;                           // nothing moved either way
    duration half_close_timeout = 60s;                    // nothing moved, after one side has ended
};

} // namespace headgate::gateway
