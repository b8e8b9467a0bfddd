#include <gateway/config/rows.hpp>
#include <gateway/config/tables.hpp>

// What is done with requests and connections.
namespace headgate::gateway::tables {

namespace {

using namespace rows;
using std::string_view;

using ro = route_options;
using hl = http::head_limits;
using cl = http::chunked_limits;

using rt = headgate::gateway::retry_options;

constexpr config_field retry_fields[] = {
    texts<&rt::retry_on>("retry_on", formats::retry_condition,
                         "Which ends of a try are reason for another one. Without any there are no retries."),
    count<&rt::num_retries>("num_retries", 0, 100, "Retries of one request."),
    or_none(time<&rt::per_try_timeout>("per_try_timeout",
                                       "For the response's head in one try, from the end of the request. "
                                       "first_byte_timeout is for all tries together.")),
    time<&rt::base_interval>("base_interval",
                             "Of the back-off: doubled with each retry, and of that any part by chance."),
    time<&rt::max_interval>("max_interval", "Where the doubling ends."),
    time<&rt::retry_after_max>("retry_after_max",
                               "A Retry-After up to this is waited for. An answer that asks for more is passed on."),
    flag<&rt::non_idempotent>("non_idempotent",
                              "Whether requests are sent again that may do harm if they arrive twice, such as POST."),
    size<&rt::replay_buffer>("replay_buffer", 0, 64 * mib,
                             "Bytes of a request's body that are kept. A longer one is not sent again."),
};

using cm = compression_options;

constexpr config_field compression_fields[] = {
    at_most(2, texts<&cm::algorithms>("algorithms", formats::algorithm,
                                      "What to compress with: zstd, gzip. The one that the client likes best, of "
                                      "equals the first. None: nothing is compressed.")),
    texts<&cm::types>("types", formats::media_type, "Content that is compressed: types, or `text/*` for all of text."),
    size<&cm::min_length>("min_length", 0, tib, "Bodies that are known to be shorter stay as they are."),
    count<&cm::level>("level", 1, 9, "From fast (1) to small (9)."),
};

using rb = response_options;

constexpr string_view bufferings[] = {"none", "spool"};

constexpr config_field response_fields[] = {
    one_of<bufferings, &rb::buffering>(
        "buffering", "How the body of a response is read: none, as fast as the client takes it; spool, as fast as the "
                     "upstream gives it. What the client has not taken then waits in memory, and after that in a file, "
                     "and the connection to the upstream is free when it has given all."),
    size<&rb::spool_memory>("spool_memory", 16 * kib, 1024 * mib, "What one response may have in memory."),
    size<&rb::spool_disk>("spool_disk", 0, 1024 * tib, "And then in a file without a name."),
};

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
    size<&ro::request_rate_max>("request_rate_max", 0, tib,
                                "Bytes per second at which the body of one request is passed on. 0 for no limit."),
    size<&ro::response_rate_max>("response_rate_max", 0, tib, "The same for the body of one response."),
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
    section<&ro::compression>("compression", tables::compression, "Which responses are compressed."),
    section<&ro::response>("response", tables::response, "Whether responses are read ahead of slow clients."),
    texts<&ro::upgrades>("upgrades", formats::protocol, "Protocols that a client may switch to, such as websocket."),
    flag<&ro::connect>("connect", "Whether CONNECT is served, as a tunnel to the upstream."),
    time<&ro::upgrade_idle_timeout>("upgrade_idle_timeout",
                                    "With nothing moved either way, after a switch of protocols: both sides are "
                                    "reset."),
    time<&ro::upgrade_half_close_timeout>("upgrade_half_close_timeout", "The same, after one side has ended."),
    section<&ro::retries>("retries", tables::retries, "When a request is sent once more."),
};

constexpr config_field tcp_option_fields[] = {
    time<&tcp_action::idle_timeout>("idle_timeout", "With nothing moved either way: both sides are reset."),
    time<&tcp_action::half_close_timeout>("half_close_timeout", "The same, after one side has ended."),
};

using de = config_defaults;

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
    not_empty(texts<&rm::hosts>("sni", formats::route_host,
                                "Of a tcp route: what TLS clients ask for, as for hosts. Without it, any connection.")),
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
constexpr string_view one_name[] = {"hosts", "sni"};
constexpr config_alternatives match_alternatives[] = {{one_path, false}, {one_name, false}};

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
    text<&pa::fallback>(
        "fallback", formats::name,
        "The upstream for requests that the others cannot serve: none of their endpoints is well or can "
        "be connected to, their circuit is open, or retries are of no avail."),
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
    section<&rs::compression>("compression", tables::compression, "Whether the answer is compressed."),
};

