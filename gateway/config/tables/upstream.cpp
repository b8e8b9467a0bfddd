#include <gateway/config/rows.hpp>
#include <gateway/config/tables.hpp>

// Where requests and connections are sent.
namespace headgate::gateway::tables {

namespace {

using namespace rows;
using std::string_view;

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

using hc = headgate::gateway::health_check_options;

constexpr config_field health_check_fields[] = {
    one_of<check_types, &hc::type>("type", "Whether a connection is enough, or there must be an answer."),
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

using rb = headgate::gateway::retry_budget_options;

constexpr config_field retry_budget_fields[] = {
    count<&rb::budget_percent>("budget_percent", 0, 100, "How many of the requests in progress may be retries."),
    count<&rb::min_retry_concurrency>("min_retry_concurrency", 0, many, "So many retries may always be in progress."),
};

using cb = headgate::gateway::circuit_breaker_options;

constexpr config_field circuit_breaker_fields[] = {
    count<&cb::failure_percent>(
        "failure_percent", 0, 100,
        "Share of the requests of a window that opens the circuit, when they fail. 0 for none."),
    count<&cb::consecutive_failures>("consecutive_failures", 0, many,
                                     "Failures in a row that open the circuit. 0 for none."),
    count<&cb::min_requests>("min_requests", 1, many, "A window with fewer requests tells nothing."),
    time<&cb::window>("window", "How long a request counts for the share."),
    time<&cb::open_time>("open_time", "How long nothing is sent then: 503, or the fallback of the route."),
    count<&cb::half_open_probes>("half_open_probes", 1, many,
                                 "So many requests are let through after it. If all go well the circuit is closed, if "
                                 "one fails it is open again."),
};

using ba = headgate::gateway::balancing_options;

constexpr config_field balancing_fields[] = {
    one_of<policies, &ba::policy>("policy", "How an endpoint is chosen, of those that are well."),
    one_of<hash_sources, &ba::hash_on>(
        "hash_on", "What decides under consistent_hash. A request without it goes to any endpoint."),
    by_default("", text<&ba::hash_name>("hash_name", formats::header_name, "Of the header or the cookie.")),
};

using uo = headgate::gateway::upstream_options;

constexpr string_view proxy_protocols[] = {"none", "v1", "v2"};

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
    one_of<proxy_protocols, &uo::proxy_protocol>("proxy_protocol",
                                                 "Whether each connection begins with a header of the PROXY protocol "
                                                 "that says whose it is. Then it is closed after one request."),
    section<&uo::balancing>("balancing", tables::balancing, "Which endpoint a request is sent to."),
    section<&uo::ejection>("ejection", tables::ejection,
                           "When an endpoint that fails is left alone for a while (outlier detection)."),
    section<&uo::health_check>("health_check", tables::health_check,
                               "How endpoints are asked whether they are well, each by every worker."),
    section<&uo::retry_budget>("retry_budget", tables::retry_budget,
                               "How many retries there may be at a time, per worker. What the `retries` of routes "
                               "ask for beyond is not done."),
    section<&uo::circuit_breaker>("circuit_breaker", tables::circuit_breaker,
                                  "When nothing is sent for a while, because too much has failed. Each worker for "
                                  "itself."),
};

using de = config_defaults;

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

} // namespace

constinit const config_table ejection{"ejection", "", ejection_fields, {}, "", &built_in<eo>};
constinit const config_table health_check{"health_check", "", health_check_fields, {}, "", &built_in<hc>};
constinit const config_table retry_budget{"retry_budget", "", retry_budget_fields, {}, "", &built_in<rb>};
constinit const config_table circuit_breaker{"circuit_breaker", "", circuit_breaker_fields, {}, "", &built_in<cb>};
constinit const config_table balancing{"balancing", "", balancing_fields, {}, "", &built_in<ba>};
constinit const config_table upstream_options{
    "the options of an upstream", "", upstream_option_fields, {}, "", &built_in<uo>};
constinit const config_table endpoint{"an endpoint", "", endpoint_fields, {}, "address", &built_in<ec>};
constinit const config_table upstream_tls{"tls of an upstream", "", upstream_tls_fields, {}, "", &built_in<ut>};
constinit const config_table upstream{"an upstream", "", upstream_fields, {}, "", &built_in<uc>};

} // namespace headgate::gateway::tables
