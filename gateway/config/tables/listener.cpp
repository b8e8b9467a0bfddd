#include <gateway/config/rows.hpp>
#include <gateway/config/tables.hpp>

// Where clients come in.
namespace headgate::gateway::tables {

namespace {

using namespace rows;
using std::string_view;

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

using de = config_defaults;

constexpr string_view protocols[] = {"http", "tcp"};
constexpr string_view forwarded_kinds[] = {"x_forwarded", "forwarded"};
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
using ac = address_rules_config;

constexpr config_field listener_policy_fields[] = {
    texts<&li::trusted_proxies>(
        "trusted_proxies", formats::network,
        "Who is believed when it says for whom it asks, in X-Forwarded-* or Forwarded. From all "
        "others these fields are replaced."),
    one_of<forwarded_kinds, &li::forwarded>("forwarded",
                                            "Which fields are read from trusted proxies and written to upstreams: "
                                            "X-Forwarded-*, or Forwarded (RFC 7239). The others are removed."),
    flag<&li::proxy_protocol>(
        "proxy_protocol", "Whether each connection begins with a header of the PROXY protocol, version 1 or 2, that "
                          "says whose it is. It must; if there are trusted_proxies, only theirs are taken. Others "
                          "are reset."),
    texts<&li::addresses, &ac::allow>("allow", formats::network,
                                      "Clients that may come in: others are answered 403, or reset on a tcp listener. "
                                      "Without it, everybody."),
    texts<&li::addresses, &ac::deny>("deny", formats::network, "Clients that may not, also if they are allowed."),
};

constexpr config_field listener_fields[] = {
    required(text<&li::name>("name", formats::name, "What routes and logs call it.")),
    required(text<&li::listen>("address", formats::listen,
                               "Where to accept connections: address:port, [v6]:port, :port (all IPv4 addresses) or "
                               "unix:/path. Port 0 lets the system choose.")),
    by_default("tcp if only tcp routes name the listener, else http",
               one_of<protocols, &li::protocol>("protocol", "What is spoken there.")),
    section<&li::tls>("tls", tables::listener_tls, "Speaks TLS with clients."),
    also(tables::listener_policies),
    flat<&li::http>(listener_options),
};

} // namespace

constinit const config_table listener_options{"the options of a listener",
                                              "What clients may take before it is known which route their request has.",
                                              listener_option_fields,
                                              {},
                                              "",
                                              &built_in<ho>};
constinit const config_table certificate{"a certificate", "", certificate_fields, {}, "", &built_in<tc>};
constinit const config_table listener_tls{"tls of a listener", "", listener_tls_fields, {}, "", &built_in<to>};
constinit const config_table listener_policies{
    "the policies of a listener", "Whom it believes and admits.", listener_policy_fields, {}, "", &built_in<li>};
constinit const config_table listener{"a listener", "", listener_fields, {}, "", &built_in<li>};

} // namespace headgate::gateway::tables
