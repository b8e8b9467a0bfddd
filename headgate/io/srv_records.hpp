#pragma once

#include <headgate/io/resolver.hpp>

#include <cstddef>
#include <optional>
#include <span>

namespace headgate::detail {

// Reads the SRV records of an answer of a DNS server (RFC 1035, section 4.1; RFC 2782), as many as `records_max`, with
// the least TTL of all in it. Nothing if it is malformed. c-ares has a function for that, which does not tell the TTL;
// names are expanded by c-ares, which knows where they may point to.
std::optional<found_records> read_srv_records(std::span<const unsigned char> answer, std::size_t records_max);

} // namespace headgate::detail
