#pragma once

#include <gateway/config/field.hpp>

namespace headgate::gateway {

// A whole file: what the top table is about.
struct config_document {
    config_defaults defaults{};
    config value{};
};

namespace tables {

extern const config_table document;
extern const config_table server;
extern const config_table access_log;
extern const config_table admin;
extern const config_table tracing;
extern const config_table listener_options;
extern const config_table proxy_options;
extern const config_table tcp_options;
extern const config_table retries;
extern const config_table upstream_options;
extern const config_table ejection;
extern const config_table retry_budget;
extern const config_table sticky_cookie;
extern const config_table dns;
extern const config_table names;
extern const config_table circuit_breaker;
extern const config_table health_check;
extern const config_table balancing;
extern const config_table defaults;
extern const config_table listener_policies;
extern const config_table listener;
extern const config_table rate_limit;
extern const config_table cors;
extern const config_table route_policies;
extern const config_table route;
extern const config_table match;
extern const config_table field_match;
extern const config_table parameter_match;
extern const config_table proxy;
extern const config_table redirect;
extern const config_table respond;
extern const config_table compression;
extern const config_table response;
extern const config_table spool;
extern const config_table source;
extern const config_table query_parameter;
extern const config_table export_rows;
extern const config_table csv;
extern const config_table static_files;
extern const config_table tcp;
extern const config_table weighted_upstream;
extern const config_table header_edits;
extern const config_table header_additions;
extern const config_table certificate;
extern const config_table listener_tls;
extern const config_table upstream_tls;
extern const config_table upstream;
extern const config_table endpoint;

} // namespace tables

} // namespace headgate::gateway
