#pragma once

#include <headgate/http/message.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace headgate::http {

// How much of a peer's head is taken. A head at a limit is accepted, one byte or field more is refused.
struct head_limits {
    std::size_t head_bytes_max = 16 * 1024;  // the whole head with its empty line
    std::size_t request_line_max = 8 * 1024; // request or status line with its CRLF
    std::size_t headers_max = 100;           // field lines; at most header_list::capacity
    std::size_t connection_options_max = 32; // elements of all Connection lines, empty ones too
};

// Why a head, a chunk or a trailer was refused.
struct parse_error {
    int status = 0;          // what to answer: 400, 414, 431, 501 or 505 to a client; 502 for an upstream's response
    const char* reason = ""; // what is wrong and what would be right; static text, one line, safe to send to the peer
    std::size_t offset = 0;  // where, in bytes from the start of what was parsed
    std::string_view field;  // the field concerned, as received, or empty; a view into the parsed buffer
};

// What the two head parsers share: lines, field lines, and what the fields say about framing and the connection.
namespace detail {

enum class head_kind : std::uint8_t { request, response };

// Why a field line is malformed; reason is null when it is not.
struct line_fault {
    const char* reason = nullptr;
    std::size_t at = 0; // offset in the line
};

// Reads one field line, without its CRLF and known to hold no control but HTAB (RFC 9112, section 5). `readable` bytes
// may be read from line.data() on.
line_fault parse_field_line(std::string_view line, std::size_t readable, header& out) noexcept;

// The fault of a control character at p, in a buffer that goes on until `end`.
const char* control_reason(const char* p, const char* end) noexcept;

// What to say when a limit is reached.
struct refusal {
    int status;
    const char* reason;
};

// Gives out the lines of a head, each once, and remembers how far it got.
class head_reader {
public:
    enum class step : std::uint8_t { need_more, done, failed };

    head_reader(head_limits limits, head_kind kind) noexcept;

    // The next line, without its CRLF, which must end before offset `stop`. `too_long` is the error if it does not.
    step next_line(std::string_view bytes, std::size_t stop, const refusal& too_long, std::string_view& line) noexcept;

    // The request or status line.
    step first_line(std::string_view bytes, std::string_view& line) noexcept;

    // Field lines up to the empty line; done when that was read.
    step read_fields(std::string_view bytes, message_head& head) noexcept;

    // Connection, Upgrade and the persistence that follows from them (RFC 9112, section 9.3).
    bool read_connection(std::string_view bytes, message_head& head) noexcept;

    // Content-Length and Transfer-Encoding (RFC 9112, section 6). Leaves kind::none if neither is there.
    bool read_framing(std::string_view bytes, message_head& head) noexcept;

    // Records the error and returns false. For responses the status becomes 502.
    bool fail(int status, const char* reason, std::size_t offset, std::string_view name = {}) noexcept;

    void reset() noexcept;
    void set_limits(const head_limits& limits) noexcept;
    std::size_t offset() const noexcept { return line_; }
    std::uint64_t bytes_examined() const noexcept { return examined_; }
    const parse_error& error() const noexcept { return error_; }

private:
    step no_line(std::string_view bytes, std::size_t stop, const refusal& too_long) noexcept;
    bool read_length(std::string_view bytes, const header& h, message_head& head) noexcept;
    bool read_coding(std::string_view bytes, const header& h, message_head& head) noexcept;

    head_limits limits_;
    head_kind kind_;
    std::size_t line_ = 0;    // start of the first line not given out yet
    std::size_t scanned_ = 0; // no control before this, since line_
    std::uint64_t examined_ = 0;
    parse_error error_;
};

} // namespace detail
} // namespace headgate::http
