#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bench/load/modes.hpp>
#include <bench/load/net.hpp>

namespace bench {

namespace {

template <auto Free>
struct freed {
    template <class T>
    void operator()(T* it) const noexcept {
        Free(it);
    }
};
using context = std::unique_ptr<SSL_CTX, freed<SSL_CTX_free>>;
using session = std::unique_ptr<SSL, freed<SSL_free>>;

// A connection after one GET; blocking. Its answer is the 200 bytes of the origin, in whatever records.
session connected(SSL_CTX* how, int fd, const std::string& request) {
    session s(SSL_new(how));
    SSL_set_fd(s.get(), fd);
    if (SSL_connect(s.get()) != 1) die("a TLS handshake failed");
    if (SSL_write(s.get(), request.data(), static_cast<int>(request.size())) <= 0) die("a TLS connection broke");
    std::string answer(4096, '\0');
    std::size_t got = 0;
    while (got < 200 || answer[got - 1] != '\n' || answer[got - 2] != 'x') {
        const int n = SSL_read(s.get(), answer.data() + got, static_cast<int>(answer.size() - got));
        if (n <= 0) die("a TLS connection was closed");
        got += static_cast<std::size_t>(n);
    }
    return s;
}

} // namespace

void run_handshakes(const load_options& options) {
    const context how(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_session_cache_mode(how.get(), SSL_SESS_CACHE_OFF);
    const std::string request = "GET " + options.path + " HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
    const double start = now();
    std::uint64_t done = 0;
    while (now() < start + options.seconds) {
        const int fd = connect_blocking(options.to);
        const session s = connected(how.get(), fd, request);
        SSL_shutdown(s.get());
        ::close(fd);
        ++done;
    }
    std::printf("{\"exchanges\": %llu, \"bytes\": 0, \"seconds\": %.6f}\n", static_cast<unsigned long long>(done),
                now() - start);
}

void run_idle_tls(const load_options& options) {
    const context how(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_mode(how.get(), SSL_MODE_RELEASE_BUFFERS);
    const std::string request = "GET " + options.path + " HTTP/1.1\r\nHost: bench\r\n\r\n";
    std::vector<int> sockets;
    std::vector<session> sessions;
    for (int i = 0; i < options.connections; ++i) {
        sockets.push_back(connect_blocking(options.to));
        sessions.push_back(connected(how.get(), sockets.back(), request));
    }
    std::printf("{\"open\": %zu}\n", sessions.size());
    std::fflush(stdout);
    while (std::getchar() != EOF) {
    }
    int closed = 0;
    for (const int fd : sockets) {
        char byte = 0; // session tickets may have come, but no end
        ssize_t n = 0;
        while ((n = ::recv(fd, &byte, 1, MSG_DONTWAIT)) > 0) {
        }
        closed += n == 0;
    }
    std::printf("{\"closed\": %d}\n", closed);
}

} // namespace bench
