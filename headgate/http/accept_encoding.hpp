#pragma once

#include <headgate/http/message.hpp>

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace headgate::http {

// How much a client wants a content coding, in thousandths: its weight in Accept-Encoding, or that of "*" (RFC 9110,
// section 12.5.3); 0 for not at all. "x-gzip" is gzip. A client that does not say anything gets no coding.
int coding_weight(const header_list& rq, std::string_view coding);

// Which of the codings to answer with: the one that the client wants most, of equals the first. Nothing for none of
// them: it wants none, or plain ("identity") more.
std::optional<std::size_t> choose_coding(const header_list& rq, std::span<const std::string_view> codings);

} // namespace headgate::http
