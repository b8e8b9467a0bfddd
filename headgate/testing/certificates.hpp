#pragma once

#include <memory>
#include <string>
#include <vector>

struct evp_pkey_st;
struct x509_st;

namespace headgate::testing {

// A certificate and its key as text, PEM.
struct test_certificate {
    std::string certificate;
    std::string key;
};

// What a certificate is to be like.
struct certificate_wishes {
    std::string subject = "test";                      // the common name
    std::vector<std::string> names{"DNS:example.org"}; // as OpenSSL's configuration has them: "DNS:", "IP:", "URI:"
    long valid_from = -3600;                           // seconds from now
    long valid_until = 86'400;
    bool rsa = false; // a key of 2048 bits, which takes a while to make; else Ed25519, whose handshakes have
                      // always the same size
};

// Issues certificates for tests; each authority is one that nobody knows. Throws std::runtime_error if OpenSSL refuses.
class certificate_authority {
public:
    explicit certificate_authority(const std::string& name = "test authority");
    ~certificate_authority();

    // The authority's own certificate, which whoever trusts it must have.
    const std::string& certificate() const noexcept { return pem_; }
    test_certificate issue(const certificate_wishes& wishes = {}) const;
    // One that nobody but itself has signed.
    static test_certificate self_signed(const certificate_wishes& wishes = {});

private:
    evp_pkey_st* key_;
    x509_st* certificate_;
    std::string pem_;
};

} // namespace headgate::testing
