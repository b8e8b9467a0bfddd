#pragma once

#include <span>
#include <string>
#include <vector>

namespace headgate::gateway {

// A thread's stack as text, a line for each call. The names and lines are looked up by a process of the same program,
// which is gone afterwards: debug information takes tens of megabytes, and who is in trouble should not have to find
// them. Without it there are modules and offsets, for addr2line. Waits for a few seconds at the most.
std::string text_of_calls(std::span<void* const> return_addresses);

// That process: writes a line for each of the addresses, which are offsets in the program. Its exit status.
int symbolize(const std::vector<std::string>& offsets);

} // namespace headgate::gateway
