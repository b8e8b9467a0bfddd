#include <gateway/config/rows.hpp>
#include <gateway/config/tables.hpp>

// The file as a whole.
namespace headgate::gateway::tables {

namespace {

using namespace rows;
using std::string_view;

using de = config_defaults;

constexpr config_field default_fields[] = {
    section<&de::listener, &listener_config::http>("listener", listener_options, "Of all HTTP listeners."),
    section<&de::proxy, &proxy_action::options>("proxy", proxy_options, "Of all `proxy` actions."),
    section<&de::tcp>("tcp", tcp_options, "Of all `tcp` actions."),
    section<&de::upstream, &upstream_config::options>("upstream", upstream_options, "Of all upstreams."),
};

using doc = config_document;

constexpr auto listener_begin = [](const de& d, string_view) { return d.listener; };
constexpr auto route_begin = [](const de&, string_view) { return route_config{}; };
constexpr auto source_begin = [](const de&, string_view name) { return source_config{.name = std::string(name)}; };
constexpr auto upstream_begin = [](const de& d, string_view name) {
    upstream_config u = d.upstream;
    u.name = name;
    return u;
};

// That it is there turns it on.
constexpr config_field admin_section() {
    config_field f = section<&doc::value, &config::admin>(
        "admin", tables::admin,
        "Serves those who look after the gateway: /livez, /readyz, reload and so on. `admin: {}` "
        "is enough.");
    f.open = [](void* o, const de&, string_view) -> void* {
        admin_options& a = static_cast<doc*>(o)->value.admin;
        a.enabled = true;
        return &a;
    };
    return f;
}

// The same.
constexpr config_field tracing_section() {
    config_field f = section<&doc::value, &config::tracing>(
        "tracing", tables::tracing, "To which trace requests belong (W3C Trace Context), and what is told of them.");
    f.open = [](void* o, const de&, string_view) -> void* {
        tracing_options& t = static_cast<doc*>(o)->value.tracing;
        t.enabled = true;
        return &t;
    };
    return f;
}

constexpr config_field document_fields[] = {
    section<&doc::defaults>("defaults", tables::defaults, "Where the options of all others begin."),
    section<&doc::value, &config::server>("server", tables::server, "What the whole process shares."),
    admin_section(),
    tracing_section(),
    required(not_empty(at_most(1000, sections<+listener_begin, &doc::value, &config::listeners>(
                                         "listeners", tables::listener, "Where clients come in.")))),
    required(not_empty(at_most(10'000, sections<+route_begin, &doc::value, &config::routes>(
                                           "routes", tables::route,
                                           "What is done with requests and connections. The most specific route takes "
                                           "a request, whatever their order.")))),
    at_most(10'000, named<+upstream_begin, &doc::value, &config::upstreams>(
                        "upstreams", tables::upstream, "Where requests and connections can be sent, by name.")),
    at_most(1000, named<+source_begin, &doc::value, &config::sources>("sources", tables::source,
                                                                      "Databases for exports, by name.")),
};

} // namespace

constinit const config_table defaults{"defaults", "", default_fields, {}, "", &built_in<de>};
constinit const config_table document{"the file", "", document_fields, {}, "", &built_in<doc>};

} // namespace headgate::gateway::tables
