#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace headgate::http {

// The field names the gateway knows. Everything else is `other` and goes by its text.
//
// There are at most 64, so that the fields present in a head fit one machine word.
enum class field : std::uint8_t {
    other,
    // framing and the connection
    host,
    connection,
    content_length,
    transfer_encoding,
    te,
    trailer,
    upgrade,
    expect,
    keep_alive,
    proxy_connection,
    // the path taken
    via,
    forwarded,
    x_forwarded_for,
    x_forwarded_host,
    x_forwarded_proto,
    x_real_ip,
    x_request_id,
    traceparent,
    tracestate,
    max_forwards,
    // who asks
    proxy_authenticate,
    proxy_authorization,
    proxy_authentication_info,
    authorization,
    www_authenticate,
    cookie,
    set_cookie,
    origin,
    referer,
    user_agent,
    // content
    accept,
    accept_encoding,
    accept_language,
    accept_ranges,
    content_type,
    content_encoding,
    content_language,
    content_range,
    content_disposition,
    range,
    // control data, caching and conditions
    date,
    server,
    location,
    retry_after,
    allow,
    cache_control,
    pragma,
    age,
    expires,
    etag,
    last_modified,
    vary,
    warning,
    if_match,
    if_none_match,
    if_modified_since,
    if_unmodified_since,
    if_range,
    // WebSocket (RFC 6455)
    sec_websocket_key,
    sec_websocket_accept,
    sec_websocket_version,
    sec_websocket_protocol,
    sec_websocket_extensions,
};

// How many values `field` has, `other` included.
inline constexpr std::size_t field_count = static_cast<std::size_t>(field::sec_websocket_extensions) + 1;
static_assert(field_count <= 64);

// No known name is longer, in bytes.
inline constexpr std::size_t known_name_max = 32;

// One bit per field.
constexpr std::uint64_t field_bit(field id) { return std::uint64_t{1} << static_cast<unsigned>(id); }

// The usual spelling, such as "Content-Length"; empty for `other`. Static text.
std::string_view field_name(field id) noexcept;

// The field with this name, whatever its case; `other` if it is not one of ours.
field lookup_field(std::string_view name) noexcept;

// The same for a name inside a larger buffer: `readable` bytes may be read from name.data() on. 32 are enough to
// compare in whole blocks, which is several times faster.
field lookup_field(std::string_view name, std::size_t readable) noexcept;

// Whether the field speaks of one connection only, so that an intermediary never forwards it: Connection, Keep-Alive,
// Proxy-Connection, TE, Transfer-Encoding, Upgrade (RFC 9110, section 7.6.1) and the proxy's own authentication
// (section 11.7). Trailer is not among them: it travels with the trailer section. Fields named by Connection come on
// top; see message_head::hop_by_hop.
bool is_hop_by_hop(field id) noexcept;

// Whether the field has no place in a trailer section: framing, routing, request modifiers, authentication, response
// control data, how to process the content, and who the client is (RFC 9110, section 6.5.1).
bool is_forbidden_in_trailer(field id) noexcept;

// The same by the name, whatever its case: also X-Forwarded-* and X-Client-Certificate-Subject, which say who the
// client is and are ours to say.
bool is_forbidden_in_trailer(std::string_view name) noexcept;

} // namespace headgate::http
