#pragma once

#include <chrono>
#include <span>

#include <gateway/admin/json.hpp>
#include <gateway/observe/worker_state.hpp>

// What the admin API says of the gateway, as JSON: see docs/openapi.yaml.
namespace headgate::gateway::admin {

std::string utc_text(std::chrono::system_clock::time_point t); // "2026-11-22T23:59:59.123Z"

void write(json_writer& out, const route_totals& r);
void write(json_writer& out, const flow_view& f, bool transitions);
void write(json_writer& out, const ended_flow& e);
void write(json_writer& out, std::string_view name, const upstream_state& u);
void write(json_writer& out, std::string_view name, const source_state& s);

// The number of a flow in its worker, and that one's, of "w0-18734".
struct flow_id {
    std::size_t worker = 0;
    std::uint64_t number = 0;
};
std::optional<flow_id> parse_flow_id(std::string_view text);

} // namespace headgate::gateway::admin
