#pragma once

#include <headgate/http/message.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

// W3C Trace Context (https://www.w3.org/TR/trace-context/): to which trace a request belongs.
namespace headgate::gateway {

// What `traceparent` says. Neither the trace's id nor the span's is ever 0.
struct trace_context {
    std::uint64_t trace_high = 0;
    std::uint64_t trace_low = 0;
    std::uint64_t span = 0;
    bool sampled = false; // whether whoever sent it records the trace; the flags that we do not know are not passed on

    bool operator==(const trace_context&) const = default;
};

// Reads a `traceparent` of version 00, or what of a later one is as in version 00 (section 3.2.4: it goes on as 00).
// Nothing if it is malformed, or an id is 0.
std::optional<trace_context> parse_traceparent(std::string_view text) noexcept;

// "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", and what it consists of.
using traceparent_text = std::array<char, 55>;
using trace_id_text = std::array<char, 32>;
using span_id_text = std::array<char, 16>;
traceparent_text format_traceparent(const trace_context& c) noexcept;
trace_id_text format_trace_id(const trace_context& c) noexcept;
span_id_text format_span_id(std::uint64_t id) noexcept;
// Where the span's id is in it.
inline constexpr std::size_t traceparent_span_at = 36;

// What the one `traceparent` of a request says; nothing if there is none, more than one, or if it is malformed.
std::optional<trace_context> trace_context_of(const http::message_head& head) noexcept;

// Whether all `tracestate` fields of a request together are a list as it must be (section 3.3): at most 32 members,
// each a key and a value. Otherwise none of it is to go on.
bool usable_tracestate(const http::message_head& head) noexcept;

// Makes ids that are unlike any other, of this or another process, with overwhelming likelihood. Not secret.
class trace_ids {
public:
    trace_ids();
    explicit trace_ids(std::uint64_t seed) noexcept : state_(seed) {}
    // Never 0.
    std::uint64_t next() noexcept;

private:
    std::uint64_t state_;
};

} // namespace headgate::gateway
