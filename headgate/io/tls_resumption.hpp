#pragma once

#include <array>
#include <cstddef>

struct ssl_session_st;

namespace headgate {

// The last sessions with a server, so that the next connections to it cost less. Belongs to whoever connects, one for
// each context and server name; must outlive the connections made with it. Each session is offered once (RFC 8446,
// appendix C.4); a server gives new ones as they are used. One with TLS 1.2 may come back after it was accepted.
//
// A resumed handshake shows no certificate. So a session is left out when the certificate that it began with has
// expired, and all go when the server shows another one than before.
class tls_resumption {
public:
    // As many connections can be resumed at the same time. With its ticket and the chain, which sessions of one
    // handshake share, a session takes a few KB.
    static constexpr std::size_t sessions_max = 8;

    tls_resumption() = default;
    tls_resumption(const tls_resumption&) = delete;
    tls_resumption& operator=(const tls_resumption&) = delete;
    ~tls_resumption() { clear(); }

    // Takes over a session. If there are as many as may be, the oldest goes.
    void keep(ssl_session_st* owned) noexcept;
    // The newest that may still be used, no longer kept here: the caller's to free. Null if there is none.
    ssl_session_st* take() noexcept;
    std::size_t size() const noexcept { return size_; }
    void clear() noexcept;

private:
    std::array<ssl_session_st*, sessions_max> sessions_{}; // the oldest first
    std::size_t size_ = 0;
};

} // namespace headgate
