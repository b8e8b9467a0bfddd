#pragma once

#include <headgate/core/task.hpp>

#include <gateway/observe/flow_registry.hpp>

namespace headgate::gateway {

// Looks at all flows of a registry, which is this thread's and outlives it, in time that is linear in their number;
// `limit` of them are copied. However many there are, nobody waits for it: after each `survey_slice` it lets the others
// of the thread have their turn. So what it gives was true of each flow at its moment, not of all at one.
//
// With `sums` the totals of the routes have what is not in the routes' counts yet (waits and bytes), in such a way that
// both together never become less: whoever adds them does so before the thread does anything else.
task<flow_page> survey(const flow_registry* of, flow_query q, bool sums = false);

inline constexpr duration survey_slice = std::chrono::milliseconds(2);
inline constexpr std::size_t survey_slice_flows = 512; // the most in one slice

} // namespace headgate::gateway
