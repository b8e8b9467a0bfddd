#pragma once

#include <gateway/config.hpp>
#include <gateway/config/decode.hpp>
#include <gateway/config/error.hpp>

namespace headgate::gateway {

// What no single value tells: names that refer to nothing or are given twice, addresses that overlap, routes that
// nothing can reach or that cannot be told apart, settings that have no meaning where they stand. Fills in what follows
// from the rest: names of routes, protocols of listeners. Parts in which something is wrong already are left alone.
void check_config(config& c, const config_places& places, config_errors& errors);

// The listeners that a route is for. Both are indexes; only after check_config.
std::vector<std::size_t> listeners_of(const config& c, std::size_t route);

} // namespace headgate::gateway
