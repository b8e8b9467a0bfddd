#pragma once

#include <headgate/core/timer.hpp>
#include <headgate/io/tls_context.hpp>
#include <headgate/io/tls_error.hpp>

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

// The inside of io/tls_context.hpp.
namespace headgate::detail {

template <auto Free>
struct free_with {
    template <class T>
    void operator()(T* p) const noexcept {
        Free(p);
    }
};
inline void free_chain(STACK_OF(X509) * chain) noexcept { sk_X509_pop_free(chain, X509_free); }

using bio_handle = std::unique_ptr<BIO, free_with<BIO_free>>;
using context_handle = std::unique_ptr<SSL_CTX, free_with<SSL_CTX_free>>;
using key_handle = std::unique_ptr<EVP_PKEY, free_with<EVP_PKEY_free>>;
using x509_handle = std::unique_ptr<X509, free_with<X509_free>>;
using chain_handle = std::unique_ptr<STACK_OF(X509), free_with<free_chain>>;

// The keys that tickets are encrypted with (RFC 5077, section 4). Used by all threads.
class ticket_keys {
public:
    struct key {
        std::array<unsigned char, 16> name;
        std::array<unsigned char, 32> cipher;
        std::array<unsigned char, 32> mac;
        time_point made;
    };
    // The key for new tickets; a new one if there is none that is younger than its life. None if there is no
    // randomness.
    std::optional<key> newest(time_point now);
    // The key of a ticket, unless that is too old; and whether it is no longer the newest.
    std::optional<std::pair<key, bool>> find(const unsigned char* name, time_point now);

private:
    std::mutex mutex_;
    std::array<std::optional<key>, 2> keys_; // the newest first
};

struct certificate_with_key {
    x509_handle certificate;
    key_handle key;
    chain_handle chain;
    std::string ocsp{}; // DER
};

// What a context keeps beside OpenSSL's part of it. Does not change after it was loaded, but for the keys of tickets.
struct tls_context_details {
    std::vector<file_stamp> files;
    std::vector<std::string> warnings;
    // Of servers.
    std::vector<certificate_with_key> certificates;
    std::map<std::string, std::vector<std::size_t>, std::less<>> by_name; // lower case; wildcards as "*.example.org"
    std::string protocols;                                                // as ALPN has them
    ticket_keys tickets;
};

tls_context_details& details_of(const ssl_ctx_st* ctx) noexcept;

using tls_load_failure = std::unexpected<tls_load_error>;
// With the reason that OpenSSL gives.
tls_load_failure openssl_failure(std::string file = {});

// None if OpenSSL refuses: see openssl_failure().
context_handle make_context(const ssl_method_st* method, tls_version version_min);

std::expected<std::string, tls_load_error> read_file(tls_context_details& d, const std::string& path);
// All certificates of a PEM file, at least one.
std::expected<std::vector<x509_handle>, tls_load_error> read_certificates(tls_context_details& d,
                                                                          const std::string& path);
std::expected<certificate_with_key, tls_load_error>
read_certificate_with_key(tls_context_details& d, const std::string& certificate, const std::string& key);

// As they are sent: each behind its length.
std::string protocol_list(std::span<const std::string> protocols);
bool are_protocols(std::span<const std::string> protocols) noexcept;

} // namespace headgate::detail
