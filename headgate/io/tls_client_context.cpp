#include <headgate/io/tls_context_details.hpp>
#include <headgate/io/tls_session.hpp>

namespace headgate {

namespace {

using detail::openssl_failure;
using detail::tls_context_details;

// Takes over the session if there is somebody to keep it for.
int keep_session(SSL* ssl, SSL_SESSION* s) {
    return static_cast<detail::tls_session*>(SSL_get_app_data(ssl))->keep(s) ? 1 : 0;
}

std::expected<void, tls_load_error> load_trusted(SSL_CTX* ctx, tls_context_details& d, const std::string& path) {
    if (path.empty()) {
        if (SSL_CTX_set_default_verify_paths(ctx) != 1) return openssl_failure();
        return {};
    }
    const auto trusted = detail::read_certificates(d, path);
    if (!trusted) return std::unexpected(trusted.error());
    for (const detail::x509_handle& issuer : *trusted)
        if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), issuer.get()) != 1) return openssl_failure(path);
    return {};
}

} // namespace

std::expected<tls_client_context, tls_load_error> tls_client_context::load(const tls_client_options& o) {
    detail::context_handle ctx = detail::make_context(TLS_client_method(), o.version_min);
    if (!ctx) return openssl_failure();
    tls_context_details& d = detail::details_of(ctx.get());
    if (!o.insecure_accept_any_certificate) {
        if (const auto l = load_trusted(ctx.get(), d, o.ca); !l) return std::unexpected(l.error());
        SSL_CTX_set_verify(ctx.get(), SSL_VERIFY_PEER, nullptr);
    }
    if (!o.certificate.empty()) {
        const auto c = detail::read_certificate_with_key(d, o.certificate, o.key);
        if (!c) return std::unexpected(c.error());
        if (SSL_CTX_use_cert_and_key(ctx.get(), c->certificate.get(), c->key.get(), c->chain.get(), 1) != 1)
            return openssl_failure(o.certificate);
    }
    if (!detail::are_protocols(o.protocols))
        return std::unexpected(tls_load_error{{}, "a protocol's name has 1 to 255 characters"});
    const std::string protocols = detail::protocol_list(o.protocols);
    if (!protocols.empty() &&
        SSL_CTX_set_alpn_protos(ctx.get(), reinterpret_cast<const unsigned char*>(protocols.data()),
                                static_cast<unsigned>(protocols.size())) != 0)
        return openssl_failure();
    SSL_CTX_set_session_cache_mode(ctx.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx.get(), &keep_session);
    return tls_client_context(ctx.release());
}

} // namespace headgate
