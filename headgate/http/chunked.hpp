#pragma once

#include <headgate/http/head_reader.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// The chunked transfer coding (RFC 9112, section 7.1).
namespace headgate::http {

struct chunked_limits {
    // Bytes of one chunk-size line, extensions included.
    std::size_t line_bytes_max = 1024;
    // Framing bytes beyond 16 per chunk plus twice its payload, added up over the body: keeps a body of tiny chunks
    // with long extensions from costing far more than it carries.
    std::size_t overhead_bytes_max = 16 * 1024;
    std::size_t trailer_bytes_max = 8 * 1024; // the trailer section as received, its empty line included
    std::size_t trailers_max = 32;            // trailer fields, dropped ones too
};

enum class decode_state : std::uint8_t {
    need_more, // all of the input was used; nothing is held back
    payload,   // payload is a slice of the input; call again with what follows `consumed`
    end,       // the body and its trailers are complete; what follows `consumed` is not part of the message
    error      // see chunked_decoder::error(); the connection must be closed
};

struct decode_result {
    std::size_t consumed = 0;
    std::string_view payload; // never empty with decode_state::payload, always empty otherwise
    decode_state state = decode_state::need_more;
};

// Takes a chunked body apart, in whatever pieces it comes, without copying payload.
//
// Strict: 1 to 16 hex digits, exact CR LF everywhere, no white space but the BWS around extensions. Extensions are
// skipped (RFC 9112, section 7.1.1 lets a recipient ignore them). Allocates only if trailers come.
class chunked_decoder {
public:
    explicit chunked_decoder(chunked_limits limits = {}) noexcept : limits_(limits) {}

    // Takes the next bytes of the body, which need not outlive the call and the use of the payload returned. After end
    // or error the same is returned, with nothing consumed, until reset().
    decode_result decode(std::string_view in);

    // Bytes of the current chunk not yet seen. A caller that moves them itself (splice) says so with skip_payload().
    std::uint64_t payload_remaining() const noexcept { return phase_ == phase::payload ? remaining_ : 0; }

    // Tells that the next n bytes of payload went another way. n must not exceed payload_remaining().
    void skip_payload(std::uint64_t n) noexcept;

    // The trailer fields worth forwarding, as lines that each end with CR LF: what write_last_chunk takes. Complete
    // after decode_state::end, valid until reset().
    std::string_view trailers() const noexcept { return kept_; }
    std::size_t trailer_count() const noexcept { return marks_.size(); }
    header trailer(std::size_t index) const noexcept;

    // Trailer fields that are forbidden in trailers and were therefore dropped (RFC 9110, section 6.5.1).
    std::size_t trailers_dropped() const noexcept { return dropped_; }

    // Status 400, which a gateway turns into 502 if it has not answered yet; the offset counts from the start of the
    // body.
    const parse_error& error() const noexcept { return error_; }

    // Makes ready for the next body.
    void reset() noexcept;

private:
    enum class phase : std::uint8_t {
        size_first,
        size,
        space,
        extension,
        quoted,
        quoted_pair,
        size_lf,
        payload,
        payload_cr,
        payload_lf,
        trailer,
        trailer_lf,
        end,
        error
    };
    struct mark {
        std::uint32_t name = 0;
        std::uint32_t name_size = 0;
        std::uint32_t value = 0;
        std::uint32_t value_size = 0;
        field id = field::other;
    };

    bool step(char c);
    bool size_digit(char c) noexcept;
    bool after_size(char c) noexcept;
    bool extension_byte(char c) noexcept;
    bool size_line_done() noexcept;
    bool trailer_byte(char c);
    bool trailer_line_done();
    void keep(const header& h);
    bool fail(const char* reason) noexcept;

    chunked_limits limits_;
    phase phase_ = phase::size_first;
    unsigned digits_ = 0;
    std::uint64_t remaining_ = 0; // of the chunk; while its size is read, the size so far
    std::size_t line_bytes_ = 0;  // of the size line
    std::uint64_t overhead_ = 0;
    std::uint64_t position_ = 0; // in the body
    std::size_t trailer_bytes_ = 0;
    std::size_t dropped_ = 0;
    std::string line_; // the trailer line being received
    std::string kept_;
    std::vector<mark> marks_;
    parse_error error_;
};

// Room for any chunk header: 16 digits and CR LF.
inline constexpr std::size_t chunk_header_max = 18;

// What follows each chunk's payload.
inline constexpr std::string_view chunk_end = "\r\n";

// The end of a chunked body without trailers.
inline constexpr std::string_view last_chunk = "0\r\n\r\n";

// Writes the size line of a chunk and returns its length. 0, and nothing is written, if it does not fit or if size is
// 0: a chunk of no bytes would end the body.
std::size_t write_chunk_header(std::span<char> out, std::uint64_t size) noexcept;

// Writes the last chunk with a trailer section: whole field lines, each with its CR LF, as chunked_decoder::trailers()
// gives them. Returns the length, or 0 if it does not fit or `trailers` is not made of such lines.
std::size_t write_last_chunk(std::span<char> out, std::string_view trailers = {}) noexcept;

} // namespace headgate::http
