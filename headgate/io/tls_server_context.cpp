#include <headgate/io/loop.hpp>
#include <headgate/io/tls_context_details.hpp>

#include <algorithm>
#include <cstring>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

namespace headgate {

namespace detail {

namespace {

constexpr duration key_life = tls_server_context::ticket_key_life;

} // namespace

std::optional<ticket_keys::key> ticket_keys::newest(time_point now) {
    const std::lock_guard lock(mutex_);
    if (keys_[0] && now - keys_[0]->made < key_life) return keys_[0];
    key fresh{};
    fresh.made = now;
    if (RAND_bytes(fresh.name.data(), fresh.name.size()) != 1 ||
        RAND_priv_bytes(fresh.cipher.data(), fresh.cipher.size()) != 1 ||
        RAND_priv_bytes(fresh.mac.data(), fresh.mac.size()) != 1)
        return std::nullopt;
    keys_[1] = keys_[0];
    keys_[0] = fresh;
    return fresh;
}

std::optional<std::pair<ticket_keys::key, bool>> ticket_keys::find(const unsigned char* name, time_point now) {
    const std::lock_guard lock(mutex_);
    for (const auto& k : keys_) {
        if (!k || now - k->made >= 2 * key_life || std::memcmp(k->name.data(), name, k->name.size()) != 0) continue;
        return std::pair(*k, now - k->made >= key_life);
    }
    return std::nullopt;
}

} // namespace detail

namespace {

using detail::certificate_with_key;
using detail::details_of;
using detail::openssl_failure;
using detail::tls_context_details;

// --- what OpenSSL asks during a handshake

bool start_ticket(const detail::ticket_keys::key& k, const unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
                  bool encrypt) noexcept {
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, const_cast<unsigned char*>(k.mac.data()), k.mac.size()),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, const_cast<char*>("sha256"), 0),
        OSSL_PARAM_construct_end()};
    const auto init = encrypt ? &EVP_EncryptInit_ex : &EVP_DecryptInit_ex;
    return init(cipher, EVP_aes_256_cbc(), nullptr, k.cipher.data(), iv) == 1 &&
           EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

// Gives -1 on failure, 0 for no ticket, 1 for one that is good, 2 for one that is good and to be replaced: with TLS 1.3
// all are, because clients use each once (RFC 8446, appendix C.4).
int ticket_key(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
               int encrypt) {
    detail::ticket_keys& keys = details_of(SSL_get_SSL_CTX(ssl)).tickets;
    const time_point now = executor::current().turn_time();
    if (encrypt) {
        const auto k = keys.newest(now);
        if (!k || RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1) return -1;
        std::memcpy(name, k->name.data(), k->name.size());
        return start_ticket(*k, iv, cipher, mac, true) ? 1 : -1;
    }
    const auto found = keys.find(name, now);
    if (!found) return 0;
    if (!start_ticket(found->first, iv, cipher, mac, false)) return -1;
    return found->second || SSL_version(ssl) == TLS1_3_VERSION ? 2 : 1;
}

// The client's choice of a host is remembered with the session if somebody says that it is known.
int acknowledge_name(SSL*, int*, void*) { return SSL_TLSEXT_ERR_OK; }

