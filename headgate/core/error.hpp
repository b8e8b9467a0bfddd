#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <system_error>

namespace headgate {

// How a flow can end badly, beyond the system's own errors (which keep their std::system_category code).
enum class errc {
    premature_close = 1, // a side went away before its end was reached
    aborted,             // ended from outside: an abort signal, or the owner
    timed_out,           // a deadline passed
    idle,                // nothing moved for longer than allowed
    limit_exceeded,      // a stated limit was met
    protocol,            // a peer broke its protocol
    refused,             // a peer refused
    overloaded,          // no room for more work
    failed,              // a stage threw an exception, which is in the detail
};

const std::error_category& flow_category() noexcept;
inline std::error_code make_error_code(errc e) noexcept { return {static_cast<int>(e), flow_category()}; }

// The system's error of the number `e`, as in errno.
inline std::error_code system_error_code(int e) noexcept { return {e, std::system_category()}; }

// Who ended a flow.
enum class side : std::uint8_t { source, stage, sink, caller };
const char* to_string(side s) noexcept;

// Why a flow ended badly: its first cause and where it arose. `stage` counts from 0, the source, to the sink.
struct flow_error {
    std::error_code code;
    side where = side::caller;
    std::uint16_t stage = 0;
    std::string detail; // for people; may be empty

    // "timed out at stage 2 (sink): no byte for 30 s"
    std::string message() const;
};

// What one operation came to: a value, or the system's error.
template <class T>
using result = std::expected<T, std::error_code>;

} // namespace headgate

template <>
struct std::is_error_code_enum<headgate::errc> : std::true_type {};
