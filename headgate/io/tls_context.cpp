#include <headgate/io/tls_context_details.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

namespace headgate::detail {

namespace {

// Mozilla's "intermediate" list of 2024 (version 5.7) without those that need DH parameters.
constexpr const char* ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                                "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                                "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* groups = "X25519:P-256:P-384";

constexpr std::size_t file_bytes_max = 4 * 1024 * 1024;

void free_details(void*, void* details, CRYPTO_EX_DATA*, int, long, void*) {
    delete static_cast<tls_context_details*>(details);
}
int details_index() noexcept {
    static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, &free_details);
    return index;
}

int no_password(char*, int, int, void*) { return -1; }

std::string date_text(const ASN1_TIME* t) {
    const bio_handle out(BIO_new(BIO_s_mem()));
    char* text = nullptr;
    if (!out || ASN1_TIME_print(out.get(), t) != 1) return "a time that cannot be read";
    const long size = BIO_get_mem_data(out.get(), &text);
    return {text, static_cast<std::size_t>(size)};
}

} // namespace

tls_load_failure openssl_failure(std::string file) {
    return std::unexpected(tls_load_error{std::move(file), take_openssl_error().message()});
}

file_stamp file_stamp::of(std::string path) {
    struct stat there{};
    if (::stat(path.c_str(), &there) != 0) return {.path = std::move(path)};
    return {.path = std::move(path),
            .modified = there.st_mtim.tv_sec * 1'000'000'000 + there.st_mtim.tv_nsec,
            .size = there.st_size,
            .inode = there.st_ino};
}

tls_context_details& details_of(const ssl_ctx_st* ctx) noexcept {
    return *static_cast<tls_context_details*>(SSL_CTX_get_ex_data(ctx, details_index()));
}

tls_context::tls_context(const tls_context& o) noexcept : ctx_(o.ctx_) { SSL_CTX_up_ref(ctx_); }
tls_context::~tls_context() { SSL_CTX_free(ctx_); }

std::span<const std::string> tls_context::warnings() const noexcept { return details_of(ctx_).warnings; }

bool tls_context::changed() const {
    return std::ranges::any_of(details_of(ctx_).files, [](const file_stamp& f) { return file_stamp::of(f.path) != f; });
}

// Both kinds of contexts have this in common.
context_handle make_context(const ssl_method_st* method, tls_version version_min) {
    ERR_clear_error();
    context_handle ctx(SSL_CTX_new(method));
    if (!ctx) return ctx;
    auto details = std::make_unique<tls_context_details>();
    const int first = version_min == tls_version::v1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
    const bool made = SSL_CTX_set_min_proto_version(ctx.get(), first) == 1 &&
                      SSL_CTX_set_cipher_list(ctx.get(), ciphers) == 1 &&
                      SSL_CTX_set1_groups_list(ctx.get(), groups) == 1 &&
                      SSL_CTX_set_ex_data(ctx.get(), details_index(), details.get()) == 1;
    if (!made) return nullptr;
    static_cast<void>(details.release()); // the context has it
    SSL_CTX_set_options(ctx.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(ctx.get(), SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx.get(), 1);
    SSL_CTX_set_timeout(ctx.get(), std::chrono::seconds(tls_server_context::ticket_key_life).count());
    return ctx;
}

std::expected<std::string, tls_load_error> read_file(tls_context_details& d, const std::string& path) {
    d.files.push_back(file_stamp::of(path));
    std::ifstream in(path, std::ios::binary);
    if (!in) return std::unexpected(tls_load_error{path, system_error_code(errno).message()});
    std::string text(file_bytes_max + 1, 0);
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (in.bad()) return std::unexpected(tls_load_error{path, "it cannot be read"}); // a folder
    text.resize(static_cast<std::size_t>(in.gcount()));
    text.shrink_to_fit();
    if (text.size() > file_bytes_max) return std::unexpected(tls_load_error{path, "it is larger than 4 MiB"});
    return text;
}

std::expected<std::vector<x509_handle>, tls_load_error> read_certificates(tls_context_details& d,
                                                                          const std::string& path) {
    const auto text = read_file(d, path);
    if (!text) return std::unexpected(text.error());
    const bio_handle in(BIO_new_mem_buf(text->data(), static_cast<int>(text->size())));
    std::vector<x509_handle> all;
    ERR_clear_error();
    for (;;) {
        x509_handle one(in ? PEM_read_bio_X509(in.get(), nullptr, &no_password, nullptr) : nullptr);
        if (!one) break;
        all.push_back(std::move(one));
    }
    const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (!at_end) return openssl_failure(path);
    ERR_clear_error();
    if (all.empty()) return std::unexpected(tls_load_error{path, "there is no certificate in it (PEM)"});
    return all;
}

std::expected<key_handle, tls_load_error> read_key(tls_context_details& d, const std::string& path) {
    const auto text = read_file(d, path);
    if (!text) return std::unexpected(text.error());
    const bio_handle in(BIO_new_mem_buf(text->data(), static_cast<int>(text->size())));
    ERR_clear_error();
    key_handle key(in ? PEM_read_bio_PrivateKey(in.get(), nullptr, &no_password, nullptr) : nullptr);
    ERR_clear_error();
    if (key) return key;
    const bool encrypted = text->contains("ENCRYPTED");
    return std::unexpected(
        tls_load_error{path, encrypted ? "the key in it is encrypted" : "there is no private key in it (PEM)"});
}

std::expected<certificate_with_key, tls_load_error>
read_certificate_with_key(tls_context_details& d, const std::string& certificate, const std::string& key) {
    auto chain = read_certificates(d, certificate);
    if (!chain) return std::unexpected(chain.error());
    auto secret = read_key(d, key);
    if (!secret) return std::unexpected(secret.error());
    certificate_with_key c{
        .certificate = std::move(chain->front()), .key = std::move(*secret), .chain = chain_handle(sk_X509_new_null())};
    for (std::size_t i = 1; i < chain->size(); ++i)
        if (c.chain && sk_X509_push(c.chain.get(), (*chain)[i].get()) > 0) static_cast<void>((*chain)[i].release());
    if (X509_check_private_key(c.certificate.get(), c.key.get()) != 1) {
        ERR_clear_error();
        return std::unexpected(tls_load_error{key, "the key is not that of the certificate in " + certificate});
    }
    const ASN1_TIME* from = X509_get0_notBefore(c.certificate.get());
    const ASN1_TIME* until = X509_get0_notAfter(c.certificate.get());
    if (X509_cmp_current_time(until) < 0)
        d.warnings.push_back(certificate + ": the certificate has expired on " + date_text(until));
    if (X509_cmp_current_time(from) > 0)
        d.warnings.push_back(certificate + ": the certificate is not valid before " + date_text(from));
    return c;
}

std::string protocol_list(std::span<const std::string> protocols) {
    std::string list;
    for (const std::string& p : protocols) list.append(1, static_cast<char>(p.size())).append(p);
    return list;
}

bool are_protocols(std::span<const std::string> protocols) noexcept {
    std::size_t bytes = 0;
    for (const std::string& p : protocols) {
        if (p.empty() || p.size() > 255) return false;
        bytes += p.size() + 1;
    }
    return bytes <= 65'535;
}

} // namespace headgate::detail