const std::vector<std::size_t>* find_by_name(const tls_context_details& d, std::string name) {
    std::ranges::transform(name, name.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    if (const auto exact = d.by_name.find(name); exact != d.by_name.end()) return &exact->second;
    const std::size_t dot = name.find('.');
    if (dot == std::string::npos || dot == 0) return nullptr;
    const auto wildcard = d.by_name.find("*" + name.substr(dot));
    return wildcard == d.by_name.end() ? nullptr : &wildcard->second;
}

// Installs certificates for one name. Of those with keys of one kind the first is the one that stays.
template <class Use>
bool use_all(const tls_context_details& d, const std::vector<std::size_t>& which, Use use) {
    return std::ranges::all_of(which.rbegin(), which.rend(), [&](std::size_t i) {
        const certificate_with_key& c = d.certificates[i];
        return use(c.certificate.get(), c.key.get(), c.chain.get()) == 1;
    });
}

// The context has the first certificate already.
int choose_certificate(SSL* ssl, void*) {
    try {
        const tls_context_details& d = details_of(SSL_get_SSL_CTX(ssl));
        const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
        const std::vector<std::size_t>* found = name ? find_by_name(d, name) : nullptr;
        if (!found) return 1;
        SSL_certs_clear(ssl);
        const auto use = [ssl](X509* c, EVP_PKEY* k, STACK_OF(X509) * s) {
            return SSL_use_cert_and_key(ssl, c, k, s, 1);
        };
        return use_all(d, *found, use) ? 1 : 0;
    } catch (const std::bad_alloc&) {
        return 0;
    }
}

int choose_protocol(SSL* ssl, const unsigned char** out, unsigned char* size, const unsigned char* offered,
                    unsigned offered_bytes, void*) {
    const std::string& ours = details_of(SSL_get_SSL_CTX(ssl)).protocols;
    unsigned char* chosen = nullptr;
    const int found = SSL_select_next_proto(&chosen, size, reinterpret_cast<const unsigned char*>(ours.data()),
                                            static_cast<unsigned>(ours.size()), offered, offered_bytes);
    if (found != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

int staple(SSL* ssl, void*) {
    const tls_context_details& d = details_of(SSL_get_SSL_CTX(ssl));
    const X509* used = SSL_get_certificate(ssl);
    const auto found = std::ranges::find_if(
        d.certificates, [used](const certificate_with_key& c) { return c.certificate.get() == used; });
    if (found == d.certificates.end() || found->ocsp.empty()) return SSL_TLSEXT_ERR_NOACK;
    void* copy = OPENSSL_memdup(found->ocsp.data(), found->ocsp.size());
    if (!copy) return SSL_TLSEXT_ERR_NOACK;
    SSL_set_tlsext_status_ocsp_resp(ssl, static_cast<unsigned char*>(copy), static_cast<long>(found->ocsp.size()));
    return SSL_TLSEXT_ERR_OK;
}

// --- loading

using loaded = std::expected<void, tls_load_error>;

loaded read_ocsp(tls_context_details& d, const std::string& path, certificate_with_key& c) {
    auto text = detail::read_file(d, path);
    if (!text) return std::unexpected(text.error());
    const auto* at = reinterpret_cast<const unsigned char*>(text->data());
    const std::unique_ptr<OCSP_RESPONSE, detail::free_with<OCSP_RESPONSE_free>> response(
        d2i_OCSP_RESPONSE(nullptr, &at, static_cast<long>(text->size())));
    ERR_clear_error();
    if (!response) return std::unexpected(tls_load_error{path, "it is not an OCSP response (DER)"});
    if (const int status = OCSP_response_status(response.get()); status != OCSP_RESPONSE_STATUS_SUCCESSFUL)
        return std::unexpected(
            tls_load_error{path, std::string("the OCSP responder has refused: ") + OCSP_response_status_str(status)});
    const std::unique_ptr<OCSP_BASICRESP, detail::free_with<OCSP_BASICRESP_free>> basic(
        OCSP_response_get1_basic(response.get()));
    const OCSP_SINGLERESP* one = basic ? OCSP_resp_get0(basic.get(), 0) : nullptr;
    ERR_clear_error();
    ASN1_GENERALIZEDTIME* until = nullptr;
    if (one) OCSP_single_get0_status(const_cast<OCSP_SINGLERESP*>(one), nullptr, nullptr, nullptr, &until);
    if (until && X509_cmp_current_time(until) < 0) d.warnings.push_back(path + ": the OCSP response has expired");
    c.ocsp = std::move(*text);
    return {};
}

// The DNS names of a certificate, or its common name if there are none.
std::vector<std::string> host_names(const X509* certificate) {
    std::vector<std::string> names;
    const auto add = [&](const ASN1_STRING* text) {
        std::string name(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                         static_cast<std::size_t>(ASN1_STRING_length(text)));
        std::ranges::transform(name, name.begin(),
                               [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
        names.push_back(std::move(name));
    };
    const std::unique_ptr<GENERAL_NAMES, detail::free_with<GENERAL_NAMES_free>> all(
        static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
    for (int i = 0; all && i < sk_GENERAL_NAME_num(all.get()); ++i) {
        const GENERAL_NAME* name = sk_GENERAL_NAME_value(all.get(), i);
        if (name->type == GEN_DNS) add(name->d.dNSName);
    }
    if (!names.empty()) return names;
    const X509_NAME* subject = X509_get_subject_name(certificate);
    const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at >= 0) add(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    return names;
}

loaded load_certificates(SSL_CTX* ctx, tls_context_details& d, const tls_server_options& o) {
    constexpr std::size_t certificates_max = 10'000;
    if (o.certificates.empty()) return std::unexpected(tls_load_error{{}, "a server needs a certificate"});
    if (o.certificates.size() > certificates_max)
        return std::unexpected(tls_load_error{{}, "there are more than 10,000 certificates"});
    d.certificates.reserve(o.certificates.size());
    const detail::context_handle trial(SSL_CTX_new(TLS_server_method()));
    for (const tls_certificate_files& files : o.certificates) {
        auto c = detail::read_certificate_with_key(d, files.certificate, files.key);
        if (!c) return std::unexpected(c.error());
        if (!files.ocsp.empty())
            if (const loaded stapled = read_ocsp(d, files.ocsp, *c); !stapled) return stapled;
        // Tried here, so that what OpenSSL does not like is known now: a key that is too short.
        if (!trial || SSL_CTX_use_cert_and_key(trial.get(), c->certificate.get(), c->key.get(), c->chain.get(), 1) != 1)
            return openssl_failure(files.certificate);
        for (std::string& name : host_names(c->certificate.get()))
            d.by_name[std::move(name)].push_back(d.certificates.size());
        d.certificates.push_back(std::move(*c));
    }
    // The first, and what else there is for its first name with a key of another kind.
    std::vector<std::size_t> first{0};
    if (const auto names = host_names(d.certificates.front().certificate.get()); !names.empty())
        first = d.by_name.at(names.front());
    const auto use = [ctx](X509* c, EVP_PKEY* k, STACK_OF(X509) * s) {
        return SSL_CTX_use_cert_and_key(ctx, c, k, s, 1);
    };
    if (!use_all(d, first, use)) return openssl_failure();
    SSL_CTX_set_cert_cb(ctx, &choose_certificate, nullptr);
    SSL_CTX_set_tlsext_servername_callback(ctx, &acknowledge_name);
    SSL_CTX_set_tlsext_status_cb(ctx, &staple);
    return {};
}

loaded load_client_ca(SSL_CTX* ctx, tls_context_details& d, const tls_server_options& o) {
    if (o.clients == client_certificates::off) return {};
    if (o.client_ca.empty())
        return std::unexpected(tls_load_error{{}, "to verify clients, a server needs to know who issues for them"});
    const auto issuers = detail::read_certificates(d, o.client_ca);
    if (!issuers) return std::unexpected(issuers.error());
    for (const detail::x509_handle& issuer : *issuers) {
        const bool added = X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), issuer.get()) == 1 &&
                           SSL_CTX_add_client_CA(ctx, issuer.get()) == 1;
        if (!added) return openssl_failure(o.client_ca);
    }
    const bool required = o.clients == client_certificates::required;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
    return {};
}

} // namespace

std::expected<tls_server_context, tls_load_error> tls_server_context::load(const tls_server_options& o) {
    detail::context_handle ctx = detail::make_context(TLS_server_method(), o.version_min);
    if (!ctx) return openssl_failure();
    tls_context_details& d = details_of(ctx.get());
    SSL_CTX_set_options(ctx.get(), SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_session_cache_mode(ctx.get(), SSL_SESS_CACHE_OFF);
    constexpr unsigned char name[] = "headgate";
    SSL_CTX_set_session_id_context(ctx.get(), name, sizeof name - 1);
    if (const loaded l = load_certificates(ctx.get(), d, o); !l) return std::unexpected(l.error());
    if (const loaded l = load_client_ca(ctx.get(), d, o); !l) return std::unexpected(l.error());
    if (!detail::are_protocols(o.protocols))
        return std::unexpected(tls_load_error{{}, "a protocol's name has 1 to 255 characters"});
    d.protocols = detail::protocol_list(o.protocols);
    if (!d.protocols.empty()) SSL_CTX_set_alpn_select_cb(ctx.get(), &choose_protocol, nullptr);
    if (o.tickets) {
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx.get(), &ticket_key);
    } else {
        SSL_CTX_set_options(ctx.get(), SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(ctx.get(), 0);
    }
    return tls_server_context(ctx.release());
}

} // namespace headgate
