#include <headgate/io/client_hello.hpp>

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <openssl/ssl.h>

namespace headgate {
namespace {

using state = client_hello::state;

constexpr std::size_t most = 16 * 1024;

std::string number(std::size_t n, std::size_t bytes) {
    std::string out;
    while (bytes-- != 0) out += static_cast<char>(n >> (8 * bytes));
    return out;
}
std::string vector(std::size_t bytes, const std::string& contents) { return number(contents.size(), bytes) + contents; }

std::string extension(std::size_t type, const std::string& contents) { return number(type, 2) + vector(2, contents); }
std::string name(const std::string& host) { return extension(0, vector(2, number(0, 1) + vector(2, host))); }
std::string record(const std::string& contents) { return "\x16\x03\x01" + vector(2, contents); }
std::string message(const std::string& contents) { return "\x01" + vector(3, contents); }

std::string body(const std::string& extensions) {
    return "\x03\x03" + std::string(32, 'r') + vector(1, std::string(32, 's')) + vector(2, "\x13\x01\x13\x02") +
           vector(1, std::string(1, '\0')) + vector(2, extensions);
}
std::string hello(const std::string& extensions) { return record(message(body(extensions))); }

TEST(client_hello_test, TheNameIsFoundAmongOthers) {
    // With GREASE (RFC 8701) in front and behind.
    const std::string grease =
        extension(0x1a1a, "") + name("db.Example.org") + extension(16, "abc") + extension(0xfafa, "x");
    const client_hello h = read_client_hello(hello(grease), most);
    EXPECT_EQ(h.what, state::complete) << h.reason;
    EXPECT_EQ(h.server_name, "db.Example.org");
}

TEST(client_hello_test, ThereNeedNotBeAName) {
    for (const std::string& extensions : {std::string(), extension(16, "abc")}) {
        const client_hello h = read_client_hello(hello(extensions), most);
        EXPECT_EQ(h.what, state::complete);
        EXPECT_EQ(h.server_name, "");
    }
    std::string old = body("");
    old.resize(old.size() - 2); // of a client without extensions
    EXPECT_EQ(read_client_hello(record(message(old)), most).what, state::complete);
}

// Whatever way it is cut into records, and whatever of it is there.
TEST(client_hello_test, ItMayComeInManyRecordsAndPieces) {
    const std::string whole = message(body(name("a.b")));
    for (std::size_t size = 1; size <= whole.size(); ++size) {
        std::string records;
        for (std::size_t at = 0; at < whole.size(); at += size) records += record(whole.substr(at, size));
        ASSERT_EQ(read_client_hello(records, most).server_name, "a.b") << size;
        ASSERT_EQ(read_client_hello(records + "what follows", most).server_name, "a.b") << size;
        for (std::size_t n = 0; n < records.size(); ++n) {
            const client_hello h = read_client_hello(records.substr(0, n), most);
            ASSERT_EQ(h.what, state::need_more) << size << " " << n;
            ASSERT_GT(h.needed, n);
            ASSERT_LE(h.needed, records.size());
        }
    }
}

TEST(client_hello_test, WhatIsNotTlsIsSaidAtOnce) {
    for (const std::string& text : {std::string("GET / HTTP/1.1\r\n"), std::string("\0\0\0\x08\x04\xd2\x16\x2f", 8),
                                    std::string("SSH-2.0"), std::string("\x16\x02"), std::string("\x80\x2e")})
        EXPECT_EQ(read_client_hello(text, most).what, state::other) << text;
    EXPECT_EQ(read_client_hello("", most).needed, 1u);
    EXPECT_EQ(read_client_hello("\x16", most).needed, 2u);
}

TEST(client_hello_test, WhatIsNotAsItMustBeIsRefused) {
    const std::string good = body(name("a.b"));
    std::string long_session = good;
    long_session[34] = 33;
    const std::vector<std::string> bad{
        record(""),
        "\x16\x03\x01\x40\x01",                           // a record of 16 KiB and one
        record(message(good) + "x"),                      // something behind
        record("\x02" + vector(3, good)),                 // a ServerHello
        record(message(good.substr(0, good.size() - 1))), // cut
        record(message(good + "x")),
        record(message(long_session)),
        record(message("\x02" + good.substr(1))),
        record("\x01") + std::string("\x15\x03\x01\x00\x02\x02\x28", 7), // an alert in the midst
        record("\x01") + "\x16\x02",
        hello(name("a.b") + name("a.b")),
        hello(name("")),
        hello(name("a b")),
        hello(name(std::string("a\0b", 3))),
        hello(name("[::1]")),
        hello(name("*.b")),
        hello(name(std::string(256, 'a'))),
        hello(extension(0, "")),
        hello(extension(0, vector(2, ""))),
        hello(extension(0, vector(2, number(1, 1) + vector(2, "a")))),
        hello(extension(0, vector(2, number(0, 1) + vector(2, "a") + number(0, 1) + vector(2, "b")))),
        hello(extension(0, vector(2, number(0, 1) + vector(2, "a")) + "x")),
        hello(std::string(1, '\0')),
        hello(number(16, 2) + number(5, 2) + "abc"),
    };
    for (std::size_t i = 0; i < bad.size(); ++i) {
        const client_hello h = read_client_hello(bad[i], most);
        EXPECT_EQ(h.what, state::malformed) << i;
        EXPECT_STRNE(h.reason, "") << i;
    }
}

TEST(client_hello_test, ItIsNoLongerThanAllowed) {
    const std::string large = hello(extension(21, std::string(10'000, '\0')) + name("a.b"));
    EXPECT_EQ(read_client_hello(large, most).server_name, "a.b");
    EXPECT_EQ(read_client_hello(large, 10'000).what, state::malformed);
    EXPECT_EQ(read_client_hello(large.substr(0, 9), 10'000).what, state::malformed) << "as soon as it can be told";
    const std::string many = record(message(body(extension(21, std::string(60'000, '\0')))).substr(0, 10));
    EXPECT_EQ(read_client_hello(many, most).what, state::malformed);
}

// What a real client sends.
TEST(client_hello_test, OpenSslIsUnderstood) {
    SSL_CTX* context = SSL_CTX_new(TLS_client_method());
    SSL* ssl = SSL_new(context);
    BIO* out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
    SSL_set_tlsext_host_name(ssl, "www.example.org");
    SSL_set_connect_state(ssl);
    EXPECT_EQ(SSL_do_handshake(ssl), -1);
    std::string sent(10'000, '\0');
    sent.resize(static_cast<std::size_t>(BIO_read(out, sent.data(), static_cast<int>(sent.size()))));
    const client_hello h = read_client_hello(sent, most);
    EXPECT_EQ(h.what, state::complete) << h.reason;
    EXPECT_EQ(h.server_name, "www.example.org");
    SSL_free(ssl);
    SSL_CTX_free(context);
}

} // namespace
} // namespace headgate
