#pragma once

#include <cstdint>
#include <string>
#include <string_view>

// Numbers and foreign text as the terminal shows them. The page says the same in dashboard/words.js.
namespace headgate::gateway::top {

// "64 KiB", "41.1 MiB".
std::string bytes_text(std::uint64_t n);
// "35 ms", "0.4 s", "12 s", "2 min 5 s", "3 h 1 min", "2 d 4 h".
std::string time_text(double ms);
// "97 %".
std::string percent_text(double share);

// Text that a client has chosen must not give orders to a terminal: whatever is not printable ASCII becomes '?'.
std::string printable(std::string_view text);

} // namespace headgate::gateway::top
