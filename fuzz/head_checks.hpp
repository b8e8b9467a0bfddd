#pragma once

#include <headgate/http/describe.hpp>
#include <headgate/http/writer.hpp>

#include <memory>
#include <string>
#include <string_view>

#include <fuzz/check.hpp>

/// The invariants both head parsers must hold on any input.
namespace headgate::fuzz {

/// An input is: which parser to make, where to cut, and the bytes to parse, in a block of exactly their size.
struct head_input {
    head_input(const std::uint8_t* data, std::size_t size) {
        if (size < 3) return;
        variant = data[0];
        bytes_size = size - 3;
        bytes = std::make_unique<char[]>(bytes_size);
        for (std::size_t i = 0; i < bytes_size; ++i) bytes[i] = static_cast<char>(data[i + 3]);
        cut = (data[1] | std::size_t{data[2]} << 8) % (bytes_size + 1);
    }
    std::string_view text() const { return {bytes.get(), bytes_size}; }

    /// Small limits are met far more often than the real ones.
    http::head_limits limits() const {
        if ((variant & 0x80) == 0) return {};
        return {.head_bytes_max = 120, .request_line_max = 40, .headers_max = 4, .connection_options_max = 3};
    }

    unsigned variant = 0;
    std::size_t cut = 0;
    std::unique_ptr<char[]> bytes;
    std::size_t bytes_size = 0;
};

inline void check_framing(const http::message_head& head) {
    using kind = http::body_framing::kind;
    const bool length = head.headers.contains(http::field::content_length);
    const bool coding = head.headers.contains(http::field::transfer_encoding);
    if (head.framing.how == kind::length) check(length && !coding, "a length comes from Content-Length alone");
    if (head.framing.how == kind::chunked) {
        check(coding && !length && head.minor_version == 1, "chunked comes from Transfer-Encoding alone");
        check(head.value(http::field::transfer_encoding).size() == 7, "the only coding is chunked");
    }
    if (head.framing.how == kind::until_close) check(!head.keep_alive, "a body until close ends the connection");
}

inline void check_common(const http::message_head& head, std::string_view text) {
    check(head.head_bytes <= text.size() && text.substr(0, head.head_bytes).ends_with("\r\n"),
          "the head ends with its bytes");
    for (const http::header& h : head.headers) {
        check(inside(h.name, text) && inside(h.value, text), "views lie inside the input");
        check(h.name.find_first_of(std::string_view{" \t\r\n\0:", 6}) == std::string_view::npos, "names are tokens");
        check(h.value.find_first_of(std::string_view{"\r\n\0", 3}) == std::string_view::npos, "values are one line");
        check(http::lookup_field(h.name) == h.id, "the field is the one its name says");
    }
    check_framing(head);
}

/// The description without what may differ between a head and the same head written anew: how many bytes it took.
inline std::string without_size(http::message_head& head, const auto& describe_head) {
    head.head_bytes = 0;
    head.minor_version = 1;
    return describe_head();
}

/// Splitting the input must not change the verdict, and no byte may be scanned over and over.
template <class Parser>
void check_split(Parser& parser, std::string_view text, std::size_t cut, std::string_view whole) {
    parser.parse(text.substr(0, cut));
    check_equal(describe(parser, parser.parse(text)), whole, "the verdict does not depend on how the input was cut");
    check(parser.bytes_examined() <= 3 * text.size() + 8, "the work is linear");
}

/// Byte by byte, for inputs short enough.
template <class Parser>
void check_dribble(Parser& parser, std::string_view text, std::string_view whole) {
    if (text.size() > 300) return;
    for (std::size_t size = 0; size < text.size(); ++size) parser.parse(text.substr(0, size));
    check_equal(describe(parser, parser.parse(text)), whole, "the verdict is the same byte by byte");
    check(parser.bytes_examined() <= 3 * text.size() + 8, "the work is linear");
}

} // namespace headgate::fuzz
