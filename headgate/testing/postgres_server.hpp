#pragma once

#include <headgate/testing/temporary_folder.hpp>

#include <cstdio>
#include <string>

namespace headgate::testing {

// A PostgreSQL server of a test's own: in a temporary folder, on a free port of 127.0.0.1 and on a Unix socket in that
// folder, without any durability. PostgreSQL refuses to run as root: for root it runs as the user `postgres`, whom
// Debian's package makes. Starting one takes a few seconds, so a test suite shares it.
//
// Who may come in: `postgres` and `reader` without a password; `locked` with the password "open sesame" (SCRAM). TLS is
// on if it was given a certificate.
class postgres_server {
public:
    // Throws std::runtime_error with what the server said if it does not start.
    postgres_server();
    // With TLS: PEM files.
    postgres_server(const std::string& certificate, const std::string& key);
    ~postgres_server();
    postgres_server(const postgres_server&) = delete;
    postgres_server& operator=(const postgres_server&) = delete;

    // Whether PostgreSQL is installed.
    static bool available();

    void start();
    // Ends all sessions as if the machine had failed.
    void stop_at_once();

    int port() const noexcept { return port_; }
    const std::string& folder() const noexcept { return folder_; }
    // For libpq: over TCP, over the Unix socket.
    std::string conninfo(const std::string& user = "postgres") const;
    std::string local_conninfo() const;

    // Runs SQL with psql and gives what it prints, unaligned and without a header. Throws if it fails.
    std::string psql(const std::string& sql) const;

private:
    void run(const std::string& command) const;

    temporary_folder home_;
    std::string folder_;         // the server's
    std::FILE* guard_ = nullptr; // a process that stops the server and removes the folder when this one has gone
    std::string programs_;
    int port_ = 0;
};

} // namespace headgate::testing
