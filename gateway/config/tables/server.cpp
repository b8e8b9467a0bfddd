#include <gateway/config/rows.hpp>
#include <gateway/config/tables.hpp>

// What the whole process shares.
namespace headgate::gateway::tables {

namespace {

using namespace rows;
using std::string_view;

using so = headgate::gateway::server_options;

using no = name_options;

constexpr config_field name_fields[] = {
    by_default("as /etc/resolv.conf says",
               texts<&no::nameservers>("nameservers", formats::nameserver,
                                       "DNS servers, in the order in which they are asked.")),
    time<&no::timeout>("timeout", "For an answer, the first time. Doubled at each round."),
    count<&no::tries>("tries", 1, 100, "Rounds over all servers."),
};

using lo = access_log_options;

constexpr string_view log_formats[] = {"auto", "json", "text"};

constexpr config_field access_log_fields[] = {
    flag<&lo::enabled>("enabled", "Whether there is one."),
    one_of<log_formats, &lo::format>("format", "json: an object per line. text: for people. auto: text to a terminal, "
                                               "json to everything else."),
    by_default("standard output",
               text<&lo::path>("path", formats::file, "A file that is appended to; opened again at SIGUSR1.")),
    or_none(time<&lo::interval>("interval", "How often what goes on for longer than this has a line before its end.")),
    texts<&lo::redact_query>("redact_query", formats::parameter,
                             "Parameters of the query whose values logs and traces leave out, in any case of letters; "
                             "\"*\" for all."),
};

using sl = spool_limits;

constexpr config_field spool_fields[] = {
    by_default("$TMPDIR, or /var/tmp",
               text<&sl::directory>("directory", formats::file, "Where the files are made. They have no names there.")),
    or_none(size<&sl::disk_limit>("disk_limit", 0, 1024 * tib,
                                  "What all of them together take on disk, over all workers. At the limit, as when the "
                                  "disk is full, upstreams and databases are read at their clients' speed.")),
};

constexpr config_field server_fields[] = {
    by_default("one per core", count<&so::workers>("workers", 1, 1024,
                                                   "Threads, each with its own event loop and listeners. A Unix socket "
                                                   "is served by one of them.")),
    or_zero(time<&so::drain_delay>(
        "drain_delay", "How long after SIGTERM connections are still accepted, while /readyz says that they "
                       "should go elsewhere.")),
    time<&so::drain_timeout>("drain_timeout",
                             "How long what runs may still run: after SIGTERM, after an upgrade, or when a reload has "
                             "removed its route. Then it is aborted."),
    time<&so::upgrade_timeout>("upgrade_timeout", "For the process that is to replace this one to be ready, after "
                                                  "SIGUSR2. Then it is ended, and this one serves on."),
    or_none(time<&so::certificate_check_interval>(
        "certificate_check_interval", "How often the files of TLS are looked at. If one has changed, all are "
                                      "read again, and served if they are right. none: only at a reload.")),
    or_none(time<&so::loop_stall_threshold>(
        "loop_stall_threshold", "A worker that does not come back to its event loop for as long holds up all that it "
                                "serves: that is told on standard error, with its stack. none: it is not watched.")),
    section<&so::access_log>("access_log", tables::access_log,
                             "A line per request or tunnel. `true` and `false` turn it on and off."),
    count<&so::connections_max>("connections_max", 1, many,
                                "Client connections per worker. More are answered 503, or reset on a tcp listener."),
    count<&so::connections_per_client_max>("connections_per_client_max", 0, many,
                                           "Connections of one client (an IPv4 address, an IPv6 /64 network) over all "
                                           "workers. More are answered 429, or reset. 0 for no limit."),
    size<&so::stream_buffer>("stream_buffer", 4 * kib, 64 * mib,
                             "The most bytes a stream holds in memory per direction. At the bound its source is not "
                             "read."),
    or_none(size<&so::slow_stream_bytes>(
        "slow_stream_bytes", slow_stream_bytes_min, slow_stream_bytes_max,
        "The most that the kernel holds, in the buffers of both sockets, of a stream that is taken more slowly than it "
        "comes. A stream that keeps up has what the kernel thinks right. none: it always has.")),
    by_default(
        "half of the memory of the machine or of its control group",
        or_none(size<&so::memory_limit>(
            "memory_limit", memory_limit_min, 1024 * tib,
            "What all streams together hold in buffers, and a share for each request. As it comes nearer streams "
            "get smaller buffers; at it, requests are answered 503 and connections of tcp listeners reset."))),
    section<&so::resolver>("resolver", tables::names, "How the names of endpoints are looked up."),
    section<&so::spool>("spool", tables::spool, "What is read ahead of slow clients, beyond memory."),
    count<&so::splice_pipes_max>("splice_pipes_max", 0, many, "Kernel pipes per worker. Streams beyond are copied."),
    time<&so::alive, &tcp_liveness::probe_after>("tcp_keepalive_time",
                                                 "Without traffic until a peer, client or upstream, is probed. Without "
                                                 "an answer to three probes in 30 s it is gone."),
    by_default("the longest idle timeout of the file",
               time<&so::alive, &tcp_liveness::unconfirmed_max>("tcp_user_timeout",
                                                                "For the peer's system to confirm what was sent, or to "
                                                                "take more. Then the connection is reset.")),
};

using ao = headgate::gateway::admin_options;

constexpr config_field admin_fields[] = {
    text<&ao::listen>("address", formats::listen,
                      "Where it listens: address:port, [v6]:port, :port or unix:/path. Whoever can connect may do all "
                      "there is to do, unless there is a token."),
    text<&ao::token_file>(
        "token_file", formats::file,
        "A file with the token that requests must have (Authorization: Bearer). Needed to listen "
        "where others than this machine can connect. /livez, /readyz and the page's files need none."),
};

using to = tracing_options;

constexpr string_view trusts[] = {"trusted_proxies", "all", "none"};

// That it is there says nothing: the URL does.
constexpr config_field tracing_tls() {
    config_field f =
        section<&to::tls>("tls", tables::upstream_tls,
                          "How TLS is spoken with a collector at https://. Not needed if the system trusts "
                          "its certificate.");
    f.open = [](void* o, const config_defaults&, string_view) -> void* {
        headgate::gateway::upstream_tls& tls = static_cast<to*>(o)->tls;
        tls.enabled = true;
        return &tls;
    };
    return f;
}

constexpr config_field tracing_fields[] = {
    text<&to::sampling>("sampling", formats::share,
                        "The share of the traces that begin here which is recorded. What is continued is recorded if "
                        "whoever asks records it."),
    text<&to::collector>("collector", formats::collector,
                         "Where spans are sent, by OTLP over HTTP: http://host:port or https://host:port. Without one, "
                         "traces pass through and nothing is recorded."),
    tracing_tls(),
    text<&to::service_name>("service_name", formats::any, "What the spans say that they are of (`service.name`)."),
    headers<&to::headers>("headers", "Fields of each request to the collector."),
    one_of<trusts, &to::trust>("trust",
                               "Whose traces are continued: of the trusted_proxies of the listener, of all, or "
                               "of none. For the others a trace is begun, and what they say of one is left "
                               "out."),
    time<&to::interval>("interval", "The longest that spans wait to be sent."),
    time<&to::timeout>("timeout", "For the collector to answer."),
    count<&to::queue_max>("queue_max", 100, 1'000'000, "Spans that wait for the collector. More are dropped."),
};

} // namespace

constinit const config_table access_log{"the access log", "", access_log_fields, {}, "enabled", &built_in<lo>};
constinit const config_table tracing{"tracing", "", tracing_fields, {}, "", &built_in<to>};
constinit const config_table admin{"admin", "", admin_fields, {}, "", &built_in<ao>};
constinit const config_table names{"resolver", "", name_fields, {}, "", &built_in<no>};
constinit const config_table spool{"spool", "", spool_fields, {}, "", &built_in<sl>};
constinit const config_table server{"server", "", server_fields, {}, "", &built_in<so>};

} // namespace headgate::gateway::tables
