#pragma once

#include <headgate/core/task.hpp>
#include <headgate/io/socket.hpp>
#include <headgate/io/tls_context.hpp>
#include <headgate/io/tls_error.hpp>
#include <headgate/io/tls_resumption.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

// TLS for sockets. After the handshake a connection is the same `socket` as before; whoever reads, writes and relays
// needs to know nothing. What differs:
//  - The end of a direction is close_notify. A FIN without it is errc::premature_close, never an end.
//  - socket::end() and close() send close_notify; reset() and destruction do not.
//  - peer_closed() and `peer_watch` look at the connection, so they see a FIN or a reset, and not a close_notify that
//    nobody has read: a client that sends close_notify in the midst of its request and keeps the connection open still
//    gets its response (RFC 8446, section 6.1).
//  - The kernel cannot move the bytes (socket::plain()).
// An idle connection holds no buffers.
namespace headgate {

// Serves TLS on a connection that has just been accepted. Until the client's first byte nothing is allocated. The
// handshake must be complete within `limit`. Errors are errc::timed_out, errc::premature_close, the system's, or those
// of io/tls_error.hpp; the connection is then of no further use, and the peer has been told. The socket must outlive
// the task; dropped, the task leaves it in the midst of the handshake, to be destroyed.
task<result<void>> accept_tls(socket& s, tls_server_context with, duration limit);

// Speaks TLS as a client to `server_name`, a DNS name or an IP address, which the server's certificate must have.
// `resume`, if given, may give a session to offer, and gets those that the server sends, also later. If that does not
// take it, the handshake is a full one. Otherwise as above.
task<result<void>> connect_tls(socket& s, tls_client_context with, std::string server_name, duration limit,
                               tls_resumption* resume = nullptr);

// A certificate that the peer has shown, and that was verified; unless the context accepts any.
struct tls_peer {
    std::string subject;            // RFC 2253: "CN=alice,O=Example"
    std::vector<std::string> names; // of the certificate: "DNS:example.org", "IP:192.0.2.1", "URI:...", "email:..."
};

// What a handshake has settled.
struct tls_facts {
    std::string_view version;     // "TLSv1.3"
    std::string_view cipher;      // OpenSSL's name
    std::string protocol;         // by ALPN; empty if none
    std::string server_name;      // that the client asked for; empty if none
    bool resumed = false;         // from an earlier session
    std::optional<tls_peer> peer; // none if it showed no certificate
};

// None for a plain socket. Made anew each time.
std::optional<tls_facts> tls_facts_of(const socket& s);
// Whether the connection goes on with an earlier session.
bool tls_resumed(const socket& s) noexcept;

} // namespace headgate
