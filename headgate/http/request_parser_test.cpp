#include <headgate/http/describe.hpp>

#include <algorithm>
#include <memory>
#include <string>

#include <gtest/gtest.h>

namespace headgate::http {
namespace {

// Parses from a block of exactly this size, so that a read past the end is seen by AddressSanitizer.
struct parsed {
    explicit parsed(std::string_view text, head_limits limits = {})
        : bytes(std::make_unique<char[]>(text.size())), parser(limits) {
        std::ranges::copy(text, bytes.get());
        result = parser.parse({bytes.get(), text.size()});
        verdict = describe(parser, result);
    }
    std::unique_ptr<char[]> bytes;
    request_parser parser;
    parse_result result;
    std::string verdict;
};

// The verdict on the same bytes cut in two at every position, and byte by byte, must be the same as on the whole.
void expect_same_when_split(std::string_view text, head_limits limits = {}) {
    const std::string whole = parsed(text, limits).verdict;
    request_parser parser{limits};
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
        parser.reset();
        parser.parse(text.substr(0, cut));
        ASSERT_EQ(describe(parser, parser.parse(text)), whole) << "cut at " << cut << " of " << text;
    }
    parser.reset();
    for (std::size_t size = 0; size < text.size(); ++size) parser.parse(text.substr(0, size));
    ASSERT_EQ(describe(parser, parser.parse(text)), whole) << text;
}

std::string get(std::string_view fields) {
    return std::string("GET / HTTP/1.1\r\nHost: a\r\n").append(fields).append("\r\n");
}

const std::string browser = "GET /assets/app.js?v=3&x[]=1 HTTP/1.1\r\n"
                            "Host: shop.example.com:8443\r\n"
                            "Connection: keep-alive\r\n"
                            "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0)\r\n"
                            "Accept: */*\r\n"
                            "Cookie: a=b; c=\"d e\"\r\n"
                            "X-Empty:\r\n"
                            "X-Space: \t padded \t \r\n"
                            "X-Obs: caf\xe9\tau lait\r\n"
                            "\r\n";

TEST(RequestParser, Browser) {
    const parsed p{browser + "surplus"};
    ASSERT_EQ(p.result.state, parse_state::complete);
    const request_head& head = p.parser.head();
    EXPECT_EQ(head.method, method::get);
    EXPECT_EQ(head.method_text, "GET");
    EXPECT_EQ(head.target, "/assets/app.js?v=3&x[]=1");
    EXPECT_EQ(head.path, "/assets/app.js");
    EXPECT_EQ(head.query, "?v=3&x[]=1");
    EXPECT_EQ(head.authority.host, "shop.example.com");
    EXPECT_EQ(head.authority.port, 8443);
    EXPECT_EQ(head.minor_version, 1);
    EXPECT_EQ(head.head_bytes, browser.size());
    EXPECT_EQ(head.framing, body_framing{});
    EXPECT_TRUE(head.keep_alive);
    ASSERT_EQ(head.headers.size(), 8u);
    EXPECT_EQ(head.headers[2].name, "User-Agent");
    EXPECT_EQ(head.headers[2].id, field::user_agent);
    EXPECT_EQ(head.value(field::accept), "*/*");
    EXPECT_EQ(head.find("x-empty")->value, "");
    EXPECT_EQ(head.find("x-space")->value, "padded");
    EXPECT_EQ(head.find("x-obs")->value, "caf\xe9\tau lait");
}

TEST(RequestParser, ValidHeadsAreTheSameHoweverTheyAreCut) {
    for (const std::string& text : {
             browser,
             browser + "surplus",
             std::string("\r\n") + browser,
             std::string("GET / HTTP/1.0\r\n\r\n"),
             std::string("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
             std::string("CONNECT [::1]:443 HTTP/1.1\r\nHost: x\r\n\r\n"),
             std::string("GET http://a.example:81/x?y HTTP/1.1\r\nHost: b\r\n\r\n"),
             get("Transfer-Encoding: chunked\r\nTrailer: x\r\nExpect: 100-continue\r\n"),
             get("Content-Length: 9\r\nConnection: X-A, close,x-b\r\nX-A: 1\r\nx-B: 2\r\n"),
             get("Upgrade: websocket\r\nConnection: Upgrade\r\n"),
         }) {
        ASSERT_EQ(parsed(text).result.state, parse_state::complete) << text << parsed(text).verdict;
        expect_same_when_split(text);
    }
}

struct refused {
    int status;
    std::string_view section; // RFC 9112 unless it says otherwise
    std::string text;
    std::string_view field = "";
};

TEST(RequestParser, RequestLineIsStrict) {
    for (const refused& row : {
             refused{400, "2.2", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "2.2", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "2.2", "GET / HTTP/1.1\nHost: a\n\n"},
             {400, "2.2", "GET / HTTP/1.1\n\nHost: a\r\n\r\n"},
             {400, "2.2", "GET / HTTP/1.1\x01\nHost: a\r\n\r\n"},
             {400, "2.2", "GET / HTTP/1.1\r\rHost: a\r\n\r\n"},
             {400, "2.2", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "2.3", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"},
             {400, "2.3", "GET / http/1.1\r\nHost: a\r\n\r\n"},
             {400, "2.3", "GET / HTTP/1\r\nHost: a\r\n\r\n"},
             {400, "2.3", "GET / HTTP/1.\r\nHost: a\r\n\r\n"},
             {400, "2.3", "GET / HTTP/1.10\r\nHost: a\r\n\r\n"},
             {400, "2.3", "GET / HTTP/01.1\r\nHost: a\r\n\r\n"},
             {400, "2.3", "GET / HTTP/+1.1\r\nHost: a\r\n\r\n"},
             {400, "2.3", "GET / HTTPS/1.1\r\nHost: a\r\n\r\n"},
             {400, "2.3", "GET / HTTP/a.1\r\nHost: a\r\n\r\n"},
             {400, "2.3", "GET / HTTP/1,1\r\nHost: a\r\n\r\n"},
             {505, "RFC 9110, 15.6.6", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"},
             {505, "RFC 9110, 15.6.6", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
             {505, "RFC 9110, 15.6.6", "GET / HTTP/0.9\r\n\r\n"},
             {505, "RFC 9110, 15.6.6", "GET / HTTP/3.1\r\n\r\n"},
             {400, "3", "GET /\r\n\r\n"},
             {400, "3", "GET\r\n\r\n"},
             {400, "3", "GET \r\n\r\n"},
             {400, "3", " GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3", "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3", "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.1", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.1", "G\xc3\xa9T / HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.1", "GET: / HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2", "GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2", "GET /\"a\" HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2", "GET /<a> HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2", "GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2", "GET /caf\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2", "GET /?caf\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2", std::string("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 28)},
             {400, "3.2", "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2", "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2", "GET a HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2", "GET a.example:80 HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2", "GET ?a HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2.2", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2.2", "GET http:/a/ HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2.2", "GET http: HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "RFC 9110, 4.2.1", "GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "RFC 9110, 4.2.1", "GET http://:80/a HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "RFC 9110, 4.2.4", "GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "RFC 9110, 4.2.4", "GET http://user:pw@a/ HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2.2", "GET http://a:99999/ HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2.2", "GET http://a\\b/ HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2.2", "GET http://a#b HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2.2", "GET http://a?b#c HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2.3", "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2.3", "CONNECT a: HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2.3", "CONNECT a:0 HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2.3", "CONNECT :80 HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2.3", "CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2.3", "CONNECT * HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2.3", "CONNECT http://a:80 HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2.3", "CONNECT a:80/ HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2.3", "CONNECT u@a:80 HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2.4", "GET * HTTP/1.1\r\nHost: a\r\n\r\n"},
             {400, "3.2.4", "OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n"},
         }) {
        const parsed p{row.text};
        ASSERT_EQ(p.result.state, parse_state::error) << row.section << ": " << row.text;
        EXPECT_EQ(p.result.error.status, row.status) << row.section << ": " << row.text << p.verdict;
        EXPECT_LE(p.result.error.offset, row.text.size());
        expect_same_when_split(row.text);
    }
}

TEST(RequestParser, FieldsAreStrict) {
    for (const refused& row : {
             // field lines
             refused{400, "2.2", get("X: a\nY: b\r\n"), "X"},
             {400, "2.2", get("X: a\r\r\n"), "X"},
             {400, "2.2", get("X: a\n\nY: b\r\n"), "X"},
             {400, "RFC 9110, 5.5", get("X: a\x01\nY: b\r\n"), "X"},
             {400, "2.2", get("X: a\rb\r\n"), "X"},
             {400, "2.2", "GET / HTTP/1.1\r\nHost: a\r\n\n"},
             {400, "2.2", "GET / HTTP/1.1\r\nHost: a\r\n\rX"},
             {400, "2.2", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"},
             {400, "5.2", get("X: a\r\n folded\r\n")},
             {400, "5.2", get("X: a\r\n\tfolded\r\n")},
             {400, "5.2", get(" \r\n")},
             {400, "5.1", get("X : a\r\n")},
             {400, "5.1", get("X\t: a\r\n")},
             {400, "5.1", get("Content-Length : 1\r\n")},
             {400, "5", get("X\r\n")},
             {400, "5", get("Content-Length 1\r\n")},
             {400, "RFC 9110, 5.1", get(": a\r\n")},
             {400, "RFC 9110, 5.6.2", get("X(y): a\r\n")},
             {400, "RFC 9110, 5.6.2", get("X Y: a\r\n")},
             {400, "RFC 9110, 5.6.2", get("\"X\": a\r\n")},
             {400, "RFC 9110, 5.6.2", get("X\xe9: a\r\n")},
             {400, "RFC 9110, 5.6.2", get(std::string("X\0: a\r\n", 7))},
             {400, "RFC 9110, 5.6.2", get("X\x7f: a\r\n")},
             {400, "RFC 9110, 5.5", get(std::string("X: \0\r\n", 6)), "X"},
             {400, "RFC 9110, 5.5", get("X: \x01\r\n"), "X"},
             {400, "RFC 9110, 5.5", get("X: a\x1b\r\n"), "X"},
             {400, "RFC 9110, 5.5", get("X: \x7f\r\n"), "X"},
             {400, "RFC 9110, 5.5", get("X: \x0b\r\n"), "X"},
             // Host
             {400, "3.2", "GET / HTTP/1.1\r\n\r\n", "Host"},
             {400, "3.2", "GET / HTTP/1.7\r\n\r\n", "Host"},
             {400, "3.2", "GET http://a/ HTTP/1.1\r\n\r\n", "Host"},
             {400, "3.2", "CONNECT a:80 HTTP/1.1\r\n\r\n", "Host"},
             {400, "3.2", get("Host: a\r\n"), "Host"},
             {400, "3.2", get("hOST: b\r\n"), "hOST"},
             {400, "3.2", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "Host"},
             {400, "3.2", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "Host"},
             {400, "3.2", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "Host"},
             {400, "3.2", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "Host"},
             {400, "3.2", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "Host"},
             {400, "3.2", "GET / HTTP/1.1\r\nHost: a:port\r\n\r\n", "Host"},
             {400, "3.2", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "Host"},
             {400, "3.2", "GET http://a/ HTTP/1.1\r\nHost: u@a\r\n\r\n", "Host"},
             {400, "3.2", "GET / HTTP/1.0\r\nHost: /\r\n\r\n", "Host"},
             // Content-Length (RFC 9112, section 6.3; RFC 9110, section 8.6)
             {400, "6.3", get("Content-Length:\r\n"), "Content-Length"},
             {400, "6.3", get("Content-Length: +1\r\n"), "Content-Length"},
             {400, "6.3", get("Content-Length: -1\r\n"), "Content-Length"},
             {400, "6.3", get("Content-Length: 0x1\r\n"), "Content-Length"},
             {400, "6.3", get("Content-Length: 1a\r\n"), "Content-Length"},
             {400, "6.3", get("Content-Length: 1 1\r\n"), "Content-Length"},
             {400, "6.3", get("Content-Length: 1.0\r\n"), "Content-Length"},
             {400, "6.3", get("Content-Length: 1,1\r\n"), "Content-Length"},
             {400, "6.3", get("Content-Length: 1, 2\r\n"), "Content-Length"},
             {400, "6.3", get("Content-Length: ,1\r\n"), "Content-Length"},
             {400, "6.3", get("Content-Length: \xb2\r\n"), "Content-Length"},
             {400, "6.3", get("Content-Length: 9223372036854775808\r\n"), "Content-Length"},
             {400, "6.3", get("Content-Length: 18446744073709551617\r\n"), "Content-Length"},
             {400, "6.3", get("Content-Length: 99999999999999999999999\r\n"), "Content-Length"},
             {400, "6.3", get("Content-Length: 1\r\ncontent-length: 1\r\n"), "content-length"},
             {400, "6.3", get("Content-Length: 1\r\nContent-Length: 2\r\n"), "Content-Length"},
             // Transfer-Encoding
             {400, "6.3", get("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), "Transfer-Encoding"},
             {400, "6.3", get("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"), "Content-Length"},
             {400, "6.1", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding"},
             {400, "6.1", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
              "Transfer-Encoding"},
             {400, "6.3", get("Transfer-Encoding: xchunked\r\n"), "Transfer-Encoding"},
             {400, "6.3", get("Transfer-Encoding: chunkedx\r\n"), "Transfer-Encoding"},
             {400, "6.3", get("Transfer-Encoding: identity\r\n"), "Transfer-Encoding"},
             {400, "6.3", get("Transfer-Encoding: gzip\r\n"), "Transfer-Encoding"},
             {400, "6.3", get("Transfer-Encoding: chunked, gzip\r\n"), "Transfer-Encoding"},
             {400, "6.3", get("Transfer-Encoding: chunked, identity\r\n"), "Transfer-Encoding"},
             {400, "6.1", get("Transfer-Encoding: chunked, chunked\r\n"), "Transfer-Encoding"},
             {400, "6.1", get("Transfer-Encoding: gzip, chunked, chunked\r\n"), "Transfer-Encoding"},
             {400, "6.3", get("Transfer-Encoding: chunked;q=1\r\n"), "Transfer-Encoding"},
             {400, "6.3", get("Transfer-Encoding: \"chunked\"\r\n"), "Transfer-Encoding"},
             {400, "6.3", get("Transfer-Encoding: chunked,\r\n"), "Transfer-Encoding"},
             {400, "6.3", get("Transfer-Encoding: gzip, chunked,\r\n"), "Transfer-Encoding"},
             {400, "6.3", get("Transfer-Encoding: ,chunked\r\n"), "Transfer-Encoding"},
             {400, "6.3", get("Transfer-Encoding:\r\n"), "Transfer-Encoding"},
             {400, "6.3", get("Transfer-Encoding: chunked foo\r\n"), "Transfer-Encoding"},
             {400, "6.3", get("Transfer-Encoding: chun\tked\r\n"), "Transfer-Encoding"},
             {400, "6.3", get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), "Transfer-Encoding"},
             {400, "6.3", get("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"), "Transfer-Encoding"},
             {501, "6.1", get("Transfer-Encoding: gzip, chunked\r\n"), "Transfer-Encoding"},
             {501, "6.1", get("Transfer-Encoding: foo;bar=1, Chunked\r\n"), "Transfer-Encoding"},
             // Connection
             {400, "RFC 9110, 7.6.1", get("Connection: close;now\r\n"), "Connection"},
             {400, "RFC 9110, 7.6.1", get("Connection: keep alive\r\n"), "Connection"},
         }) {
        const parsed p{row.text};
        ASSERT_EQ(p.result.state, parse_state::error) << row.section << ": " << row.text << p.verdict;
        EXPECT_EQ(p.result.error.status, row.status) << row.section << ": " << row.text << p.verdict;
        EXPECT_EQ(p.result.error.field, row.field) << row.section << ": " << row.text << p.verdict;
        EXPECT_NE(std::string_view{p.result.error.reason}.size(), 0u);
        EXPECT_LE(p.result.error.offset, row.text.size());
        expect_same_when_split(row.text);
    }
}

TEST(RequestParser, ErrorsSayWhatIsWrong) {
    const auto reason = [](std::string_view fields) {
        return std::string_view{parsed(get(fields)).result.error.reason};
    };
    EXPECT_TRUE(reason("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n").contains("exclude each other"));
    EXPECT_TRUE(reason("Content-Length: 1\r\nContent-Length: 1\r\n").contains("sent once"));
    EXPECT_TRUE(reason("X : a\r\n").contains("before its colon"));
    EXPECT_TRUE(reason("X: a\r\n b\r\n").contains("on one line"));
    EXPECT_TRUE(reason("X: a\nY: b\r\n").starts_with("bare LF"));
    EXPECT_TRUE(reason("X: a\rb\r\n").starts_with("bare CR"));
}

TEST(RequestParser, ErrorsPointAtTheByte) {
    EXPECT_EQ(parsed("GET /a\"b HTTP/1.1\r\n\r\n").result.error.offset, 6u);
    EXPECT_EQ(parsed("GET / HTTP/2.0\r\n\r\n").result.error.offset, 6u);
    EXPECT_EQ(parsed("GET / HTTP/1.1\r\nA\x01: b\r\n\r\n").result.error.offset, 17u);
    EXPECT_EQ(parsed("GET / HTTP/1.1\r\nAb : b\r\n\r\n").result.error.offset, 18u);
    EXPECT_EQ(parsed("GET / HTTP/1.1\r\nHost: a\r\nContent-Length:  x\r\n\r\n").result.error.offset, 42u);
}

TEST(RequestParser, BadBytesAreRefusedWithoutWaitingForTheLine) {
    EXPECT_EQ(parsed("\x16\x03\x01").result.state, parse_state::error); // a TLS ClientHello
    EXPECT_EQ(parsed(std::string_view("GET /\0", 6)).result.state, parse_state::error);
    EXPECT_EQ(parsed("").result.state, parse_state::need_more);
    EXPECT_EQ(parsed("GET / HTTP/1.1\r").result.state, parse_state::need_more);
}

TEST(RequestParser, LaterMinorVersionsCountAsOne) { // RFC 9110, section 2.5
    EXPECT_EQ(parsed("GET / HTTP/1.9\r\nHost: a\r\n\r\n").parser.head().minor_version, 1);
    EXPECT_TRUE(parsed("GET / HTTP/1.9\r\nHost: a\r\n\r\n").parser.head().keep_alive);
}

struct target_row {
    std::string_view request;
    target_form form;
    std::string_view path, query, scheme, host;
    int port;
};

TEST(RequestParser, TargetForms) { // RFC 9112, section 3.2
    using enum target_form;
    for (const target_row& row : {
             target_row{"GET /", origin, "/", "", "", "h", 0},
             {"GET //a//b", origin, "//a//b", "", "", "h", 0},
             {"GET /a?", origin, "/a", "?", "", "h", 0},
             {"GET /a?b?c=/d\\e", origin, "/a", "?b?c=/d\\e", "", "h", 0},
             {"GET /[]{}|^`%zz!$&'()*+,;=:@-._~", origin, "/[]{}|^`%zz!$&'()*+,;=:@-._~", "", "", "h", 0},
             {"OPTIONS /a", origin, "/a", "", "", "h", 0},
             {"OPTIONS *", asterisk, "*", "", "", "h", 0},
             {"OPTIONS http://a", absolute, "*", "", "http", "a", 0},
             {"OPTIONS http://a/", absolute, "/", "", "http", "a", 0},
             {"OPTIONS http://a?b", absolute, "/", "?b", "http", "a", 0},
             {"GET http://a", absolute, "/", "", "http", "a", 0},
             {"GET HTTPS://A:444?q", absolute, "/", "?q", "HTTPS", "A", 444},
             {"GET http://[::1]:8/p?q=http://x", absolute, "/p", "?q=http://x", "http", "[::1]", 8},
             {"CONNECT a.example:443", authority, "", "", "", "a.example", 443},
             {"PURGE /x", origin, "/x", "", "", "h", 0},
         }) {
        const std::string text = std::string(row.request) + " HTTP/1.1\r\nHost: h\r\n\r\n";
        const parsed p{text};
        ASSERT_EQ(p.result.state, parse_state::complete) << text << p.verdict;
        const request_head& head = p.parser.head();
        EXPECT_EQ(head.form, row.form) << text;
        EXPECT_EQ(head.path, row.path) << text;
        EXPECT_EQ(head.query, row.query) << text;
        EXPECT_EQ(head.scheme, row.scheme) << text;
        EXPECT_EQ(head.authority.host, row.host) << text;
        EXPECT_EQ(head.authority.port, row.port) << text;
        expect_same_when_split(text);
    }
}

TEST(RequestParser, Http10NeedsNoHost) {
    const parsed p{"GET / HTTP/1.0\r\n\r\n"};
    ASSERT_EQ(p.result.state, parse_state::complete);
    EXPECT_TRUE(p.parser.head().authority.empty());
}

TEST(RequestParser, Framing) { // RFC 9112, section 6.3
    using kind = body_framing::kind;
    EXPECT_EQ(parsed(get("")).parser.head().framing, (body_framing{kind::none, 0}));
    EXPECT_FALSE(parsed(get("Content-Length: 0\r\n")).parser.head().framing.has_body());
    EXPECT_EQ(parsed(get("Content-Length: 0\r\n")).parser.head().framing, (body_framing{kind::length, 0}));
    EXPECT_EQ(parsed(get("Content-Length: 007\r\n")).parser.head().framing, (body_framing{kind::length, 7}));
    EXPECT_EQ(parsed(get("content-length:\t9223372036854775807 \r\n")).parser.head().framing,
              (body_framing{kind::length, 9223372036854775807u}));
    EXPECT_EQ(parsed(get("Transfer-Encoding: chunked\r\n")).parser.head().framing, (body_framing{kind::chunked, 0}));
    EXPECT_EQ(parsed(get("TRANSFER-ENCODING:CHUNKED\r\n")).parser.head().framing, (body_framing{kind::chunked, 0}));
}

TEST(RequestParser, Persistence) { // RFC 9112, section 9.3
    const auto stays = [](std::string_view version, std::string_view fields) {
        const parsed p{
            std::string("GET / HTTP/").append(version).append("\r\nHost: a\r\n").append(fields).append("\r\n")};
        EXPECT_EQ(p.result.state, parse_state::complete) << p.verdict;
        return p.parser.head().keep_alive;
    };
    EXPECT_TRUE(stays("1.1", ""));
    EXPECT_TRUE(stays("1.1", "Connection: keep-alive\r\n"));
    EXPECT_FALSE(stays("1.1", "Connection: close\r\n"));
    EXPECT_FALSE(stays("1.1", "Connection: CLOSE\r\n"));
    EXPECT_FALSE(stays("1.1", "Connection: keep-alive, close\r\n"));
    EXPECT_FALSE(stays("1.1", "Connection: keep-alive\r\nConnection: ,, close ,\r\n"));
    EXPECT_TRUE(stays("1.1", "Connection: closed\r\n"));
    EXPECT_TRUE(stays("1.1", "Connection:\r\n"));
    EXPECT_FALSE(stays("1.0", ""));
    EXPECT_TRUE(stays("1.0", "Connection: Keep-Alive\r\n"));
    EXPECT_FALSE(stays("1.0", "Connection: keep-alive, close\r\n"));
    EXPECT_FALSE(stays("1.0", "Keep-Alive: timeout=5\r\n"));
}

TEST(RequestParser, FieldsNamedByConnectionAreHopByHop) { // RFC 9110, section 7.6.1
    const parsed p{
        get("Connection: X-One, x-two , Content-Length, Host, Cookie\r\nX-TWO: a\r\nX-Three: b\r\nX-One: c\r\n"
            "Cookie: d\r\nX-One: e\r\nContent-Length: 0\r\nTE: trailers\r\n")};
    ASSERT_EQ(p.result.state, parse_state::complete) << p.verdict;
    const request_head& head = p.parser.head();
    std::string hops;
    for (std::size_t i = 0; i < head.headers.size(); ++i) hops += head.hop_by_hop(i) ? '1' : '0';
    EXPECT_EQ(hops, "0110101"
                    "01");
}

TEST(RequestParser, EndToEndFieldsStayWhateverConnectionSays) { // RFC 9110, section 7.6.1
    for (const std::string_view name : {"Authorization", "cookie", "X-Forwarded-For", "x-forwarded-port",
                                        "X-FORWARDED-ANYTHING", "X-Real-IP", "Forwarded", "Via", "Cache-Control"}) {
        const parsed p{get("Connection: " + std::string(name) + "\r\n" + std::string(name) + ": a\r\n")};
        ASSERT_EQ(p.result.state, parse_state::complete) << p.verdict;
        EXPECT_FALSE(p.parser.head().hop_by_hop(2)) << name;
    }
    for (const std::string_view name : {"X-Forwarded", "X-Forwarde-Port", "X-Hop"}) {
        const parsed p{get("Connection: " + std::string(name) + "\r\n" + std::string(name) + ": a\r\n")};
        EXPECT_TRUE(p.parser.head().hop_by_hop(2)) << name;
    }
}

TEST(RequestParser, Upgrade) { // RFC 9110, section 7.8
    EXPECT_TRUE(parsed(get("Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n")).parser.head().upgrade);
    EXPECT_FALSE(parsed(get("Upgrade: websocket\r\n")).parser.head().upgrade);
    EXPECT_FALSE(parsed(get("Connection: upgrade\r\n")).parser.head().upgrade);
    EXPECT_FALSE(parsed("GET / HTTP/1.0\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n").parser.head().upgrade);
}

TEST(RequestParser, Expect) { // RFC 9110, section 10.1.1
    EXPECT_TRUE(parsed(get("Content-Length: 1\r\nExpect: 100-Continue\r\n")).parser.head().expect_continue);
    EXPECT_TRUE(parsed(get("Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n")).parser.head().expect_continue);
    EXPECT_FALSE(parsed(get("Expect: 100-continue\r\n")).parser.head().expect_continue);
    EXPECT_FALSE(parsed(get("Content-Length: 1\r\nExpect: 200-ok\r\n")).parser.head().expect_continue);
    EXPECT_FALSE(
        parsed("POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n").parser.head().expect_continue);
}

TEST(RequestParser, RequestLineLimit) { // RFC 9112, section 3: 414
    const head_limits limits{.request_line_max = 64};
    const auto with_line = [](std::size_t size) {
        return "GET /" + std::string(size - 16, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n";
    };
    EXPECT_EQ(parsed(with_line(64), limits).result.state, parse_state::complete);
    EXPECT_EQ(parsed("\r\n" + with_line(64), limits).result.state, parse_state::complete);
    EXPECT_EQ(parsed(with_line(65), limits).result.error.status, 414);
    EXPECT_EQ(parsed("GET /" + std::string(59, 'a'), limits).result.error.status, 414);
    EXPECT_EQ(parsed("GET /" + std::string(58, 'a'), limits).result.state, parse_state::need_more);
    for (const std::size_t size : {64, 65, 66}) expect_same_when_split(with_line(size), limits);
    expect_same_when_split(with_line(70).replace(66, 1, "\x01"), limits);
}

TEST(RequestParser, HeadLimit) { // RFC 6585, section 5: 431
    const head_limits limits{.head_bytes_max = 100};
    const auto of_size = [](std::size_t size) {
        const std::string text = get("X-Big: ");
        return text.substr(0, text.size() - 2) + std::string(size - text.size() - 2, 'b') + "\r\n\r\n";
    };
    ASSERT_EQ(of_size(100).size(), 100u);
    EXPECT_EQ(parsed(of_size(100), limits).result.state, parse_state::complete);
    EXPECT_EQ(parsed(of_size(101), limits).result.error.status, 431);
    EXPECT_EQ(parsed(of_size(130), limits).result.error.status, 431);
    EXPECT_EQ(parsed(of_size(130), limits).result.error.field, "X-Big");
    for (const std::size_t size : {100, 101, 102, 103, 104, 130}) expect_same_when_split(of_size(size), limits);
    for (std::size_t max = 0; max < 60; ++max)
        expect_same_when_split("\r\n" + get("A: b\r\n"), {.head_bytes_max = max});
}

TEST(RequestParser, HeaderCountLimit) {
    const auto with = [](int count) {
        std::string fields;
        for (int i = 1; i < count; ++i) fields += "X-" + std::to_string(i) + ": a\r\n";
        return get(fields);
    };
    EXPECT_EQ(parsed(with(100)).result.state, parse_state::complete);
    EXPECT_EQ(parsed(with(101)).result.error.status, 431);
    EXPECT_EQ(parsed(with(101)).result.error.field, "X-100");
    EXPECT_EQ(parsed(with(128), {.headers_max = 1000}).result.state, parse_state::complete);
    EXPECT_EQ(parsed(with(129), {.headers_max = 1000}).result.error.status, 431);
}

TEST(RequestParser, ConnectionOptionLimit) {
    EXPECT_EQ(parsed(get("Connection: a,b,c\r\nConnection: d\r\n"), {.connection_options_max = 4}).result.state,
              parse_state::complete);
    EXPECT_EQ(parsed(get("Connection: a,b,c\r\nConnection: d,\r\n"), {.connection_options_max = 3}).result.error.field,
              "Connection");
    EXPECT_EQ(parsed(get("Connection: " + std::string(100, ',') + "\r\n")).result.error.status, 400);
}

TEST(RequestParser, ManyHeadsWithOneParser) {
    const std::string first = get("Content-Length: 3\r\nConnection: X, close\r\nX: y\r\nUpgrade: z\r\n");
    const std::string second = "OPTIONS * HTTP/1.1\r\nHost: b\r\nX: y\r\n\r\n";
    request_parser parser;
    parser.parse(first);
    parser.reset();
    const std::string again = describe(parser, parser.parse(second));
    EXPECT_EQ(again, parsed(second).verdict);
    EXPECT_EQ(describe(parser, parser.parse(second)), again) << "the verdict stays until reset";
    parser.reset();
    parser.parse("GET / HTTP/5.0\r\n\r\n");
    EXPECT_EQ(parser.parse("GET / HTTP/5.0\r\n\r\n").error.status, 505);
    parser.reset();
    EXPECT_EQ(parser.parse(second).state, parse_state::complete);
}

TEST(RequestParser, WorkIsLinearForADribble) {
    const std::string long_line = get("X: " + std::string(15000, 'x') + "\r\n");
    std::string short_lines;
    for (int i = 0; i < 90; ++i) short_lines += "X-" + std::to_string(i) + ": " + std::string(150, 'y') + "\r\n";
    for (const std::string& text : {long_line, get(short_lines)}) {
        request_parser parser;
        for (std::size_t size = 0; size < text.size(); ++size)
            ASSERT_EQ(parser.parse(std::string_view{text}.substr(0, size)).state, parse_state::need_more);
        ASSERT_EQ(parser.parse(text).state, parse_state::complete);
        EXPECT_LE(parser.bytes_examined(), 3 * text.size());
        EXPECT_GE(parser.bytes_examined(), text.size() / 2);
    }
}

} // namespace
} // namespace headgate::http
