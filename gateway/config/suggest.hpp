#pragma once

#include <span>
#include <string>
#include <string_view>

namespace headgate::gateway {

// What to write instead of a word that is none of `known`: "did you mean 'upstream'?" if one is close, else
// "there are 'a', 'b' and 'c'", or "there is none" if none is known.
std::string suggest(std::string_view word, std::span<const std::string_view> known);

} // namespace headgate::gateway
