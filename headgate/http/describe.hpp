#pragma once

#include <headgate/http/chunked.hpp>
#include <headgate/http/parser.hpp>

#include <string>

// Heads and results as text, so that tests and fuzz targets can compare everything a parser found at once. Not meant
// for anything that is in a hurry.
namespace headgate::http {

namespace detail {

inline std::string number(std::uint64_t n) { return std::to_string(n); }

inline std::string describe_common(const message_head& head) {
    static constexpr std::string_view kinds[] = {"none", "length", "chunked", "until_close"};
    std::string text = "version 1." + number(head.minor_version) + ", " + number(head.head_bytes) + " bytes, body ";
    text.append(kinds[static_cast<std::size_t>(head.framing.how)]).append(" ").append(number(head.framing.length));
    if (head.keep_alive) text += ", keep-alive";
    if (head.upgrade) text += ", upgrade";
    for (std::size_t i = 0; i < head.headers.size(); ++i) {
        const header& h = head.headers[i];
        text.append("\n").append(h.name).append(": <").append(h.value).append(">");
        text.append(" #").append(number(static_cast<std::uint64_t>(h.id)));
        if (head.hop_by_hop(i)) text += " hop-by-hop";
    }
    return text;
}

} // namespace detail

inline std::string describe(const request_head& head) {
    std::string text;
    text.append(head.method_text).append(" <").append(head.target).append("> form ");
    text.append(detail::number(static_cast<std::uint64_t>(head.form))).append(", path <").append(head.path);
    text.append(">, query <").append(head.query).append(">, scheme <").append(head.scheme).append(">, for <");
    text.append(head.authority.host).append("> port ").append(detail::number(head.authority.port));
    if (head.expect_continue) text += ", expects 100";
    return text.append("\n").append(detail::describe_common(head));
}

inline std::string describe(const response_head& head) {
    std::string text = detail::number(static_cast<std::uint64_t>(head.status));
    return text.append(" <").append(head.reason).append(">\n").append(detail::describe_common(head));
}

inline std::string describe(const parse_error& error) {
    std::string text = detail::number(static_cast<std::uint64_t>(error.status));
    text.append(" at ").append(detail::number(error.offset)).append(" [").append(error.field).append("] ");
    return text.append(error.reason);
}

// The verdict of a parser: what it found, what is wrong, or that it wants more.
template <class Parser>
std::string describe(const Parser& parser, const parse_result& result) {
    if (result.state == parse_state::need_more) return "need more";
    return result.state == parse_state::complete ? describe(parser.head()) : describe(result.error);
}

// Everything one body gave: payload, kept trailers, how it ended and where.
struct decoded_body {
    std::string payload;
    std::string trailers;
    std::size_t dropped = 0;
    std::size_t consumed = 0;
    decode_state state = decode_state::need_more;
    std::string error;

    bool operator==(const decoded_body&) const = default;
};

// Feeds the decoder and adds what comes out to `body`.
inline void decode_into(decoded_body& body, chunked_decoder& decoder, std::string_view in) {
    for (;;) {
        const decode_result r = decoder.decode(in);
        body.consumed += r.consumed;
        body.payload.append(r.payload);
        body.state = r.state;
        if (r.state != decode_state::payload) break;
        in.remove_prefix(r.consumed);
    }
    body.trailers = decoder.trailers();
    body.dropped = decoder.trailers_dropped();
    if (body.state == decode_state::error) body.error = describe(decoder.error());
}

} // namespace headgate::http
