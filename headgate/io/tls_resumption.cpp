#include <headgate/io/tls_resumption.hpp>

#include <algorithm>
#include <ctime>

#include <openssl/ssl.h>
#include <openssl/x509.h>

namespace headgate {

namespace {

bool same_certificate(const SSL_SESSION* a, const SSL_SESSION* b) noexcept {
    const X509* x = SSL_SESSION_get0_peer(const_cast<SSL_SESSION*>(a));
    const X509* y = SSL_SESSION_get0_peer(const_cast<SSL_SESSION*>(b));
    return x == y || (x && y && X509_cmp(x, y) == 0);
}

// OpenSSL's times are those of the wall clock. It knows the life of a ticket that the server has named, and looks at it
// with TLS 1.3 only. There 0 means "not at all"; with TLS 1.2, that the server does not say (RFC 5077, section 3.3).
bool usable(SSL_SESSION* s) noexcept {
    const long named = static_cast<long>(SSL_SESSION_get_ticket_lifetime_hint(s));
    const bool says = named != 0 || SSL_SESSION_get_protocol_version(s) == TLS1_3_VERSION;
    const long life = says ? std::min(named, SSL_SESSION_get_timeout(s)) : SSL_SESSION_get_timeout(s);
    const long age = static_cast<long>(std::time(nullptr)) - SSL_SESSION_get_time(s);
    const X509* peer = SSL_SESSION_get0_peer(s);
    return age >= 0 && age < life && SSL_SESSION_is_resumable(s) == 1 &&
           (!peer || X509_cmp_current_time(X509_get0_notAfter(peer)) > 0);
}

} // namespace

void tls_resumption::keep(ssl_session_st* owned) noexcept {
    if (size_ != 0 && !same_certificate(sessions_[size_ - 1], owned)) clear();
    if (size_ == sessions_max) {
        SSL_SESSION_free(sessions_.front());
        std::ranges::copy(sessions_.begin() + 1, sessions_.end(), sessions_.begin());
        --size_;
    }
    sessions_[size_++] = owned;
}

ssl_session_st* tls_resumption::take() noexcept {
    while (size_ != 0) {
        SSL_SESSION* s = sessions_[--size_];
        if (usable(s)) return s;
        SSL_SESSION_free(s);
    }
    return nullptr;
}

void tls_resumption::clear() noexcept {
    while (size_ != 0) SSL_SESSION_free(sessions_[--size_]);
}

} // namespace headgate
