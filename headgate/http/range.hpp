#pragma once

#include <headgate/http/message.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace headgate::http {

// A part of a representation: `length` bytes, at least one, from `first` on.
struct byte_range {
    std::uint64_t first;
    std::uint64_t length;
    bool operator==(const byte_range&) const = default;
};

// The parts that a Range field asks for, of a representation of `size` bytes (RFC 9110, section 14.2), in its order.
// Those that have no byte are left out, so an empty list means 416. Nothing if the field is to be ignored and all is
// sent: it is malformed, or in another unit; it asks for more than `most` parts; or for more bytes, in all, than there
// are, so that some would be sent twice.
std::optional<std::vector<byte_range>> parse_ranges(std::string_view value, std::uint64_t size, std::size_t most);

// "bytes 0-499/1234" (RFC 9110, section 14.4).
std::string content_range(byte_range r, std::uint64_t size);

// What a representation is told apart by.
struct validators {
    std::string_view etag;     // with its quotes, and W/ if it is weak
    std::int64_t modified = 0; // seconds since 1970
};

enum class precondition : std::uint8_t {
    holds,
    not_modified, // 304
    failed        // 412
};

// Evaluates the conditions of a GET or HEAD request, in the order of RFC 9110, section 13.2.2: If-Match, or else
// If-Unmodified-Since; then If-None-Match, or else If-Modified-Since.
precondition check_preconditions(const request_head& rq, const validators& v, std::int64_t now);

// Whether a Range field counts, by the If-Range beside it (RFC 9110, section 13.1.5); true without one. A date counts
// only if it is exact, and the representation has not changed within the second before `now`.
bool if_range_holds(const request_head& rq, const validators& v, std::int64_t now);

} // namespace headgate::http
