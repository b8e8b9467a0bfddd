#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Parsers that are not ours, to compare with: llhttp, which Node.js uses, and Boost.Beast. Both as Debian ships them
/// and with their defaults, except for limits of size, which are out of the way.
namespace headgate::fuzz {

enum class verdict : std::uint8_t { more, accepted, refused };

/// What a parser made of a head, or of a chunked body, in words that can be compared.
struct reading {
    verdict how = verdict::more;
    std::string refusal; // why, as the parser itself says it
    std::string method;
    std::string target;
    int status = 0;
    std::string reason;
    int minor_version = 1;
    std::vector<std::pair<std::string, std::string>> fields; // or trailers; white space around values taken off
    std::string framing = "none";                            // or "length N", "chunked", "until close"
    bool keep_alive = false;
    std::size_t bytes = 0; // of the input that the head, or the body, took
    std::string payload;
};

reading llhttp_request(std::string_view text);
reading beast_request(std::string_view text);

/// `to_head`: the response answers HEAD.
reading llhttp_response(std::string_view text, bool to_head);
reading beast_response(std::string_view text, bool to_head);

/// `text` begins with the first chunk; what follows the body is left alone.
reading llhttp_chunked(std::string_view text);
reading beast_chunked(std::string_view text);

/// Without the white space that may stand around a field's value (RFC 9110, section 5.5).
inline std::string trimmed(std::string_view text) {
    const std::size_t begin = text.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return {};
    return std::string(text.substr(begin, text.find_last_not_of(" \t") - begin + 1));
}

/// The head of the request in which a chunked body is given to the others, and their reading without it.
inline constexpr std::string_view chunked_request = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
inline reading body_of(reading all) {
    reading body;
    body.how = all.how;
    body.refusal = std::move(all.refusal);
    if (body.how != verdict::accepted) return body;
    body.fields = std::move(all.fields);
    body.bytes = all.bytes - chunked_request.size();
    body.payload = std::move(all.payload);
    return body;
}

} // namespace headgate::fuzz
