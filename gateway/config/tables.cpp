#include <algorithm>

#include <gateway/config/rows.hpp>
#include <gateway/config/tables.hpp>

// The keys of a configuration file, in the order of the reference.
namespace headgate::gateway::tables {

namespace {

using namespace rows;
using std::string_view;

constexpr std::int64_t kib = 1024;
constexpr std::int64_t mib = 1024 * kib;
constexpr std::int64_t tib = 1024 * 1024 * mib;
constexpr std::int64_t many = 10'000'000;

// ---- server

using so = headgate::gateway::server_options;

constexpr config_field server_fields[] = {
    by_default("one per core", count<&so::workers>("workers", 1, 1024,
                                                   "Threads, each with its own event loop and listeners. A Unix socket "
                                                   "is served by one of them.")),
    time<&so::drain_timeout>("drain_timeout", "How long requests may still run after SIGTERM; then they are aborted."),
    flag<&so::access_log>("access_log", "A line per request on standard output."),
    count<&so::connections_max>("connections_max", 1, many,
                                "Client connections per worker. More are answered 503, or reset on a tcp listener."),
    count<&so::connections_per_client_max>("connections_per_client_max", 0, many,
                                           "Connections of one client (an IPv4 address, an IPv6 /64 network) over all "
                                           "workers. More are answered 429, or reset. 0 for no limit."),
    size<&so::stream_buffer>("stream_buffer", 4 * kib, 64 * mib,
                             "The most bytes a stream holds in memory per direction. At the bound its source is not "
                             "read."),
    count<&so::splice_pipes_max>("splice_pipes_max", 0, many, "Kernel pipes per worker. Streams beyond are copied."),
    time<&so::alive, &tcp_liveness::probe_after>("tcp_keepalive_time",
                                                 "Without traffic until a peer, client or upstream, is probed. Without "
                                                 "an answer to three probes in 30 s it is gone."),
    by_default("the longest idle timeout of the file",
               time<&so::alive, &tcp_liveness::unconfirmed_max>("tcp_user_timeout",
                                                                "For the peer's system to confirm what was sent, or to "
                                                                "take more. Then the connection is reset.")),
};

// ---- what one listener, action or upstream may take

using ho = http_options;
using hl = http::head_limits;

constexpr config_field listener_option_fields[] = {
    time<&ho::header_timeout>("header_timeout", "For a client's whole request head, from its first byte: 408."),
    time<&ho::keep_alive_timeout>("keep_alive_timeout", "For a client's next request: the connection is closed."),
    time<&ho::client_idle_timeout>("client_idle_timeout",
                                   "For a client to take an answer of the gateway's own: reset."),
    count<&ho::requests_per_connection_max>("requests_per_connection_max", 1, many,
                                            "Requests on a client's connection. The last answer says that it is the "
                                            "last."),
    size<&ho::heads, &hl::head_bytes_max>("head_bytes_max", kib, mib, "The whole head of a request: 431."),
    size<&ho::heads, &hl::request_line_max>("request_line_max", 64, mib, "The first line of a request: 414."),
    count<&ho::heads, &hl::headers_max>("headers_max", 1, http::header_list::capacity,
                                        "Header fields of a request: 431."),
    count<&ho::heads, &hl::connection_options_max>("connection_options_max", 1, 1000,
                                                   "Elements of a request's Connection fields: 400."),
};

using ro = route_options;
using cl = http::chunked_limits;

constexpr config_field proxy_option_fields[] = {
    or_none(size<&ro::request_body_max>("request_body_max", 0, 1024 * tib, "The body of a request: 413.")),
    time<&ro::client_idle_timeout>("client_idle_timeout",
                                   "With no byte of a body moved from or to the client, while the client is waited "
                                   "for: 408, or a reset."),
    time<&ro::first_byte_timeout>("first_byte_timeout",
                                  "For the upstream's whole response head, from the end of the request: 504."),
    time<&ro::upstream_idle_timeout>("upstream_idle_timeout",
                                     "With no byte of a body moved from or to the upstream, while the upstream is "
                                     "waited for: 504, or a reset."),
    size<&ro::client_rate_min>("client_rate_min", 0, many,
                               "Bytes per second of a body from or to the client, over each rate_grace of waiting for "
                               "it: 408, or a reset. 0 for none."),
    size<&ro::upstream_rate_min>("upstream_rate_min", 0, many, "The same for the upstream: 504, or a reset."),
    time<&ro::rate_grace>("rate_grace", "How much waiting for a peer it takes to tell its rate."),
    size<&ro::response_heads, &hl::head_bytes_max>("response_head_bytes_max", kib, mib,
                                                   "The whole head of a response: 502."),
    size<&ro::response_heads, &hl::request_line_max>("response_line_max", 64, mib,
                                                     "The first line of a response: 502."),
    count<&ro::response_heads, &hl::headers_max>("response_headers_max", 1, http::header_list::capacity,
                                                 "Header fields of a response: 502."),
    count<&ro::response_heads, &hl::connection_options_max>("response_connection_options_max", 1, 1000,
                                                            "Elements of a response's Connection fields: 502."),
    count<&ro::interim_responses_max>("interim_responses_max", 0, many, "1xx responses before the final one: 502."),
    size<&ro::chunks, &cl::line_bytes_max>("chunk_line_max", 16, mib,
                                           "The size line of a chunk with its extensions: 400, or 502."),
    size<&ro::chunks, &cl::overhead_bytes_max>("chunk_overhead_max", 16, 64 * mib,
                                               "Framing of a chunked body beyond 16 bytes per chunk and twice its "
                                               "payload: 400, or 502."),
    size<&ro::chunks, &cl::trailer_bytes_max>("trailer_bytes_max", 2, mib,
                                              "The trailers of a chunked body: 400, or 502."),
    count<&ro::chunks, &cl::trailers_max>("trailers_max", 0, 10'000, "Trailer fields of a chunked body: 400, or 502."),
    texts<&ro::upgrades>("upgrades", formats::protocol, "Protocols that a client may switch to, such as websocket."),
    flag<&ro::connect>("connect", "Whether CONNECT is served, as a tunnel to the upstream."),
    time<&ro::upgrade_idle_timeout>("upgrade_idle_timeout",
                                    "With nothing moved either way, after a switch of protocols: both sides are "
                                    "reset."),
    time<&ro::upgrade_half_close_timeout>("upgrade_half_close_timeout", "The same, after one side has ended."),
};

constexpr config_field tcp_option_fields[] = {
    time<&tcp_action::idle_timeout>("idle_timeout", "With nothing moved either way: both sides are reset."),
    time<&tcp_action::half_close_timeout>("half_close_timeout", "The same, after one side has ended."),
};

using eo = headgate::gateway::ejection_options;

constexpr config_field ejection_fields[] = {
    count<&eo::consecutive_failures>("consecutive_failures", 0, many,
                                     "Failures in a row, to connect or to answer, that eject an endpoint. 0 for none."),
    count<&eo::consecutive_5xx>("consecutive_5xx", 0, many,
                                "5xx answers and failures in a row that eject an endpoint. 0 for none."),
    time<&eo::base_ejection_time>("base_ejection_time", "How long, times the number of ejections in a row."),
    time<&eo::max_ejection_time>("max_ejection_time", "The longest ejection."),
    count<&eo::max_ejection_percent>("max_ejection_percent", 0, 100,
                                     "How many of the endpoints at a time. Of two or more one may always be."),
};

constexpr string_view policies[] = {"least_request", "round_robin", "random", "consistent_hash"};
constexpr string_view hash_sources[] = {"client_address", "header", "cookie"};
constexpr string_view check_types[] = {"none", "tcp", "http"};
constexpr const auto& enum_names(balancing_policy) { return policies; }
constexpr const auto& enum_names(hash_source) { return hash_sources; }
constexpr const auto& enum_names(health_check_type) { return check_types; }

// An enumeration whose values stand in the order of their names.
template <class Object, auto Member>
constexpr config_field enumeration(string_view key, const auto& names, string_view doc) {
    using value = std::remove_cvref_t<decltype(std::declval<Object>().*Member)>;
    return {.key = key,
            .kind = config_kind::choice,
            .doc = doc,
            .choices = names,
            .store =
                [](void* o, config_scalar v) {
                    const auto& all = enum_names(value());
                    const auto found = std::ranges::find(all, std::get<std::string>(v));
                    static_cast<Object*>(o)->*Member = static_cast<value>(found - std::ranges::begin(all));
                },
            .load = [](const void* o) -> config_scalar {
                return std::string(
                    enum_names(value())[static_cast<std::size_t>(static_cast<const Object*>(o)->*Member)]);
            }};
}

using hc = headgate::gateway::health_check_options;

constexpr config_field health_check_fields[] = {
    enumeration<hc, &hc::type>("type", check_types, "Whether a connection is enough, or there must be an answer."),
    text<&hc::path>("path", formats::path, "What an http check asks for, with GET."),
    by_default("the endpoint's", text<&hc::host>("host", formats::host, "The Host of an http check.")),
    text<&hc::expected_statuses>("expected_statuses", formats::statuses, "Answers that an http check passes with."),
    time<&hc::interval>("interval", "From the end of a check to the next one. The first is within it, by chance."),
    time<&hc::timeout>("timeout", "For a check. One that takes longer has failed."),
    count<&hc::healthy_threshold>("healthy_threshold", 1, 1000,
                                  "Checks in a row that must pass for an endpoint that is down to be used again."),
    count<&hc::unhealthy_threshold>("unhealthy_threshold", 1, 1000,
                                    "Checks in a row that must fail for an endpoint not to be used any more."),
};

using ba = headgate::gateway::balancing_options;

constexpr config_field balancing_fields[] = {
    enumeration<ba, &ba::policy>("policy", policies, "How an endpoint is chosen, of those that are well."),
    enumeration<ba, &ba::hash_on>("hash_on", hash_sources,
                                  "What decides under consistent_hash. A request without it goes to any endpoint."),
    by_default("", text<&ba::hash_name>("hash_name", formats::header_name, "Of the header or the cookie.")),
};

using uo = headgate::gateway::upstream_options;

constexpr config_field upstream_option_fields[] = {
    time<&uo::connect_timeout>("connect_timeout", "For a connection to an endpoint: 504."),
    time<&uo::keep_alive_timeout>("keep_alive_timeout", "For an unused connection in the pool: closed."),
    count<&uo::idle_max>("idle_max", 0, many, "Unused connections kept per worker and endpoint."),
    or_none(time<&uo::connection_lifetime_max>("connection_lifetime_max",
                                               "Age of a connection: closed when it is not in use.")),
    or_none(count<&uo::requests_per_connection_max>("requests_per_connection_max", 1, many,
                                                    "Requests on a connection: closed after the last.")),
    count<&uo::connections_max>("connections_max", 1, many,
                                "Connections per worker, in use or in the making. Who needs one more waits."),
    count<&uo::queue_max>("queue_max", 0, many, "How many wait for a connection, per worker: 503, or a reset."),
    time<&uo::queue_timeout>("queue_timeout", "For a connection to become free: 503, or a reset."),
    section<&uo::balancing>("balancing", tables::balancing, "Which endpoint a request is sent to."),
    section<&uo::ejection>("ejection", tables::ejection,
                           "When an endpoint that fails is left alone for a while (outlier detection)."),
    section<&uo::health_check>("health_check", tables::health_check,
                               "How endpoints are asked whether they are well, each by every worker."),
};

using de = config_defaults;

constexpr config_field default_fields[] = {
    section<&de::listener, &listener_config::http>("listener", listener_options, "Of all HTTP listeners."),
    section<&de::proxy, &proxy_action::options>("proxy", proxy_options, "Of all `proxy` actions."),
    section<&de::tcp>("tcp", tcp_options, "Of all `tcp` actions."),
    section<&de::upstream, &upstream_config::options>("upstream", upstream_options, "Of all upstreams."),
};

// ---- listeners

// The enumeration as a text.
constexpr string_view protocols[] = {"http", "tcp"};

constexpr config_field protocol_field() {
    return {.key = "protocol",
            .kind = config_kind::choice,
            .doc = "What is spoken there.",
            .choices = protocols,
            .default_text = "tcp if only tcp routes name the listener, else http",
            .store =
                [](void* o, config_scalar v) {
                    static_cast<listener_config*>(o)->protocol =
                        std::get<std::string>(v) == "tcp" ? listener_protocol::tcp : listener_protocol::http;
                },
            .load = [](const void* o) -> config_scalar {
                const bool tcp = static_cast<const listener_config*>(o)->protocol == listener_protocol::tcp;
                return std::string(protocols[tcp ? 1 : 0]);
            }};
}

// An enumeration as a text: its values are the places of the texts.
template <const auto& Texts, auto... Path>
constexpr config_field one_of(string_view key, string_view doc) {
    using object = rows::detail::object_of<Path...>;
    return {.key = key,
            .kind = config_kind::choice,
            .doc = doc,
            .choices = Texts,
            .store =
                [](void* o, config_scalar v) {
                    auto& member = rows::detail::walk<Path...>(*static_cast<object*>(o));
                    const auto at = std::ranges::find(Texts, std::get<std::string>(v));
                    member = static_cast<std::remove_reference_t<decltype(member)>>(at - std::ranges::begin(Texts));
                },
            .load = [](const void* o) -> config_scalar {
                return std::string(
                    Texts[static_cast<int>(rows::detail::walk<Path...>(*static_cast<const object*>(o)))]);
            }};
}

constexpr string_view tls_versions[] = {"1.2", "1.3"};
constexpr string_view client_certificate_modes[] = {"off", "optional", "required"};

using tc = tls_certificate_files;
using to = tls_server_options;

constexpr config_field certificate_fields[] = {
    required(text<&tc::certificate>("certificate", formats::file,
                                    "The certificate, then those between it and the root: a PEM file.")),
    required(text<&tc::key>("key", formats::file, "Its key, not encrypted: a PEM file.")),
    text<&tc::ocsp>("ocsp", formats::file, "An OCSP response to staple: a DER file."),
};

constexpr auto any_certificate = [](const de&, string_view) { return tc{}; };

constexpr config_field listener_tls_fields[] = {
    required(not_empty(sections<+any_certificate, &to::certificates>(
        "certificates", tables::certificate,
        "A client that names a host gets the one for it, else the one with a wildcard for it, else the first."))),
    one_of<tls_versions, &to::version_min>("version_min", "The oldest version of TLS that is spoken."),
    texts<&to::protocols>("protocols", formats::alpn, "What is offered by ALPN, dearest first."),
    one_of<client_certificate_modes, &to::clients>(
        "client_certificates",
        "Whether clients are asked for certificates. The subject of one that was verified is told "
        "to the upstream as X-Client-Certificate-Subject."),
    text<&to::client_ca>("client_ca", formats::file, "Who may issue them: a PEM file."),
    flag<&to::tickets>("tickets", "Whether clients may resume sessions."),
};

using li = listener_config;

constexpr config_field listener_fields[] = {
    required(text<&li::name>("name", formats::name, "What routes and logs call it.")),
    required(text<&li::listen>("address", formats::listen,
                               "Where to accept connections: address:port, [v6]:port, :port (all IPv4 addresses) or "
                               "unix:/path. Port 0 lets the system choose.")),
    protocol_field(),
    section<&li::tls>("tls", tables::listener_tls, "Speaks TLS with clients."),
    flat<&li::http>(listener_options),
};

// ---- routes

using vm = headgate::gateway::value_match;

constexpr config_field field_match_fields[] = {
    required(text<&vm::name>("name", formats::header_name, "Whatever its case.")),
    text<&vm::value>("value", formats::header_value, "Exactly this. Without it, any value."),
};

constexpr config_field parameter_match_fields[] = {
    required(text<&vm::name>("name", formats::parameter, "As it is when it is decoded.")),
    text<&vm::value>("value", formats::any, "Exactly this, decoded. Without it, any value."),
};

using rm = route_match;
constexpr auto any_value = [](const de&, string_view) { return vm{}; };

constexpr config_field match_fields[] = {
    not_empty(texts<&rm::hosts>("hosts", formats::route_host,
                                "Hosts, or `*.` and a host for all names below it. Without it, any host.")),
    text<&rm::path>("path", formats::path, "Exactly this path."),
    text<&rm::path_prefix>("path_prefix", formats::path, "This path and all below it, by whole segments."),
    not_empty(texts<&rm::methods>("methods", formats::method, "Without it, any method.")),
    not_empty(sections<+any_value, &rm::headers>("headers", tables::field_match, "Header fields it must have.")),
    not_empty(sections<+any_value, &rm::query>("query", tables::parameter_match,
                                               "Parameters its query must have. The first of a name counts.")),
    count<&rm::priority>("priority", -1'000'000, 1'000'000,
                         "Among routes that are equally specific, the higher one is asked first."),
};
constexpr string_view one_path[] = {"path", "path_prefix"};
constexpr config_alternatives match_alternatives[] = {{one_path, false}};

using he = headgate::gateway::header_edits;

constexpr config_field header_addition_fields[] = {
    headers<&he::set>("set", "Fields to put in instead of all of that name."),
    headers<&he::add>("add", "Fields to put in beside those of that name."),
};

constexpr config_field header_edit_fields[] = {
    texts<&he::remove>("remove", formats::edited_header, "Fields to leave out. Done first."),
    also(tables::header_additions),
};

using wu = headgate::gateway::weighted_upstream;

constexpr config_field weighted_upstream_fields[] = {
    required(text<&wu::upstream>("upstream", formats::name, "One of the upstreams of this file.")),
    count<&wu::weight>("weight", 0, 10'000, "Its share of the requests. 0 for none."),
};

constexpr auto any_upstream = [](const de&, string_view) { return wu{}; };

// A single upstream is a list of one.
template <class Action>
constexpr config_field single_upstream() {
    return {
        .key = "upstream",
        .kind = config_kind::text,
        .doc = "Where to: one of the upstreams of this file.",
        .format = &formats::name,
        .store = [](void* o, config_scalar v) { static_cast<Action*>(o)->upstreams = {{std::get<std::string>(v), 1}}; },
        .load = [](const void*) -> config_scalar { return {}; }};
}
template <class Action>
constexpr config_field several_upstreams() {
    return not_empty(sections<+any_upstream, &Action::upstreams>(
        "upstreams", tables::weighted_upstream, "Several of them, which share the requests by weight."));
}
constexpr string_view one_or_more[] = {"upstream", "upstreams"};
constexpr string_view one_replacement[] = {"replace_prefix", "replace_path"};

using pa = proxy_action;

constexpr config_field proxy_fields[] = {
    single_upstream<pa>(),
    several_upstreams<pa>(),
    text<&pa::replace_prefix>("replace_prefix", formats::new_prefix,
                              "Instead of the path prefix that the route matched. Empty, or `/`, strips it."),
    text<&pa::replace_path>("replace_path", formats::path, "Instead of the whole path."),
    text<&pa::host>("host", formats::host, "Instead of the client's Host."),
    section<&pa::request_headers>("request_headers", tables::header_edits, "Changes to the request's fields."),
    section<&pa::response_headers>("response_headers", tables::header_edits, "Changes to the response's fields."),
    flat<&pa::options>(tables::proxy_options),
};
constexpr config_alternatives proxy_alternatives[] = {{one_or_more, true}, {one_replacement, false}};

using re = redirect_action;

constexpr string_view redirect_statuses[] = {"301", "302", "303", "307", "308"};
constexpr string_view schemes[] = {"http", "https"};

constexpr config_field redirect_fields[] = {
    choice<&re::status>("status", redirect_statuses, "What to answer."),
    choice<&re::scheme>("scheme", schemes, "Instead of the request's."),
    text<&re::host>("host", formats::host_name, "Instead of the request's."),
    count<&re::port>("port", 1, 65535, "Instead of the request's."),
    text<&re::replace_prefix>("replace_prefix", formats::new_prefix,
                              "Instead of the path prefix that the route matched."),
    text<&re::replace_path>("replace_path", formats::path, "Instead of the whole path."),
};
constexpr config_alternatives redirect_alternatives[] = {{one_replacement, false}};

using rs = respond_action;

constexpr config_field respond_fields[] = {
    count<&rs::status>("status", 200, 599, "What to answer."),
    text<&rs::body>("body", formats::any, "The body of the answer."),
    text<&rs::content_type>("content_type", formats::header_value, "What the body is."),
    section<&rs::headers>("headers", tables::header_additions, "More fields of the answer."),
};

constexpr config_field tcp_fields[] = {
    single_upstream<tcp_action>(),
    several_upstreams<tcp_action>(),
    also(tables::tcp_options),
};
constexpr config_alternatives tcp_alternatives[] = {{one_or_more, true}};

using rc = route_config;
constexpr auto proxy_begin = [](const de& d, string_view) { return d.proxy; };
constexpr auto tcp_begin = [](const de& d, string_view) { return d.tcp; };
constexpr auto redirect_begin = [](const de&, string_view) { return re{}; };
constexpr auto respond_begin = [](const de&, string_view) { return rs{}; };

constexpr config_field route_fields[] = {
    by_default("route-1, by its place in the list", text<&rc::name>("name", formats::name, "What logs call it.")),
    not_empty(by_default("all whose protocol fits",
                         texts<&rc::listeners>("listeners", formats::name, "Listeners of this file that it is for."))),
    section<&rc::match>("match", tables::match, "Which requests it takes: those for which all of this holds."),
    action<pa, +proxy_begin, &rc::action>("proxy", tables::proxy, "Sends requests on to an upstream."),
    action<re, +redirect_begin, &rc::action>("redirect", tables::redirect, "Sends the client elsewhere."),
    action<rs, +respond_begin, &rc::action>("respond", tables::respond, "Answers by itself."),
    action<tcp_action, +tcp_begin, &rc::action>("tcp", tables::tcp, "Passes the bytes of a connection on, both ways."),
};
constexpr string_view actions[] = {"proxy", "redirect", "respond", "tcp"};
constexpr config_alternatives route_alternatives[] = {{actions, true}};

// ---- upstreams

using ec = endpoint_config;
using uc = upstream_config;

constexpr config_field endpoint_fields[] = {
    required(text<&ec::where>("address", formats::endpoint, "host:port; an IPv6 address in brackets.")),
    count<&ec::weight>("weight", 0, 10'000, "Its share of the requests. 0 for none."),
};

constexpr auto any_endpoint = [](const de&, string_view) { return ec{}; };

using ut = headgate::gateway::upstream_tls;
using uto = tls_client_options;

constexpr config_field upstream_tls_fields[] = {
    by_default("the host of the endpoint",
               text<&ut::server_name>("server_name", formats::host_name,
                                      "What the certificate must name, and what is asked for (SNI).")),
    by_default("the system's list", text<&ut::options, &uto::ca>("ca", formats::file, "Who is trusted: a PEM file.")),
    text<&ut::options, &uto::certificate>("certificate", formats::file, "Our own certificate: a PEM file."),
    text<&ut::options, &uto::key>("key", formats::file, "Its key: a PEM file."),
    one_of<tls_versions, &ut::options, &uto::version_min>("version_min", "The oldest version of TLS that is spoken."),
    flag<&ut::options, &uto::insecure_accept_any_certificate>(
        "insecure_accept_any_certificate",
        "Trusts anybody: who is in between can read and change everything. For tests."),
};

// That it is there turns it on.
constexpr config_field upstream_tls_section() {
    config_field f =
        section<&uc::tls>("tls", tables::upstream_tls, "Speaks TLS with the endpoints. `tls: {}` is enough.");
    f.open = [](void* o, const de&, string_view) -> void* {
        ut& tls = static_cast<uc*>(o)->tls;
        tls.enabled = true;
        return &tls;
    };
    return f;
}

constexpr config_field upstream_fields[] = {
    required(not_empty(sections<+any_endpoint, &uc::endpoints>("endpoints", tables::endpoint, "Where it is."))),
    upstream_tls_section(),
    flat<&uc::options>(tables::upstream_options),
};

// ---- the file

using doc = config_document;

constexpr auto listener_begin = [](const de& d, string_view) { return d.listener; };
constexpr auto route_begin = [](const de&, string_view) { return rc{}; };
constexpr auto upstream_begin = [](const de& d, string_view name) {
    uc u = d.upstream;
    u.name = name;
    return u;
};

constexpr config_field document_fields[] = {
    section<&doc::defaults>("defaults", tables::defaults, "Where the options of all others begin."),
    section<&doc::value, &config::server>("server", tables::server, "What the whole process shares."),
    required(not_empty(at_most(1000, sections<+listener_begin, &doc::value, &config::listeners>(
                                         "listeners", tables::listener, "Where clients come in.")))),
    required(not_empty(at_most(10'000, sections<+route_begin, &doc::value, &config::routes>(
                                           "routes", tables::route,
                                           "What is done with requests and connections. The most specific route takes "
                                           "a request, whatever their order.")))),
    at_most(10'000, named<+upstream_begin, &doc::value, &config::upstreams>(
                        "upstreams", tables::upstream, "Where requests and connections can be sent, by name.")),
};

} // namespace

constinit const config_table document{"the file", "", document_fields, {}, "", &built_in<doc>};
constinit const config_table server{"server", "", server_fields, {}, "", &built_in<so>};
constinit const config_table listener_options{"the options of a listener",
                                              "What clients may take before it is known which route their request has.",
                                              listener_option_fields,
                                              {},
                                              "",
                                              &built_in<ho>};
constinit const config_table proxy_options{"the options of a proxy action",
                                           "What one request may take, both ways.",
                                           proxy_option_fields,
                                           {},
                                           "",
                                           &built_in<ro>};
constinit const config_table tcp_options{"the options of a tcp action", "", tcp_option_fields, {}, "",
                                         &built_in<tcp_action>};
constinit const config_table upstream_options{
    "the options of an upstream", "", upstream_option_fields, {}, "", &built_in<uo>};
constinit const config_table ejection{"ejection", "", ejection_fields, {}, "", &built_in<eo>};
constinit const config_table balancing{"balancing", "", balancing_fields, {}, "", &built_in<ba>};
constinit const config_table health_check{"health_check", "", health_check_fields, {}, "", &built_in<hc>};
constinit const config_table defaults{"defaults", "", default_fields, {}, "", &built_in<de>};
constinit const config_table listener{"a listener", "", listener_fields, {}, "", &built_in<li>};
constinit const config_table route{"a route", "", route_fields, route_alternatives, "", &built_in<rc>};
constinit const config_table match{"match", "", match_fields, match_alternatives, "", &built_in<rm>};
constinit const config_table field_match{"a field to match", "", field_match_fields, {}, "", &built_in<vm>};
constinit const config_table parameter_match{"a parameter to match", "", parameter_match_fields, {}, "", &built_in<vm>};
constinit const config_table proxy{"proxy", "", proxy_fields, proxy_alternatives, "", &built_in<pa>};
constinit const config_table redirect{"redirect", "", redirect_fields, redirect_alternatives, "", &built_in<re>};
constinit const config_table respond{"respond", "", respond_fields, {}, "", &built_in<rs>};
constinit const config_table tcp{"tcp", "", tcp_fields, tcp_alternatives, "", &built_in<tcp_action>};
constinit const config_table weighted_upstream{
    "an upstream with its weight", "", weighted_upstream_fields, {}, "upstream", &built_in<wu>};
constinit const config_table header_edits{"changes to fields", "", header_edit_fields, {}, "", &built_in<he>};
constinit const config_table header_additions{"fields to put in", "", header_addition_fields, {}, "", &built_in<he>};
constinit const config_table certificate{"a certificate", "", certificate_fields, {}, "", &built_in<tc>};
constinit const config_table listener_tls{"tls of a listener", "", listener_tls_fields, {}, "", &built_in<to>};
constinit const config_table upstream_tls{"tls of an upstream", "", upstream_tls_fields, {}, "", &built_in<ut>};
constinit const config_table upstream{"an upstream", "", upstream_fields, {}, "", &built_in<uc>};
constinit const config_table endpoint{"an endpoint", "", endpoint_fields, {}, "address", &built_in<ec>};

} // namespace headgate::gateway::tables
