#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

/// Where headgate and the parsers it is compared with are known to differ, and why that is right. Everything that is
/// not listed is a finding. docs/fuzzing.md shows the list.
namespace headgate::fuzz {

/// What is compared; bits.
enum what : std::uint8_t { requests = 1, responses = 2, chunked_bodies = 4 };

enum class who : std::uint8_t { llhttp, beast };

enum class difference : std::uint8_t {
    stricter,  // headgate refuses, the other accepts; the key is headgate's reason
    wider,     // headgate accepts, the other refuses; the key is the other's reason
    otherwise, // both accept, or one of them waits for more; the key is what differs: ours / theirs
};

struct known_difference {
    difference kind;
    std::uint8_t from_llhttp; // in what they differ, or 0
    std::uint8_t from_beast;
    std::string_view key;
    std::string_view why;
};

std::span<const known_difference> known_differences();

/// Whether this is listed. Remembers that it was met.
bool is_known(difference kind, what in, who other, std::string_view key);

/// What is listed for `in` and has not been met, one per line. The corpora must meet all of it, so that nothing stays
/// in the list without a reason.
std::string differences_not_met(what in);

} // namespace headgate::fuzz
