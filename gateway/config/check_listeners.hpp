#pragma once

#include <string>
#include <vector>

#include <gateway/config/check.hpp>
#include <gateway/config/field.hpp>

// The parts of check_config() that are about listeners, and what those and the others have in common.
namespace headgate::gateway {

// No two listeners, nor one and the admin server, may have the same address; and that server must not be open to all.
void check_addresses(const config& c, const config_places& places, config_errors& errors);

// Sets the protocols of listeners, and checks each with the routes that it is to serve, and these with each other.
// `doubtful` tells for each route whether something in it is wrong: of such a one nothing more is said.
void check_routing(config& c, const config_places& places, config_errors& errors, const std::vector<bool>& doubtful);

inline std::string quoted(std::string_view text) { return "'" + printable(text) + "'"; }
inline std::string on_line(config_mark at) { return "line " + std::to_string(at.line); }
inline bool is_tcp(const route_config& r) { return std::holds_alternative<tcp_action>(r.action); }

} // namespace headgate::gateway
