#include <headgate/testing/certificates.hpp>

#include <stdexcept>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

namespace headgate::testing {

namespace {

void require(bool done) {
    if (!done) throw std::runtime_error("OpenSSL does not make the certificate");
}

template <class T>
using owned = std::unique_ptr<T, void (*)(T*)>;

owned<EVP_PKEY> make_key(bool rsa) {
    owned<EVP_PKEY> key(rsa ? EVP_RSA_gen(2048) : EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), &EVP_PKEY_free);
    require(key != nullptr);
    return key;
}

void add_extension(X509* to, X509* issuer, int what, const std::string& value) {
    X509V3_CTX c{};
    X509V3_set_ctx(&c, issuer, to, nullptr, nullptr, 0);
    const owned<X509_EXTENSION> e(X509V3_EXT_conf_nid(nullptr, &c, what, value.c_str()), &X509_EXTENSION_free);
    require(e && X509_add_ext(to, e.get(), -1) == 1);
}

// Not signed yet.
owned<X509> make_certificate(EVP_PKEY* key, const certificate_wishes& w) {
    owned<X509> c(X509_new(), &X509_free);
    require(c != nullptr);
    long serial = 0;
    require(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), 4) == 1);
    ASN1_INTEGER_set(X509_get_serialNumber(c.get()), serial);
    X509_set_version(c.get(), X509_VERSION_3);
    X509_gmtime_adj(X509_getm_notBefore(c.get()), w.valid_from);
    X509_gmtime_adj(X509_getm_notAfter(c.get()), w.valid_until);
    const auto* name = reinterpret_cast<const unsigned char*>(w.subject.c_str());
    require(X509_NAME_add_entry_by_NID(X509_get_subject_name(c.get()), NID_commonName, MBSTRING_UTF8, name, -1, -1,
                                       0) == 1);
    require(X509_set_pubkey(c.get(), key) == 1);
    return c;
}

void sign(X509* c, const X509* issuer, EVP_PKEY* with) {
    require(X509_set_issuer_name(c, X509_get_subject_name(issuer)) == 1);
    require(X509_sign(c, with, EVP_PKEY_get_id(with) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256()) != 0);
}

std::string written(BIO* out) {
    char* text = nullptr;
    const long size = BIO_get_mem_data(out, &text);
    return {text, static_cast<std::size_t>(size)};
}
std::string text_of(X509* c) {
    const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), &BIO_free);
    require(out && PEM_write_bio_X509(out.get(), c) == 1);
    return written(out.get());
}
std::string text_of(EVP_PKEY* key) {
    const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), &BIO_free);
    require(out && PEM_write_bio_PrivateKey(out.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
    return written(out.get());
}

std::string joined(const std::vector<std::string>& names) {
    std::string all;
    for (const std::string& n : names) all += (all.empty() ? "" : ",") + n;
    return all;
}

} // namespace

certificate_authority::certificate_authority(const std::string& name) {
    auto key = make_key(false);
    auto c = make_certificate(key.get(), {.subject = name});
    add_extension(c.get(), c.get(), NID_basic_constraints, "critical,CA:TRUE");
    add_extension(c.get(), c.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
    sign(c.get(), c.get(), key.get());
    pem_ = text_of(c.get());
    key_ = key.release();
    certificate_ = c.release();
}

certificate_authority::~certificate_authority() {
    EVP_PKEY_free(key_);
    X509_free(certificate_);
}

test_certificate certificate_authority::issue(const certificate_wishes& wishes) const {
    const auto key = make_key(wishes.rsa);
    const auto c = make_certificate(key.get(), wishes);
    if (!wishes.names.empty()) add_extension(c.get(), certificate_, NID_subject_alt_name, joined(wishes.names));
    sign(c.get(), certificate_, key_);
    return {.certificate = text_of(c.get()), .key = text_of(key.get())};
}

test_certificate certificate_authority::self_signed(const certificate_wishes& wishes) {
    const auto key = make_key(wishes.rsa);
    const auto c = make_certificate(key.get(), wishes);
    if (!wishes.names.empty()) add_extension(c.get(), c.get(), NID_subject_alt_name, joined(wishes.names));
    sign(c.get(), c.get(), key.get());
    return {.certificate = text_of(c.get()), .key = text_of(key.get())};
}

} // namespace headgate::testing
