#include <headgate/io/tls.hpp>
#include <headgate/io/tls_session.hpp>

#include <algorithm>
#include <cerrno>
#include <memory>

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

namespace headgate {

namespace {

using detail::tls_session;
using handle = std::unique_ptr<SSL, decltype(&SSL_free)>;

handle make_ssl(const detail::tls_context& with) {
    ERR_clear_error();
    return {SSL_new(with.native()), &SSL_free};
}

// Waits for what the kernel says of the descriptor; the session has nothing to say yet.
auto until_bytes(socket& s, duration limit) noexcept {
    return detail::ready_operation(s.state(), &slot::reading, &slot::readable, limit);
}

duration left_until(time_point end) noexcept {
    if (end == time_point::max()) return forever;
    return std::max(end - executor::current().turn_time(), duration::zero());
}
time_point end_of(duration limit) noexcept {
    const time_point now = executor::current().turn_time();
    return limit < time_point::max() - now ? now + limit : time_point::max();
}

tls_session& attach(socket& s, handle ssl, tls_resumption* resume) {
    auto made = std::make_unique<tls_session>(s.state(), ssl.get(), resume);
    static_cast<void>(ssl.release()); // the session has it
    tls_session& t = *made;
    s.state().layer = std::move(made);
    return t;
}

task<result<void>> shake_hands(socket& s, tls_session& t, time_point end) {
    for (;;) {
        const result<bool> complete = t.shake_hands();
        if (!complete) co_return std::unexpected(complete.error());
        if (t.unsent() != 0) {
            if (const auto room = co_await s.writable(left_until(end)); !room) co_return room;
        } else if (*complete) {
            co_return result<void>();
        } else if (const auto bytes = co_await until_bytes(s, left_until(end)); !bytes) {
            co_return bytes;
        }
    }
}

// The name without the brackets of an IPv6 address in a URI, and whether it is an address.
std::pair<std::string, bool> host_or_address(std::string name) {
    if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
    in6_addr any{};
    const bool is_address =
        ::inet_pton(AF_INET, name.c_str(), &any) == 1 || ::inet_pton(AF_INET6, name.c_str(), &any) == 1;
    return {std::move(name), is_address};
}

// Asks for the server's certificate by its name, and says which name that must have.
bool expect_server(SSL* ssl, std::string server_name) {
    const auto [name, is_address] = host_or_address(std::move(server_name));
    X509_VERIFY_PARAM* p = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (is_address) return X509_VERIFY_PARAM_set1_ip_asc(p, name.c_str()) == 1;
    return SSL_set_tlsext_host_name(ssl, name.c_str()) == 1 &&
           X509_VERIFY_PARAM_set1_host(p, name.data(), name.size()) == 1;
}

void offer(SSL* ssl, tls_resumption& from) noexcept {
    if (SSL_SESSION* s = from.take()) {
        SSL_set_session(ssl, s); // it counts its references
        SSL_SESSION_free(s);
    }
}

} // namespace

task<result<void>> accept_tls(socket& s, tls_server_context with, duration limit) {
    const time_point end = end_of(limit);
    if (const auto bytes = co_await until_bytes(s, left_until(end)); !bytes) co_return bytes;
    handle ssl = make_ssl(with);
    if (!ssl) co_return std::unexpected(detail::take_openssl_error());
    SSL_set_accept_state(ssl.get());
    co_return co_await shake_hands(s, attach(s, std::move(ssl), nullptr), end);
}

task<result<void>> connect_tls(socket& s, tls_client_context with, std::string server_name, duration limit,
                               tls_resumption* resume) {
    const time_point end = end_of(limit);
    if (server_name.empty()) co_return std::unexpected(make_error_code(std::errc::invalid_argument));
    handle ssl = make_ssl(with);
    if (!ssl) co_return std::unexpected(detail::take_openssl_error());
    if (!expect_server(ssl.get(), std::move(server_name))) co_return std::unexpected(detail::take_openssl_error());
    if (resume) offer(ssl.get(), *resume);
    SSL_set_connect_state(ssl.get());
    tls_session& t = attach(s, std::move(ssl), resume);
    result<void> shaken = co_await shake_hands(s, t, end);
    if (shaken && resume) t.keep_accepted();
    co_return shaken;
}

namespace {

std::string_view text_of(const ASN1_STRING* s) noexcept {
    return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(s)), static_cast<std::size_t>(ASN1_STRING_length(s))};
}

std::string address_text(std::string_view bytes) {
    char text[INET6_ADDRSTRLEN];
    const int family = bytes.size() == 4 ? AF_INET : AF_INET6;
    if (bytes.size() != 4 && bytes.size() != 16) return {};
    return ::inet_ntop(family, bytes.data(), text, sizeof text) ? text : "";
}

// Names with characters that are not printable ASCII mean something else to somebody: they are left out.
bool printable(std::string_view text) noexcept {
    return !text.empty() && std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
}

std::vector<std::string> names_of(const X509* certificate) {
    std::vector<std::string> names;
    const std::unique_ptr<GENERAL_NAMES, decltype(&GENERAL_NAMES_free)> all(
        static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)),
        &GENERAL_NAMES_free);
    const auto add = [&](const char* kind, std::string_view text) {
        if (printable(text)) names.push_back(std::string(kind).append(text));
    };
    for (int i = 0; all && i < sk_GENERAL_NAME_num(all.get()); ++i) {
        const GENERAL_NAME* name = sk_GENERAL_NAME_value(all.get(), i);
        switch (name->type) {
        case GEN_DNS: add("DNS:", text_of(name->d.dNSName)); break;
        case GEN_URI: add("URI:", text_of(name->d.uniformResourceIdentifier)); break;
        case GEN_EMAIL: add("email:", text_of(name->d.rfc822Name)); break;
        case GEN_IPADD: add("IP:", address_text(text_of(name->d.iPAddress))); break;
        default: break;
        }
    }
    return names;
}

std::string subject_of(const X509* certificate) {
    const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), &BIO_free);
    if (!out || X509_NAME_print_ex(out.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) < 0) return {};
    char* text = nullptr;
    const long size = BIO_get_mem_data(out.get(), &text);
    return {text, static_cast<std::size_t>(size)};
}

} // namespace

tls_facts detail::tls_session::facts() const {
    tls_facts f;
    f.version = SSL_get_version(ssl_);
    f.cipher = SSL_get_cipher_name(ssl_);
    const unsigned char* protocol = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_, &protocol, &size);
    f.protocol.assign(reinterpret_cast<const char*>(protocol), size);
    if (const char* name = SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name)) f.server_name = name;
    f.resumed = resumed();
    if (const X509* certificate = SSL_get0_peer_certificate(ssl_))
        f.peer = tls_peer{.subject = subject_of(certificate), .names = names_of(certificate)};
    return f;
}

bool detail::tls_session::resumed() const noexcept { return SSL_session_reused(ssl_) == 1; }

// A session of TLS 1.2 that the server has not replaced may be used again.
void detail::tls_session::keep_accepted() noexcept {
    if (!resumed() || kept_ || SSL_version(ssl_) != TLS1_2_VERSION) return;
    if (SSL_SESSION* same = SSL_get1_session(ssl_)) resume_->keep(same);
}

bool tls_resumed(const socket& s) noexcept {
    const auto* session = dynamic_cast<const detail::tls_session*>(s.state().layer.get());
    return session && session->resumed();
}

std::optional<tls_facts> tls_facts_of(const socket& s) {
    const auto* session = dynamic_cast<const detail::tls_session*>(s.state().layer.get());
    if (!session) return std::nullopt;
    return session->facts();
}

} // namespace headgate