using sf = static_action;

constexpr string_view link_policies[] = {"within_root", "never"};

// The names of the table are extensions of files.
constexpr config_field media_types() {
    config_field f = headers<&sf::mime_types>(
        "mime_types", "Media types of files by extension, before [the built-in ones](gateway.md#files).");
    f.format = &formats::extension;
    return f;
}

constexpr config_field static_fields[] = {
    required(text<&sf::root>("root", formats::file,
                             "The folder. The path of a request, without the prefix that the route matched, is that of "
                             "the file below it. Opened when the configuration is read.")),
    texts<&sf::index>("index", formats::file_name, "What a folder is answered with: the first of these that exists."),
    flag<&sf::hidden_files>("hidden_files",
                            "Whether files and folders may be served whose names begin with a dot. /.well-known is."),
    one_of<link_policies, &sf::follow_symlinks>("follow_symlinks",
                                                "Which symbolic links are followed: relative ones that stay below the "
                                                "root, or none."),
    texts<&sf::precompressed>("precompressed", formats::coding,
                              "Which compressed variants of files are looked for beside them, under their names and "
                              ".zst, .gz or .br: the one that the client likes best, of equals the first."),
    text<&sf::cache_control>("cache_control", formats::header_value, "Cache-Control of the answers."),
    media_types(),
    section<&sf::headers>("headers", tables::header_additions, "More fields of the answers."),
    section<&sf::compression>("compression", tables::compression,
                              "Which files are compressed, of those without a variant, each time they are sent."),
    time<&sf::client_idle_timeout>("client_idle_timeout",
                                   "With no byte of a file taken, while the client is waited for: a reset."),
    size<&sf::client_rate_min>("client_rate_min", 0, many,
                               "Bytes per second that the client must take, over each rate_grace of waiting for it: a "
                               "reset. 0 for none."),
    time<&sf::rate_grace>("rate_grace", "How much waiting for the client it takes to tell its rate."),
};

constexpr config_field tcp_fields[] = {
    single_upstream<tcp_action>(),
    several_upstreams<tcp_action>(),
    also(tables::tcp_options),
};
constexpr config_alternatives tcp_alternatives[] = {{one_or_more, true}};

using rc = route_config;
using ac = address_rules_config;
using rp = route_policies_config;
using rl = rate_limit_options;
using co = cors_options;

constexpr string_view rate_keys[] = {"client_address", "header"};

constexpr config_field rate_limit_fields[] = {
    required(count<&rl::requests>("requests", 1, 1'000'000, "How many, in the long run.")),
    time<&rl::per>("per", "In which time: whole seconds, at most 1h."),
    by_default("as many as `requests`",
               count<&rl::burst>("burst", 1, 1'000'000, "How many at once, when none came for a while.")),
    one_of<rate_keys, &rl::key>("key", "Whose requests are counted together: those of a client (an IPv4 address, an "
                                       "IPv6 /64 network), or those with the same value of a header."),
    by_default("", text<&rl::header>("header", formats::header_name, "Which one. Requests without it count together.")),
    count<&rl::keys_max>("keys_max", 16, many,
                         "Keys that are remembered, of 32 bytes each. Of more, those are forgotten "
                         "that have used the least."),
    flag<&rl::headers>("headers", "Whether RateLimit fields are also on answers within the limit."),
};

constexpr config_field cors_fields[] = {
    required(not_empty(texts<&co::allow_origins>(
        "allow_origins", formats::origin, "Origins: exactly, with `*.` for all names below one, or `*` for all."))),
    texts<&co::allow_methods>("allow_methods", formats::method, "Methods. `*`: whatever is asked for."),
    texts<&co::allow_headers>("allow_headers", formats::header_name,
                              "Header fields of requests. `*`: whatever is asked for."),
    texts<&co::expose_headers>("expose_headers", formats::header_name, "Header fields of answers that pages may read."),
    flag<&co::allow_credentials>("allow_credentials",
                                 "Whether cookies and the like may be sent. Not with the origin `*`."),
    time<&co::max_age>("max_age", "For how long a browser may remember the answer, in whole seconds."),
};
constexpr auto proxy_begin = [](const de& d, string_view) { return d.proxy; };
constexpr auto tcp_begin = [](const de& d, string_view) { return d.tcp; };
constexpr auto redirect_begin = [](const de&, string_view) { return re{}; };
constexpr auto export_begin = [](const de&, string_view) { return export_action{}; };
constexpr auto static_begin = [](const de&, string_view) { return sf{}; };
constexpr auto respond_begin = [](const de&, string_view) { return rs{}; };

