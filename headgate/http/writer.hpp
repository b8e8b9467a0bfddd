#pragma once

#include <headgate/http/message.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace headgate::http {

// Writes one message head into memory of the caller's.
//
// Nothing is written past the end, and nothing that would break the message is written at all: a name that is not a
// token, a value with a control in it (CR, LF and NUL above all), a target or method with a space. The first such call
// makes the writer fail, later calls do nothing, and end() returns 0; so one check at the end is enough.
//
// The version written is always HTTP/1.1: an intermediary sends its own (RFC 9110, section 6.2).
class head_writer {
public:
    enum class fault : std::uint8_t {
        none,
        overflow, // the head does not fit: give more room and start again
        refused   // a part that must not be sent
    };

    explicit head_writer(std::span<char> out) noexcept
        : begin_(out.data()), at_(out.data()), end_(out.data() + out.size()) {}

    // The target may be given in two parts, such as request_head::path and query; it is checked as the parser checks
    // it.
    void request_line(std::string_view method, std::string_view target, std::string_view query = {}) noexcept;

    // The usual reason phrase. The status must be from 100 to 599.
    void status_line(int status) noexcept { status_line(status, status_reason(status)); }
    void status_line(int status, std::string_view reason) noexcept;

    void add(std::string_view name, std::string_view value) noexcept;
    void add(const header& h) noexcept { add(h.name, h.value); }
    void add(field id, std::string_view value) noexcept;
    void add(field id, std::uint64_t number) noexcept;

    // Content-Length or Transfer-Encoding; nothing for kind::none and kind::until_close.
    void add(const body_framing& framing) noexcept;

    // The empty line. Returns the length of the whole head, or 0 if anything went wrong; see failed_with().
    std::size_t end() noexcept;

    fault failed_with() const noexcept { return fault_; }

private:
    bool reserve(std::size_t size) noexcept;
    void refuse() noexcept { fault_ = fault_ == fault::none ? fault::refused : fault_; }
    char* put(char* to, std::string_view text) noexcept;
    void put_value(char* to, std::string_view value) noexcept;

    char* begin_;
    char* at_;
    char* end_;
    fault fault_ = fault::none;
};

} // namespace headgate::http
