#pragma once

#include <fuzz/differences.hpp>
#include <fuzz/oracle.hpp>

/// headgate's reading of the same bytes, and the comparison.
namespace headgate::fuzz {

reading headgate_request(std::string_view text);
reading headgate_response(std::string_view text, bool to_head);
reading headgate_chunked(std::string_view text);

/// Stops, with both readings, where the two differ and known_differences() do not say why.
void compare(what in, who other, const reading& ours, const reading& theirs);

/// The same for all who read it.
inline void compare(what in, const reading& ours, const reading& by_llhttp, const reading& by_beast) {
    compare(in, who::llhttp, ours, by_llhttp);
    compare(in, who::beast, ours, by_beast);
}

} // namespace headgate::fuzz
