#pragma once

#include <headgate/http/head_reader.hpp>
#include <headgate/http/message.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

// Parsers of HTTP/1.1 heads (RFC 9112). They take bytes, do no I/O and allocate nothing.
//
// They are strict wherever two parsers could disagree about where a message ends or whom it is for: that is what
// request smuggling is made of. Every refusal names the field and says what would be right.
namespace headgate::http {

enum class parse_state : std::uint8_t { need_more, complete, error };

struct parse_result {
    parse_state state = parse_state::need_more;
    parse_error error; // meaningful with parse_state::error
};

// Parses request heads, one after the other.
//
// parse() is given everything received from the first byte of this head on, in a buffer that only grows and does not
// move between the calls for one head. What was looked at is not looked at again, so a head that arrives byte by byte
// costs as much as one that arrives whole, and the verdict does not depend on how it was cut.
//
// Accepted beyond the letter of the grammar, because it cannot change where a message ends: one CRLF before the
// request line (RFC 9112, section 2.2), and the bytes []{}|^` in a target, and \ in a query, which browsers send as
// they are. Percent-encoding in a target is not checked.
//
// Errors: 400; 414 and 431 over a limit; 501 for a transfer coding other than chunked; 505 for HTTP/2 and the like.
// The connection must be closed after any of them.
class request_parser {
public:
    explicit request_parser(head_limits limits = {}) noexcept : reader_(limits, detail::head_kind::request) {}

    // Complete: head() is filled and head().head_bytes bytes were used. After complete or error the same is returned
    // until reset().
    parse_result parse(std::string_view bytes) noexcept;

    // Makes ready for the next head. The old one is gone.
    void reset() noexcept;
    // For the heads from the next reset on.
    void set_limits(const head_limits& limits) noexcept { reader_.set_limits(limits); }

    request_head& head() noexcept { return head_; }
    const request_head& head() const noexcept { return head_; }

    // Bytes scanned since the last reset. It stays within a small constant of the bytes received, however they were
    // cut.
    std::uint64_t bytes_examined() const noexcept { return reader_.bytes_examined(); }

private:
    bool read_request_line(std::string_view bytes, std::string_view line) noexcept;
    bool read_version(std::string_view bytes, std::string_view text) noexcept;
    bool read_target(std::string_view bytes) noexcept;
    bool read_absolute_form(std::string_view bytes) noexcept;
    bool split_path(std::string_view bytes, std::string_view text) noexcept;
    bool finish(std::string_view bytes) noexcept;
    bool check_host(std::string_view bytes) noexcept;

    detail::head_reader reader_;
    bool line_done_ = false;
    bool blank_skipped_ = false;
    parse_state state_ = parse_state::need_more;
    request_head head_;
};

// Parses response heads, interim ones (1xx) too: reset() and parse on after each. The rules of request_parser hold.
//
// Accepted beyond the letter: a status line without the space before an absent reason phrase.
//
// Errors are all 502. A response to HEAD, a 1xx, 204 and 304 have no body whatever their fields say; in a 2xx to
// CONNECT, Content-Length and Transfer-Encoding are ignored (RFC 9112, section 6.3); after it and after 101 the
// connection is no longer HTTP/1.1, so keep_alive is false. The lines stay in the list all the same: whoever forwards
// a 1xx, a 204 or such a 2xx must leave its Content-Length out (RFC 9110, section 8.6).
class response_parser {
public:
    explicit response_parser(http::method request_method = method::get, head_limits limits = {}) noexcept
        : reader_(limits, detail::head_kind::response), request_method_(request_method) {}

    parse_result parse(std::string_view bytes) noexcept;

    // Makes ready for the next head, which answers a request with this method.
    void reset(http::method request_method) noexcept;
    // For the heads from the next reset on.
    void set_limits(const head_limits& limits) noexcept { reader_.set_limits(limits); }

    response_head& head() noexcept { return head_; }
    const response_head& head() const noexcept { return head_; }
    std::uint64_t bytes_examined() const noexcept { return reader_.bytes_examined(); }

private:
    bool read_status_line(std::string_view bytes, std::string_view line) noexcept;
    bool finish(std::string_view bytes) noexcept;

    detail::head_reader reader_;
    http::method request_method_;
    bool line_done_ = false;
    parse_state state_ = parse_state::need_more;
    response_head head_;
};

} // namespace headgate::http