constexpr config_field route_policy_fields[] = {
    texts<&rc::policies, &rp::addresses, &ac::allow>(
        "allow", formats::network,
        "Clients that may use it: others are answered 403, or reset. Without it, "
        "everybody. It adds to what the listener says."),
    texts<&rc::policies, &rp::addresses, &ac::deny>("deny", formats::network,
                                                    "Clients that may not, also if they are allowed."),
    count<&rc::policies, &rp::requests_max>("requests_max", 0, many,
                                            "Requests in progress at a time, over all workers: 503. 0 for no limit."),
    or_none(size<&rc::spool_disk_limit>(
        "spool_disk_limit", 0, 1024 * tib,
        "What its responses together take on disk, over all workers, if they are spooled. At the limit, its upstreams "
        "or its database are read at their clients' speed.")),
    section<&rc::policies, &rp::rate_limit>("rate_limit", tables::rate_limit, "How many requests in a time: 429."),
    section<&rc::policies, &rp::cors>("cors", tables::cors, "Which pages of other origins may use it."),
};

constexpr config_field route_fields[] = {
    by_default("route-1, by its place in the list", text<&rc::name>("name", formats::name, "What logs call it.")),
    not_empty(by_default("all whose protocol fits",
                         texts<&rc::listeners>("listeners", formats::name, "Listeners of this file that it is for."))),
    section<&rc::match>("match", tables::match, "Which requests it takes: those for which all of this holds."),
    action<pa, +proxy_begin, &rc::action>("proxy", tables::proxy, "Sends requests on to an upstream."),
    action<re, +redirect_begin, &rc::action>("redirect", tables::redirect, "Sends the client elsewhere."),
    action<rs, +respond_begin, &rc::action>("respond", tables::respond, "Answers by itself."),
    action<export_action, +export_begin, &rc::action>("export", tables::export_rows,
                                                      "Answers with the rows of a database query."),
    action<sf, +static_begin, &rc::action>("static", tables::static_files, "Serves files below a folder."),
    action<tcp_action, +tcp_begin, &rc::action>("tcp", tables::tcp, "Passes the bytes of a connection on, both ways."),
    also(tables::route_policies),
};
constexpr string_view actions[] = {"proxy", "redirect", "respond", "static", "export", "tcp"};
constexpr config_alternatives route_alternatives[] = {{actions, true}};

} // namespace

constinit const config_table retries{"retries", "", retry_fields, {}, "", &built_in<rt>};
constinit const config_table compression{"compression", "", compression_fields, {}, "", &built_in<cm>};
constinit const config_table response{"response", "", response_fields, {}, "", &built_in<rb>};
constinit const config_table proxy_options{"the options of a proxy action",
                                           "What one request may take, both ways.",
                                           proxy_option_fields,
                                           {},
                                           "",
                                           &built_in<ro>};
constinit const config_table tcp_options{"the options of a tcp action", "", tcp_option_fields, {}, "",
                                         &built_in<tcp_action>};
constinit const config_table field_match{"a field to match", "", field_match_fields, {}, "", &built_in<vm>};
constinit const config_table parameter_match{"a parameter to match", "", parameter_match_fields, {}, "", &built_in<vm>};
constinit const config_table match{"match", "", match_fields, match_alternatives, "", &built_in<rm>};
constinit const config_table header_additions{"fields to put in", "", header_addition_fields, {}, "", &built_in<he>};
constinit const config_table header_edits{"changes to fields", "", header_edit_fields, {}, "", &built_in<he>};
constinit const config_table weighted_upstream{
    "an upstream with its weight", "", weighted_upstream_fields, {}, "upstream", &built_in<wu>};
constinit const config_table proxy{"proxy", "", proxy_fields, proxy_alternatives, "", &built_in<pa>};
constinit const config_table redirect{"redirect", "", redirect_fields, redirect_alternatives, "", &built_in<re>};
constinit const config_table respond{"respond", "", respond_fields, {}, "", &built_in<rs>};
constinit const config_table static_files{"static", "", static_fields, {}, "", &built_in<sf>};
constinit const config_table tcp{"tcp", "", tcp_fields, tcp_alternatives, "", &built_in<tcp_action>};
constinit const config_table rate_limit{"rate_limit", "", rate_limit_fields, {}, "", &built_in<rl>};
constinit const config_table cors{"cors", "", cors_fields, {}, "", &built_in<co>};
constinit const config_table route_policies{"the policies of a route",
                                            "What holds for its requests whatever is done with them.",
                                            route_policy_fields,
                                            {},
                                            "",
                                            &built_in<rc>};
constinit const config_table route{"a route", "", route_fields, route_alternatives, "", &built_in<rc>};

} // namespace headgate::gateway::tables
