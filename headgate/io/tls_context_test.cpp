#include <headgate/core/sleep.hpp>
#include <headgate/io/linux_kernel.hpp>
#include <headgate/io/tls.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/raw_tls_client.hpp>
#include <headgate/testing/tls_files.hpp>

#include <memory>
#include <thread>

#include <gmock/gmock.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

namespace headgate {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using testing::certificate_authority;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::raw_tls_client;
using ::testing::StartsWith;
using testing::tls_ends;

// What the two sides say about a handshake: "ok", or the errors.
task<std::string> shake(tls_server_context server, tls_client_context client, std::string name = "example.org") {
    const tls_ends e = co_await testing::try_connect_tls(std::move(server), std::move(client), std::move(name));
    if (!e.client_error && !e.server_error) co_return "ok";
    co_return "client: " + (e.client_error ? e.client_error.message() : "ok") +
        ", server: " + (e.server_error ? e.server_error.message() : "ok");
}

class tls_context_test : public testing::simulated_test {
protected:
    std::string shake(const tls_server_options& server, const tls_client_options& client = {},
                      std::string name = "example.org") {
        return run(headgate::shake(files.server(server), files.client(client), std::move(name)));
    }

    testing::tls_files files;
};

// --- who may be who

TEST_F(tls_context_test, ACertificateMustHaveTheName) {
    const tls_server_options server{
        .certificates = {files.issue("s", {.names = {"DNS:example.org", "IP:192.0.2.1", "IP:::1"}})}};
    EXPECT_EQ(shake(server), "ok");
    EXPECT_EQ(shake(server, {}, "EXAMPLE.ORG"), "ok");
    EXPECT_EQ(shake(server, {}, "192.0.2.1"), "ok");
    EXPECT_EQ(shake(server, {}, "[::1]"), "ok");
    EXPECT_EQ(shake(server, {}, "example.com"), "client: hostname mismatch, server: the peer's alert: bad certificate");
    EXPECT_EQ(shake(server, {}, "192.0.2.2"), "client: IP address mismatch, server: the peer's alert: bad certificate");
    EXPECT_EQ(shake(server, {}, ""), "client: Invalid argument, server: premature close");
    EXPECT_EQ(shake(server, {.insecure_accept_any_certificate = true}, "example.com"), "ok");
}

TEST_F(tls_context_test, ACommonNameIsNoName) {
    const tls_server_options server{.certificates = {files.issue("s", {.subject = "example.org", .names = {}})}};
    EXPECT_THAT(shake(server), StartsWith("client: hostname mismatch"));
}

TEST_F(tls_context_test, ACertificateMustBeValidAndTrusted) {
    EXPECT_THAT(shake({.certificates = {files.issue("s", {.valid_from = -200, .valid_until = -100})}}),
                StartsWith("client: certificate has expired, server: the peer's alert: certificate expired"));
    EXPECT_THAT(shake({.certificates = {files.issue("s", {.valid_from = 100})}}),
                StartsWith("client: certificate is not yet valid"));
    EXPECT_THAT(shake({.certificates = {files.write("s", certificate_authority::self_signed())}}),
                StartsWith("client: self-signed certificate"));
    const certificate_authority other("another");
    EXPECT_THAT(shake({.certificates = {files.write("s", other.issue())}}),
                StartsWith("client: unable to get local issuer certificate, server: the peer's alert: unknown CA"));
    EXPECT_EQ(shake({.certificates = {files.write("s", other.issue())}}, {.insecure_accept_any_certificate = true}),
              "ok");
}

task<std::string> name_chosen(tls_server_context server, tls_client_context client, std::string name) {
    const tls_ends e = co_await testing::connect_with_tls(std::move(server), std::move(client), std::move(name));
    co_return tls_facts_of(e.client)->peer->subject;
}

TEST_F(tls_context_test, TheNameChoosesTheCertificate) {
    const auto server =
        files.server({.certificates = {files.issue("1", {.subject = "first", .names = {"DNS:first.example.net"}}),
                                       files.issue("2", {.subject = "exact", .names = {"DNS:www.example.org"}}),
                                       files.issue("3", {.subject = "wild", .names = {"DNS:*.example.org"}}),
                                       files.issue("4", {.subject = "again", .names = {"DNS:www.example.org"}})}});
    const auto client = files.client({.insecure_accept_any_certificate = true});
    const auto chosen = [&](const char* name) { return run(name_chosen(server, client, name)); };
    EXPECT_EQ(chosen("www.example.org"), "CN=exact");
    EXPECT_EQ(chosen("WWW.Example.Org"), "CN=exact");
    EXPECT_EQ(chosen("api.example.org"), "CN=wild");
    EXPECT_EQ(chosen("a.b.example.org"), "CN=first") << "a wildcard stands for one label";
    EXPECT_EQ(chosen("example.org"), "CN=first");
    EXPECT_EQ(chosen("elsewhere.example"), "CN=first");
    EXPECT_EQ(chosen("127.0.0.1"), "CN=first");
}

// --- raw clients, for what ours does not do

// Gives the server's error, or "ok".
task<std::string> shake_raw(tls_server_context server, raw_tls_client* client) {
    tls_ends e = co_await testing::connect_tcp();
    struct talk {
        static task<std::string> serve(socket* s, tls_server_context with) {
            const auto r = co_await accept_tls(*s, std::move(with), 5s);
            std::string said =
                r ? "ok, " + std::string(tls_facts_of(*s)->version) + ", " + std::string(tls_facts_of(*s)->cipher)
                  : r.error().message();
            s->close();
            co_return said;
        }
    };
    auto [said, nothing] = co_await all(talk::serve(&e.server, std::move(server)), client->shake_hands(&e.client));
    ERR_clear_error();
    co_return said;
}

TEST_F(tls_context_test, OldVersionsAreRefused) {
    const auto modern = files.server();
    raw_tls_client old;
    SSL_CTX_set_security_level(old.context(), 0);
    SSL_CTX_set_min_proto_version(old.context(), TLS1_VERSION);
    SSL_CTX_set_max_proto_version(old.context(), TLS1_1_VERSION);
    EXPECT_EQ(run(shake_raw(modern, &old)), "unsupported protocol");
    raw_tls_client tls12;
    SSL_CTX_set_max_proto_version(tls12.context(), TLS1_2_VERSION);
    const auto rsa = files.server({.certificates = {files.issue("rsa", {.rsa = true})}});
    EXPECT_EQ(run(shake_raw(rsa, &tls12)), "ok, TLSv1.2, ECDHE-RSA-AES128-GCM-SHA256") << "the server's choice";
    const auto only_new = files.server({.certificates = {}, .version_min = tls_version::v1_3});
    EXPECT_EQ(run(shake_raw(only_new, &tls12)), "unsupported protocol");
    SSL_CTX_set_cipher_list(tls12.context(), "AES128-SHA");
    EXPECT_EQ(run(shake_raw(rsa, &tls12)), "no shared cipher");
}

TEST_F(tls_context_test, TheClientsAlgorithmsChooseAmongKeysOfOneName) {
    const auto both = files.server({.certificates = {files.issue("ed"), files.issue("rsa", {.rsa = true})}});
    raw_tls_client modern;
    EXPECT_THAT(run(shake_raw(both, &modern)), StartsWith("ok, TLSv1.3"));
    raw_tls_client only_rsa;
    SSL_CTX_set1_sigalgs_list(only_rsa.context(), "RSA-PSS+SHA256:RSA+SHA256");
    EXPECT_THAT(run(shake_raw(both, &only_rsa)), StartsWith("ok, TLSv1.3"));
    only_rsa.host = "example.org";
    EXPECT_THAT(run(shake_raw(both, &only_rsa)), StartsWith("ok, TLSv1.3"));
    raw_tls_client only_ed;
    SSL_CTX_set1_sigalgs_list(only_ed.context(), "ed25519");
    const auto one = files.server({.certificates = {files.issue("rsa", {.rsa = true})}});
    EXPECT_THAT(run(shake_raw(both, &only_ed)), StartsWith("ok, TLSv1.3"));
    EXPECT_THAT(run(shake_raw(one, &only_ed)), HasSubstr("no suitable signature algorithm"));
}

// --- protocols

task<std::string> protocol(tls_server_context server, tls_client_context client) {
    const tls_ends e = co_await testing::try_connect_tls(std::move(server), std::move(client));
    if (e.server_error) co_return e.server_error.message() + ", " + e.client_error.message();
    EXPECT_EQ(tls_facts_of(e.server)->protocol, tls_facts_of(e.client)->protocol);
    co_return tls_facts_of(e.server)->protocol;
}

TEST_F(tls_context_test, TheServerChoosesTheProtocol) {
    const auto chosen = [&](std::vector<std::string> server, std::vector<std::string> client) {
        return run(protocol(files.server({.certificates = {}, .protocols = std::move(server)}),
                            files.client({.protocols = std::move(client)})));
    };
    EXPECT_EQ(chosen({"http/1.1"}, {"h2", "http/1.1"}), "http/1.1");
    EXPECT_EQ(chosen({"h2", "http/1.1"}, {"http/1.1", "h2"}), "h2");
    EXPECT_EQ(chosen({"http/1.1"}, {}), "");
    EXPECT_EQ(chosen({}, {"h2"}), "");
    EXPECT_EQ(chosen({"http/1.1"}, {"h2"}), "no application protocol, the peer's alert: no application protocol");
}

// --- certificates of clients

// What a server says about its client, and the client about its first read.
task<std::string> client_seen(tls_server_context server, tls_client_context client) {
    tls_ends e = co_await testing::try_connect_tls(std::move(server), std::move(client));
    if (!e.server_error) {
        const auto f = tls_facts_of(e.server);
        if (!f->peer) co_return "nobody";
        std::string who = f->peer->subject;
        for (const std::string& n : f->peer->names) who += " " + n;
        co_return who;
    }
    // With TLS 1.3 the client's handshake is complete before the server has seen its certificate.
    char buffer[10];
    std::error_code why = e.client_error;
    if (!why) {
        const auto n = co_await e.client.read_some(buffer);
        if (!n) why = n.error();
    }
    co_return e.server_error.message() + ", " + why.message();
}

TEST_F(tls_context_test, ClientsMayHaveToShowWhoTheyAre) {
    using enum client_certificates;
    const auto alice = files.issue("alice", {.subject = "alice, the first",
                                             .names = {"DNS:alice.example.org", "URI:spiffe://example.org/alice",
                                                       "email:alice@example.org", "IP:192.0.2.7", "IP:2001:db8::7"}});
    const auto stale = files.issue("stale", {.valid_from = -200, .valid_until = -100});
    const certificate_authority other("another");
    const auto stranger = files.write("stranger", other.issue());
    const auto seen = [&](client_certificates asked, const tls_certificate_files& shown) {
        return run(client_seen(files.server({.certificates = {}, .clients = asked, .client_ca = files.ca_file}),
                               files.client({.certificate = shown.certificate, .key = shown.key})));
    };
    const std::string all = "CN=alice\\, the first DNS:alice.example.org URI:spiffe://example.org/alice "
                            "email:alice@example.org IP:192.0.2.7 IP:2001:db8::7";
    EXPECT_EQ(seen(off, alice), "nobody");
    EXPECT_EQ(seen(off, {}), "nobody");
    EXPECT_EQ(seen(optional, alice), all);
    EXPECT_EQ(seen(optional, {}), "nobody");
    EXPECT_EQ(seen(optional, stale), "certificate has expired, the peer's alert: certificate expired");
    EXPECT_EQ(seen(required, alice), all);
    EXPECT_EQ(seen(required, {}),
              "peer did not return a certificate, the peer's alert: tlsv13 alert certificate required");
    EXPECT_EQ(seen(required, stranger), "unable to get local issuer certificate, the peer's alert: unknown CA");
}

// --- resumption

// The client has to read for the tickets to come.
task<std::string> visit(tls_server_context server, tls_client_context client, tls_resumption* resume) {
    tls_ends e = co_await testing::connect_with_tls(std::move(server), std::move(client), "example.org", resume);
    if (!co_await e.server.write_all("hello")) co_await fail(errc::failed);
    char buffer[10];
    const auto n = co_await e.client.read_some(buffer);
    if (!n || *n != 5) co_await fail(errc::failed);
    const auto f = tls_facts_of(e.server);
    EXPECT_EQ(f->resumed, tls_facts_of(e.client)->resumed);
    co_return (f->resumed ? "resumed" : "full") + (f->peer ? ", " + f->peer->subject : "");
}

TEST_F(tls_context_test, SessionsAreResumed) {
    for (const auto version : {TLS1_3_VERSION, TLS1_2_VERSION}) {
        const auto server = files.server();
        const auto client = files.client();
        SSL_CTX_set_max_proto_version(client.native(), version);
        tls_resumption kept;
        EXPECT_EQ(run(visit(server, client, &kept)), "full");
        EXPECT_EQ(run(visit(server, client, &kept)), "resumed");
        EXPECT_EQ(run(visit(server, client, &kept)), "resumed") << "and again";
        EXPECT_EQ(run(visit(server, client, nullptr)), "full");
        EXPECT_EQ(run(visit(files.server(), client, &kept)), "full") << "another context has other keys";
    }
}

TEST_F(tls_context_test, KeysOfTicketsChange) {
    const auto server = files.server();
    const auto client = files.client();
    tls_resumption kept, first;
    EXPECT_EQ(run(visit(server, client, &first)), "full");
    EXPECT_EQ(run(visit(server, client, &kept)), "full");
    sim().advance(13h);
    EXPECT_EQ(run(visit(server, client, &kept)), "resumed") << "the key before the newest is accepted";
    sim().advance(13h);
    EXPECT_EQ(run(visit(server, client, &kept)), "resumed") << "with the ticket of the last visit";
    EXPECT_EQ(run(visit(server, client, &first)), "full") << "its key is older than a day";
}

TEST_F(tls_context_test, TicketsMayBeLeftOut) {
    const auto server = files.server({.certificates = {}, .tickets = false});
    const auto client = files.client();
    tls_resumption kept;
    EXPECT_EQ(run(visit(server, client, &kept)), "full");
    EXPECT_EQ(run(visit(server, client, &kept)), "full");
}

TEST_F(tls_context_test, ASessionIsOfferedOnceAndReplaced) {
    const auto server = files.server();
    const auto client = files.client();
    tls_resumption kept;
    EXPECT_EQ(run(visit(server, client, &kept)), "full");
    EXPECT_EQ(kept.size(), 2u) << "two tickets come with a full handshake";
    EXPECT_EQ(run(visit(server, client, &kept)), "resumed");
    EXPECT_EQ(kept.size(), 2u) << "one was used, and one came";
}

TEST_F(tls_context_test, NoMoreSessionsAreKeptThanMayBe) {
    tls_resumption kept;
    EXPECT_EQ(run(visit(files.server(), files.client(), &kept)), "full");
    SSL_SESSION* const newest = kept.take();
    for (std::size_t i = 0; i < 3 * tls_resumption::sessions_max; ++i) {
        SSL_SESSION_up_ref(newest);
        kept.keep(newest);
    }
    EXPECT_EQ(kept.size(), tls_resumption::sessions_max);
    SSL_SESSION_free(newest);
}

TEST_F(tls_context_test, AnOldSessionIsNotOffered) {
    for (const auto version : {TLS1_3_VERSION, TLS1_2_VERSION}) {
        const auto server = files.server();
        const auto client = files.client();
        SSL_CTX_set_max_proto_version(client.native(), version);
        tls_resumption kept;
        EXPECT_EQ(run(visit(server, client, &kept)), "full");
        while (kept.size() > 1) SSL_SESSION_free(kept.take());
        SSL_SESSION* const s = kept.take();
        SSL_SESSION_set_time(s, SSL_SESSION_get_time(s) - 13 * 3600);
        kept.keep(s);
        EXPECT_EQ(kept.take(), nullptr);
        EXPECT_EQ(kept.size(), 0u);
    }
}

TEST_F(tls_context_test, SessionsOfAnotherCertificateAreForgotten) {
    const auto client = files.client();
    tls_resumption kept;
    EXPECT_EQ(run(visit(files.server(), client, &kept)), "full");
    EXPECT_EQ(kept.size(), 2u);
    EXPECT_EQ(run(visit(files.server(), client, &kept)), "full") << "it has a new certificate and new keys";
    EXPECT_EQ(kept.size(), 2u) << "the one that was left of the first two is gone";
}

TEST_F(tls_context_test, ASessionEndsWithTheCertificate) {
    const auto server = files.server({.certificates = {files.issue("old", {.valid_until = -10})}});
    const auto client = files.client({.insecure_accept_any_certificate = true});
    tls_resumption kept;
    EXPECT_EQ(run(visit(server, client, &kept)), "full");
    EXPECT_EQ(kept.size(), 2u);
    EXPECT_EQ(run(visit(server, client, &kept)), "full");
}

TEST_F(tls_context_test, AResumedSessionKnowsItsClient) {
    const auto alice = files.issue("alice", {.subject = "alice"});
    const auto server =
        files.server({.certificates = {}, .clients = client_certificates::required, .client_ca = files.ca_file});
    const auto client = files.client({.certificate = alice.certificate, .key = alice.key});
    tls_resumption kept;
    EXPECT_EQ(run(visit(server, client, &kept)), "full, CN=alice");
    EXPECT_EQ(run(visit(server, client, &kept)), "resumed, CN=alice");
}

// --- threads

// Handshakes one after the other, on a loop of its own; counts those that were resumed.
task<std::size_t> visit_often(tls_server_context server, tls_client_context client, std::size_t times) {
    tls_resumption kept;
    std::size_t resumed = 0;
    for (std::size_t i = 0; i < times; ++i) resumed += co_await visit(server, client, &kept) == "resumed";
    co_return resumed;
}

TEST(tls_threads_test, ThreadsShareContexts) {
    const testing::tls_files files;
    const auto server = files.server();
    const auto client = files.client();
    std::array<std::size_t, 4> resumed{};
    {
        std::vector<std::jthread> threads;
        for (std::size_t& count : resumed)
            threads.emplace_back([&count, &server, &client] {
                linux_kernel os;
                loop l(os);
                count = l.run(visit_often(server, client, 20)).value_or(0);
            });
    }
    EXPECT_THAT(resumed, Each(19u));
}

// --- loading

std::string reason(const tls_server_options& o) {
    const auto c = tls_server_context::load(o);
    return c ? "loaded" : c.error().message();
}

TEST_F(tls_context_test, ErrorsOfLoadingNameTheFile) {
    const auto good = files.issue("good");
    const auto other = files.issue("other");
    const auto with = [&](std::string certificate, std::string key) {
        return reason({.certificates = {{.certificate = std::move(certificate), .key = std::move(key)}}});
    };
    const std::string none = files.folder / "none";
    const std::string text = files.folder.write("text", "hello\n");
    const std::string torn =
        files.folder.write("torn", "-----BEGIN CERTIFICATE-----\nMIIB!\n-----END CERTIFICATE-----\n");
    const std::string locked = files.folder.write(
        "locked", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    EXPECT_EQ(with(good.certificate, good.key), "loaded");
    EXPECT_EQ(with(none, good.key), none + ": No such file or directory");
    EXPECT_EQ(with(good.certificate, none), none + ": No such file or directory");
    EXPECT_EQ(with(files.folder / ".", good.key), files.folder / "." + ": it cannot be read");
    EXPECT_EQ(with(text, good.key), text + ": there is no certificate in it (PEM)");
    EXPECT_THAT(with(torn, good.key), StartsWith(torn + ": "));
    EXPECT_EQ(with(good.certificate, text), text + ": there is no private key in it (PEM)");
    EXPECT_EQ(with(good.certificate, locked), locked + ": the key in it is encrypted");
    EXPECT_EQ(with(good.certificate, other.key),
              other.key + ": the key is not that of the certificate in " + good.certificate);
    EXPECT_EQ(reason({.certificates = {}}), "a server needs a certificate");
    EXPECT_EQ(reason({.certificates = {good}, .protocols = {""}}), "a protocol's name has 1 to 255 characters");
    EXPECT_EQ(reason({.certificates = {good}, .clients = client_certificates::required}),
              "to verify clients, a server needs to know who issues for them");
    EXPECT_EQ(reason({.certificates = {good}, .clients = client_certificates::required, .client_ca = none}),
              none + ": No such file or directory");
    EXPECT_EQ(reason({.certificates = {{good.certificate, good.key, text}}}),
              text + ": it is not an OCSP response (DER)");
    EXPECT_EQ(ERR_peek_error(), 0u) << "nothing stays in the queue";
}

TEST_F(tls_context_test, ErrorsOfLoadingOfAClient) {
    const auto failed = [](const tls_client_options& o) {
        const auto c = tls_client_context::load(o);
        return c ? "loaded" : c.error().message();
    };
    const std::string none = files.folder / "none";
    const auto good = files.issue("good");
    EXPECT_EQ(failed({}), "loaded") << "with the system's list";
    EXPECT_EQ(failed({.ca = none}), none + ": No such file or directory");
    EXPECT_EQ(failed({.certificate = good.certificate, .key = none}), none + ": No such file or directory");
    EXPECT_EQ(failed({.certificate = good.certificate, .key = good.key}), "loaded");
}

TEST_F(tls_context_test, WhatHasExpiredIsLoadedWithAWarning) {
    const auto stale = files.issue("stale", {.valid_from = -200, .valid_until = -100});
    const auto early = files.issue("early", {.valid_from = 100});
    const auto server = files.server({.certificates = {files.issue("good"), stale, early}});
    EXPECT_THAT(server.warnings(),
                ElementsAre(StartsWith(stale.certificate + ": the certificate has expired on "),
                            StartsWith(early.certificate + ": the certificate is not valid before ")));
}

TEST_F(tls_context_test, ChangesOfFilesAreNoticed) {
    const auto used = files.issue("used");
    const auto server = files.server({.certificates = {used}});
    EXPECT_FALSE(server.changed());
    files.issue("unused");
    EXPECT_FALSE(server.changed());
    files.issue("used", {.subject = "a new one"});
    EXPECT_TRUE(server.changed());
    const auto next = files.server({.certificates = {used}});
    EXPECT_FALSE(next.changed());
    EXPECT_EQ(::unlink(used.key.c_str()), 0);
    EXPECT_TRUE(next.changed());
}

task<std::string> outlives_context(testing::tls_files* files) {
    tls_ends e = co_await testing::connect_tcp();
    struct sides {
        static task<> serve(socket* s, tls_server_context with) {
            const auto r = co_await accept_tls(*s, std::move(with), 5s);
            if (!r) co_await fail(r.error());
        }
    };
    strand serving; // the context is gone before the client says a word
    serving.start(sides::serve(&e.server, files->server()), co_await here());
    const auto r = co_await connect_tls(e.client, files->client(), "example.org", 5s);
    co_return r ? "ok" : r.error().message();
}

TEST_F(tls_context_test, AConnectionKeepsItsContext) { EXPECT_EQ(run(outlives_context(&files)), "ok"); }

// --- OCSP

std::string ocsp_response(long valid_until) {
    const auto c = certificate_authority::self_signed({.rsa = true});
    const std::unique_ptr<BIO, decltype(&BIO_free)> in(BIO_new_mem_buf(c.certificate.data(), -1), &BIO_free);
    const std::unique_ptr<X509, decltype(&X509_free)> x(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr),
                                                        &X509_free);
    const std::unique_ptr<BIO, decltype(&BIO_free)> key_in(BIO_new_mem_buf(c.key.data(), -1), &BIO_free);
    const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
        PEM_read_bio_PrivateKey(key_in.get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
    const std::unique_ptr<OCSP_BASICRESP, decltype(&OCSP_BASICRESP_free)> basic(OCSP_BASICRESP_new(),
                                                                                &OCSP_BASICRESP_free);
    OCSP_CERTID* id = OCSP_cert_to_id(nullptr, x.get(), x.get());
    ASN1_TIME* from = X509_gmtime_adj(nullptr, -3600);
    ASN1_TIME* until = X509_gmtime_adj(nullptr, valid_until);
    OCSP_basic_add1_status(basic.get(), id, V_OCSP_CERTSTATUS_GOOD, 0, nullptr, from, until);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    OCSP_basic_sign(basic.get(), x.get(), key.get(), EVP_sha256(), nullptr, 0);
    const std::unique_ptr<OCSP_RESPONSE, decltype(&OCSP_RESPONSE_free)> response(
        OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic.get()), &OCSP_RESPONSE_free);
    unsigned char* der = nullptr;
    const int size = i2d_OCSP_RESPONSE(response.get(), &der);
    std::string out(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
    OPENSSL_free(der);
    return out;
}

TEST_F(tls_context_test, OcspResponsesAreStapled) {
    const std::string der = ocsp_response(3600);
    auto with = files.issue("with");
    with.ocsp = files.folder.write("good.ocsp", der);
    const auto without = files.issue("without", {.names = {"DNS:other.example.org"}});
    const auto server = files.server({.certificates = {with, without}});
    EXPECT_THAT(server.warnings(), ElementsAre());
    const auto stapled = [&](const char* name) {
        raw_tls_client c;
        SSL_CTX_set_tlsext_status_type(c.context(), TLSEXT_STATUSTYPE_ocsp);
        c.host = name;
        EXPECT_THAT(run(shake_raw(server, &c)), StartsWith("ok"));
        const unsigned char* got = nullptr;
        const long size = SSL_get_tlsext_status_ocsp_resp(c.ssl(), &got);
        return size < 0 ? ""s : std::string(reinterpret_cast<const char*>(got), static_cast<std::size_t>(size));
    };
    EXPECT_EQ(stapled("example.org"), der);
    EXPECT_EQ(stapled("other.example.org"), "");
    with.ocsp = files.folder.write("old.ocsp", ocsp_response(-60));
    EXPECT_THAT(files.server({.certificates = {with}}).warnings(),
                ElementsAre(with.ocsp + ": the OCSP response has expired"));
}

} // namespace
} // namespace headgate
