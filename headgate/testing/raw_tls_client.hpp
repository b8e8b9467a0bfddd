#pragma once

#include <headgate/io/socket.hpp>

#include <memory>
#include <string>

#include <openssl/ssl.h>

namespace headgate::testing {

// A TLS client of OpenSSL's own on a plain socket, step by step: for what `connect_tls` never does. Trusts anybody.
class raw_tls_client {
public:
    const char* host = nullptr; // for SNI
    std::string first{};        // sent in one piece with the end of the handshake

    // To be set up as the test wants it, before the handshake.
    SSL_CTX* context() const noexcept { return ctx_.get(); }
    SSL* ssl() const noexcept { return ssl_.get(); }

    // Gives whether the handshake was complete, as far as the client knows.
    task<bool> shake_hands(socket* s) {
        ssl_.reset(SSL_new(ctx_.get()));
        SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
        SSL_set_connect_state(ssl_.get());
        if (host) SSL_set_tlsext_host_name(ssl_.get(), host);
        for (;;) {
            const bool done = SSL_do_handshake(ssl_.get()) == 1;
            if (!co_await s->write_all(encrypt(done ? first : ""))) co_return false;
            if (done) co_return true;
            if (!co_await receive(s)) co_return false;
        }
    }

    // What `text` is on the wire. (Empty: what OpenSSL has to say by itself.)
    std::string encrypt(std::string_view text) {
        if (!text.empty()) SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size()));
        return output();
    }
    // The next bytes, decrypted; "" at the end or when it fails.
    task<std::string> read(socket* s) {
        char buffer[20'000];
        for (;;) {
            const int n = SSL_read(ssl_.get(), buffer, sizeof buffer);
            if (n > 0) co_return std::string(buffer, static_cast<std::size_t>(n));
            if (SSL_get_error(ssl_.get(), n) != SSL_ERROR_WANT_READ || !co_await receive(s)) co_return "";
        }
    }

private:
    std::string output() {
        std::string out;
        char buffer[4096];
        for (int n; (n = BIO_read(SSL_get_wbio(ssl_.get()), buffer, sizeof buffer)) > 0;)
            out.append(buffer, static_cast<std::size_t>(n));
        return out;
    }
    task<bool> receive(socket* s) {
        char buffer[4096];
        const auto n = co_await s->read_some(buffer);
        if (!n || *n == 0) co_return false;
        BIO_write(SSL_get_rbio(ssl_.get()), buffer, static_cast<int>(*n));
        co_return true;
    }

    std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> ctx_{SSL_CTX_new(TLS_client_method()), &SSL_CTX_free};
    std::unique_ptr<SSL, decltype(&SSL_free)> ssl_{nullptr, &SSL_free};
};

} // namespace headgate::testing
