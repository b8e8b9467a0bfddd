#pragma once

#include <headgate/core/chunk.hpp>
#include <headgate/http/message.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gateway/config.hpp>

namespace headgate::gateway {

// How often the request may still be forwarded: Max-Forwards of OPTIONS and TRACE (RFC 9110, section 7.6.2). At 0 it
// must be answered here. Nothing if the request does not say, or not in one number.
std::optional<std::uint64_t> forwards_left(const http::request_head& in) noexcept;

// What a request is sent on with, beyond what it came with.
struct forwarding {
    std::string_view peer;     // the address of whoever is connected
    bool peer_trusted = false; // then what it says of whom it asks for goes on, and its own address after that
    forwarded_fields fields = forwarded_fields::x_forwarded; // which are written; the others are left out
    std::string_view request_id;
    std::string_view scheme = "http"; // by which the client came
    std::string_view peer_scheme = "http";
    std::string_view asked_host{};     // that a trusted proxy was asked for; empty: the request's
    std::string_view client_subject{}; // of the client's verified certificate; empty for none
    std::string_view switch_to;        // the protocol to ask the upstream to switch to; empty for none
    std::string_view path;             // instead of the request's; empty: as it is
    std::string_view host;             // instead of the request's; empty: as it is
    const header_edits* edits = nullptr;
    std::string_view traceparent{}; // instead of the request's; empty: as it is
    bool keeps_tracestate = false;  // otherwise the request's is left out, if there is a traceparent of ours
};

// The path to send on, when the route wants another than the client's: the prefix that the route matched replaced, or
// all of it. Always begins with '/'. `path` is normal.
std::string replaced_path(std::string_view path, std::string_view matched_prefix,
                          const std::optional<std::string>& replace_prefix,
                          const std::optional<std::string>& replace_path);

// The head to send to the upstream: everything end-to-end as it came, hop-by-hop fields and those that Connection names
// left out (RFC 9110, section 7.6.1), framing written from what was understood, Max-Forwards counted down, Via,
// X-Request-Id (ours), and X-Forwarded-For, -Host and -Proto, or Forwarded. From a peer that is not trusted none of
// these, no other X-Forwarded-* and no X-Real-IP goes on. An empty chunk if it cannot be written.
chunk make_upstream_head(const http::request_head& in, const forwarding& f);

// The head to send to the client. `persistent` says whether the connection stays open, `body` how it is framed towards
// this client, whose own minor version is `client_minor`.
struct answering {
    http::body_framing body;
    bool persistent = true;
    int client_minor = 1;
    std::string_view request_id;
    const header_edits* edits = nullptr;        // of the route
    const header_edits* policy_edits = nullptr; // done after those
    std::string_view coding{};                  // in which we give the body; empty: as it came
    bool varies = false;                        // whether other clients may get another coding
};
chunk make_client_head(const http::response_head& in, const answering& a);

// The 101 to send to the client, whose connection then speaks `protocol` (RFC 9110, section 7.8).
struct switching {
    std::string_view protocol;
    std::string_view request_id;
};
chunk make_switch_head(const http::response_head& in, const switching& s);

// The answer to CONNECT once there is a tunnel: our own, for the upstream speaks whatever the client speaks.
chunk make_connected_head(std::string_view request_id);

// An interim (1xx) response as it came, less what is hop-by-hop.
chunk make_interim_head(const http::response_head& in);

// The client's own request id if it is fit to be passed on (1 to 128 visible characters of RFC 9110's tchar), otherwise
// empty.
std::string_view usable_request_id(const http::request_head& in) noexcept;

// The first protocol that the client would switch to and may; empty for none. `allowed` are lower-case names, and the
// result is one of them. One that has a body to send first does not get its wish: it is a wish (RFC 9110, section 7.8).
std::string_view allowed_upgrade(const http::request_head& in, const std::vector<std::string>& allowed);

} // namespace headgate::gateway
