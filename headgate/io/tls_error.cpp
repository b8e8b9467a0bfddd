#include <headgate/io/tls_error.hpp>

#include <string_view>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

namespace headgate {

namespace {

class tls_category_type final : public std::error_category {
public:
    const char* name() const noexcept override { return "tls"; }
    std::string message(int value) const override {
        const auto code = static_cast<unsigned long>(value);
        const int reason = ERR_GET_REASON(code);
        const char* words = ERR_reason_error_string(code);
        if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET) {
            std::string_view alert = SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET);
            if (alert == "unknown" && words) alert = words; // those of TLS 1.3
            return std::string("the peer's alert: ").append(alert);
        }
        return words ? words : "TLS failed";
    }
};

class certificate_category_type final : public std::error_category {
public:
    const char* name() const noexcept override { return "certificate"; }
    std::string message(int value) const override { return X509_verify_cert_error_string(value); }
};

} // namespace

const std::error_category& tls_category() noexcept {
    static const tls_category_type category;
    return category;
}

const std::error_category& certificate_category() noexcept {
    static const certificate_category_type category;
    return category;
}

// The first error is the cause and those after it say what it led to; but what other parts say before TLS does is about
// their insides.
std::error_code detail::take_openssl_error() noexcept {
    unsigned long found = 0;
    while (const unsigned long e = ERR_get_error()) {
        const bool better = ERR_GET_LIB(e) == ERR_LIB_SSL && ERR_GET_LIB(found) != ERR_LIB_SSL;
        if (found == 0 || better) found = e;
    }
    if (found == 0) return errc::protocol;
    if (ERR_SYSTEM_ERROR(found)) return system_error_code(ERR_GET_REASON(found));
    if (ERR_GET_REASON(found) == ERR_R_MALLOC_FAILURE) return make_error_code(std::errc::not_enough_memory);
    return {static_cast<int>(found), tls_category()};
}

} // namespace headgate
