#pragma once

#include <headgate/core/race.hpp>
#include <headgate/io/listener.hpp>
#include <headgate/io/tls.hpp>
#include <headgate/testing/certificates.hpp>
#include <headgate/testing/temporary_folder.hpp>

#include <stdexcept>
#include <string>
#include <utility>

namespace headgate::testing {

// An authority with what it has issued, as files in a temporary folder, and contexts made of them. The folder may go
// when the contexts are made.
class tls_files {
public:
    const certificate_authority ca;
    const temporary_folder folder;
    const std::string ca_file = folder.write("ca.pem", ca.certificate());

    // Writes NAME.pem and NAME.key.
    tls_certificate_files write(const std::string& name, const test_certificate& c) const {
        return {.certificate = folder.write(name + ".pem", c.certificate), .key = folder.write(name + ".key", c.key)};
    }
    tls_certificate_files issue(const std::string& name, const certificate_wishes& wishes = {}) const {
        return write(name, ca.issue(wishes));
    }

    // A server for example.org, unless `o` has certificates. Throws std::runtime_error.
    tls_server_context server(tls_server_options o = {.certificates = {}}) const {
        if (o.certificates.empty()) o.certificates.push_back(issue("server"));
        auto context = tls_server_context::load(o);
        if (!context) throw std::runtime_error(context.error().message());
        return std::move(*context);
    }
    // A client that trusts the authority, unless `o` trusts another. Throws std::runtime_error.
    tls_client_context client(tls_client_options o = {}) const {
        if (o.ca.empty()) o.ca = ca_file;
        auto context = tls_client_context::load(o);
        if (!context) throw std::runtime_error(context.error().message());
        return std::move(*context);
    }
};

// The two ends of a connection over TCP, and what came of the handshake at each.
struct tls_ends {
    socket client;
    socket server;
    std::error_code client_error{};
    std::error_code server_error{};
};

namespace detail {

inline std::error_code error_of(const result<void>& r) { return r ? std::error_code() : r.error(); }

// Whoever fails ends the connection, as its owner does.
inline task<std::error_code> handshake_of_client(tls_ends* e, tls_client_context with, std::string name,
                                                 tls_resumption* resume) {
    const auto r = co_await connect_tls(e->client, std::move(with), std::move(name), std::chrono::seconds(30), resume);
    if (!r) e->client.close();
    co_return error_of(r);
}
inline task<std::error_code> handshake_of_server(tls_ends* e, tls_server_context with) {
    const auto r = co_await accept_tls(e->server, std::move(with), std::chrono::seconds(30));
    if (!r) e->server.close();
    co_return error_of(r);
}

} // namespace detail

// A connected pair over TCP, without TLS. Fails the flow if there is none.
inline task<tls_ends> connect_tcp() {
    auto l = listener::open(*address::parse("127.0.0.1:0"));
    if (!l) co_await fail(l.error());
    auto client = co_await connect(l->where(), std::chrono::seconds(30));
    if (!client) co_await fail(client.error());
    auto server = co_await l->accept();
    if (!server) co_await fail(server.error());
    co_return tls_ends{.client = std::move(*client), .server = std::move(server->connection)};
}

// The same with handshakes, whose errors are in it.
inline task<tls_ends> try_connect_tls(tls_server_context server, tls_client_context client,
                                      std::string name = "example.org", tls_resumption* resume = nullptr) {
    tls_ends e = co_await connect_tcp();
    std::tie(e.client_error, e.server_error) =
        co_await all(detail::handshake_of_client(&e, std::move(client), std::move(name), resume),
                     detail::handshake_of_server(&e, std::move(server)));
    co_return std::move(e);
}

// The same; a handshake that fails fails the flow.
inline task<tls_ends> connect_with_tls(tls_server_context server, tls_client_context client,
                                       std::string name = "example.org", tls_resumption* resume = nullptr) {
    tls_ends e = co_await try_connect_tls(std::move(server), std::move(client), std::move(name), resume);
    if (e.client_error) co_await fail(e.client_error, "in the handshake of the client");
    if (e.server_error) co_await fail(e.server_error, "in the handshake of the server");
    co_return std::move(e);
}

} // namespace headgate::testing
