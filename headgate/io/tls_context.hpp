#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <utility>
#include <vector>

struct ssl_ctx_st;

namespace headgate {

enum class tls_version : std::uint8_t { v1_2, v1_3 };

// A certificate and its key, PEM files.
struct tls_certificate_files {
    std::string certificate; // the certificate first, then those between it and the root, in order
    std::string key;         // not encrypted
    std::string ocsp{};      // an OCSP response to staple (RFC 6066, section 8), DER; none if empty

    bool operator==(const tls_certificate_files&) const = default;
};

enum class client_certificates : std::uint8_t {
    off,      // not asked for
    optional, // asked for; one that is sent must be valid
    required,
};

struct tls_server_options {
    // At least one. A client that names a host gets the one with that name, else the one with a wildcard for it
    // (*.example.org stands for one label), else the first. For one name there may be several with keys of different
    // kinds: the client's algorithms choose.
    std::vector<tls_certificate_files> certificates;
    // The protocols spoken, dearest first (ALPN, RFC 7301). A client that names only others is refused, one that names
    // none is served. Empty: not looked at.
    std::vector<std::string> protocols{"http/1.1"};
    client_certificates clients = client_certificates::off;
    std::string client_ca{}; // who may issue them: PEM file
    tls_version version_min = tls_version::v1_2;
    bool tickets = true; // clients may resume sessions (RFC 8446, section 2.2)

    bool operator==(const tls_server_options&) const = default;
};

struct tls_client_options {
    std::string ca{};          // who is trusted: PEM file; the system's list if empty
    std::string certificate{}; // our own, PEM file; none if empty
    std::string key{};
    std::vector<std::string> protocols{}; // as above; empty: none are named
    tls_version version_min = tls_version::v1_2;
    // Accepts any certificate, of anybody: who is in between can read and change everything. For tests.
    bool insecure_accept_any_certificate = false;

    bool operator==(const tls_client_options&) const = default;
};

// Why a context could not be made: which file, and what is wrong with it.
struct tls_load_error {
    std::string file; // empty if it is not about one
    std::string reason;

    std::string message() const { return file.empty() ? reason : file + ": " + reason; }
};

namespace detail {

// What a file was when it was read.
struct file_stamp {
    std::string path;
    std::int64_t modified = 0; // ns
    std::int64_t size = -1;    // -1: there was none
    std::uint64_t inode = 0;

    static file_stamp of(std::string path);
    bool operator==(const file_stamp&) const = default;
};

// A counted reference to OpenSSL's context, which keeps all that its callbacks need. Copies may be used by different
// threads.
class tls_context {
public:
    tls_context(const tls_context& o) noexcept;
    tls_context(tls_context&& o) noexcept : ctx_(std::exchange(o.ctx_, nullptr)) {}
    tls_context& operator=(tls_context o) noexcept {
        std::swap(ctx_, o.ctx_);
        return *this;
    }
    ~tls_context();

    // What is not as it should be and does not keep it from being used: a certificate that has expired.
    std::span<const std::string> warnings() const noexcept;
    // Whether a file that it was made of has changed since: time to make another. Connections keep the one they began
    // with. Looks at the disk.
    bool changed() const;
    // Whether it is the same one: a copy.
    bool operator==(const tls_context& o) const noexcept { return ctx_ == o.ctx_; }

    ssl_ctx_st* native() const noexcept { return ctx_; }

protected:
    explicit tls_context(ssl_ctx_st* owned) noexcept : ctx_(owned) {}

private:
    ssl_ctx_st* ctx_;
};

} // namespace detail

// What servers need for TLS: certificates, the keys of tickets, and what is allowed. Made once, by load(), and not
// changed afterwards; a copy is a counted reference, and may be used by another thread. TLS 1.2 and 1.3 with the
// ciphers of Mozilla's intermediate list that need no DH parameters, in the server's order; no renegotiation, no
// compression, no early data.
//
// Tickets are encrypted with keys that are made here, stay in memory, change every `ticket_key_life`, and are accepted
// for as long again.
class tls_server_context : public detail::tls_context {
public:
    static constexpr std::chrono::hours ticket_key_life{12};

    // Reads all files. At most 10,000 certificates.
    static std::expected<tls_server_context, tls_load_error> load(const tls_server_options& o);

private:
    using tls_context::tls_context;
};

// What clients need for TLS. As above.
class tls_client_context : public detail::tls_context {
public:
    static std::expected<tls_client_context, tls_load_error> load(const tls_client_options& o);

private:
    using tls_context::tls_context;
};

} // namespace headgate
