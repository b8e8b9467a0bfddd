#pragma once

#include <headgate/core/error.hpp>

namespace headgate {

// What OpenSSL gives as the reason why TLS failed ("unsupported protocol"), and the alerts of the peer ("the peer's
// alert: unknown CA"; RFC 8446, section 6.2).
const std::error_category& tls_category() noexcept;

// Why the peer's certificate was not accepted: "certificate has expired", "self-signed certificate", "hostname
// mismatch". Values are OpenSSL's X509_V_ERR_*.
const std::error_category& certificate_category() noexcept;

// Whether `e` is about TLS: the peer, or the way to it, does not speak it as agreed.
inline bool is_tls_error(std::error_code e) noexcept {
    return e.category() == tls_category() || e.category() == certificate_category();
}

namespace detail {

// The most telling error of this thread's OpenSSL queue, which it empties.
std::error_code take_openssl_error() noexcept;

} // namespace detail

} // namespace headgate
