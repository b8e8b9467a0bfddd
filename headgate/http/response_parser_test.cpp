#include <headgate/http/describe.hpp>

#include <algorithm>
#include <memory>
#include <string>

#include <gtest/gtest.h>

namespace headgate::http {
namespace {

using kind = body_framing::kind;

struct parsed {
    explicit parsed(std::string_view text, method request_method = method::get, head_limits limits = {})
        : bytes(std::make_unique<char[]>(text.size())), parser(request_method, limits) {
        std::ranges::copy(text, bytes.get());
        result = parser.parse({bytes.get(), text.size()});
        verdict = describe(parser, result);
    }
    std::unique_ptr<char[]> bytes;
    response_parser parser;
    parse_result result;
    std::string verdict;
};

void expect_same_when_split(std::string_view text, method request_method = method::get) {
    const std::string whole = parsed(text, request_method).verdict;
    response_parser parser;
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
        parser.reset(request_method);
        parser.parse(text.substr(0, cut));
        ASSERT_EQ(describe(parser, parser.parse(text)), whole) << "cut at " << cut << " of " << text;
    }
    parser.reset(request_method);
    for (std::size_t size = 0; size < text.size(); ++size) parser.parse(text.substr(0, size));
    ASSERT_EQ(describe(parser, parser.parse(text)), whole) << text;
}

std::string reply(int status, std::string_view fields) {
    return "HTTP/1.1 " + std::to_string(status) + " Because\r\n" + std::string(fields) + "\r\n";
}

TEST(ResponseParser, Typical) {
    const std::string text = "HTTP/1.1 200 Fine, \"th\xe4nks\"\r\nServer: x\r\nContent-Length: 5\r\n\r\n";
    const parsed p{text + "hello"};
    ASSERT_EQ(p.result.state, parse_state::complete) << p.verdict;
    EXPECT_EQ(p.parser.head().status, 200);
    EXPECT_EQ(p.parser.head().reason, "Fine, \"th\xe4nks\"");
    EXPECT_EQ(p.parser.head().framing, (body_framing{kind::length, 5}));
    EXPECT_EQ(p.parser.head().head_bytes, text.size());
    EXPECT_TRUE(p.parser.head().keep_alive);
    expect_same_when_split(text + "hello");
}

TEST(ResponseParser, StatusLineIsStrict) { // RFC 9112, section 4
    for (const std::string_view line : {
             "",
             " HTTP/1.1 200 OK",
             "http/1.1 200 OK",
             "HTTP/1.1",
             "HTTP/1.1 ",
             "HTTP/1.1 20",
             "HTTP/1.1 20 OK",
             "HTTP/1.1 2000 OK",
             "HTTP/1.1 2x0 OK",
             "HTTP/1.1 +20 OK",
             "HTTP/1.1 -20 OK",
             "HTTP/1.1  200 OK",
             "HTTP/1.1\t200 OK",
             "HTTP/1.1 200\tOK",
             "HTTP/1.1 200OK",
             "HTTP/2.0 200 OK",
             "HTTP/0.9 200 OK",
             "HTTP/2 200",
             "HTTP/11 200 OK",
             "HTTP/1.10 200 OK",
             "HTTP/1.1 099 Low",
             "HTTP/1.1 000 Low",
             "HTTP/1.1 600 High",
             "HTTP/1.1 999 High",
             "ICY 200 OK",
             "<html>",
             "HTTP/1.1 200 O\x01K",
             "HTTP/1.1 200 O\rK",
             "HTTP/1.1 200 OK\n",
         }) {
        const std::string text = std::string(line) + "\r\nContent-Length: 0\r\n\r\n";
        const parsed p{text};
        ASSERT_EQ(p.result.state, parse_state::error) << text;
        EXPECT_EQ(p.result.error.status, 502) << text;
        expect_same_when_split(text);
    }
    for (const std::string_view line :
         {"HTTP/1.1 200 OK", "HTTP/1.1 200 ", "HTTP/1.1 200", "HTTP/1.1 200  a\tb ", "HTTP/1.3 599 x"}) {
        const std::string text = std::string(line) + "\r\nContent-Length: 0\r\n\r\n";
        EXPECT_EQ(parsed(text).result.state, parse_state::complete) << text << parsed(text).verdict;
        expect_same_when_split(text);
    }
    EXPECT_EQ(parsed("HTTP/1.1 200\r\n\r\n").parser.head().reason, "");
    EXPECT_EQ(parsed("HTTP/1.1 200  a\r\n\r\n").parser.head().reason, " a");
}

struct refused {
    std::string text;
    std::string_view field;
};

TEST(ResponseParser, FieldsAreStrict) {
    for (const refused& row : {
             refused{reply(200, "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), "Transfer-Encoding"}, // 6.3
             {reply(200, "Content-Length: 1\r\nContent-Length: 1\r\n"), "Content-Length"},
             {reply(200, "Content-Length: 1, 1\r\n"), "Content-Length"},
             {reply(200, "Content-Length: -1\r\n"), "Content-Length"},
             {reply(304, "Content-Length: x\r\n"), "Content-Length"},
             {reply(200, "Transfer-Encoding: gzip, chunked\r\n"), "Transfer-Encoding"}, // 6.1
             {reply(200, "Transfer-Encoding: xchunked\r\n"), "Transfer-Encoding"},
             {reply(200, "Transfer-Encoding: identity\r\n"), "Transfer-Encoding"},
             {reply(200, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), "Transfer-Encoding"},
             {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding"}, // 6.1
             {reply(200, "X : a\r\n"), ""},                                                  // 5.1
             {reply(200, "X: a\r\n b\r\n"), ""},                                             // 5.2
             {reply(200, "X: a\nY: b\r\n"), "X"},                                            // 2.2
             {reply(200, std::string("X: \0\r\n", 6)), "X"},                                 // RFC 9110, 5.5
             {reply(200, "Connection: a b\r\n"), "Connection"},
         }) {
        const parsed p{row.text};
        ASSERT_EQ(p.result.state, parse_state::error) << row.text << p.verdict;
        EXPECT_EQ(p.result.error.status, 502) << row.text << p.verdict;
        EXPECT_EQ(p.result.error.field, row.field) << row.text << p.verdict;
        expect_same_when_split(row.text);
    }
}

struct framing_row {
    method request;
    std::string text;
    body_framing framing;
    bool keep_alive;
};

TEST(ResponseParser, FramingAndPersistence) { // RFC 9112, sections 6.3 and 9.3
    const std::string length = "Content-Length: 7\r\n";
    const std::string chunked = "Transfer-Encoding: chunked\r\n";
    for (const framing_row& row : {
             framing_row{method::get, reply(200, length), {kind::length, 7}, true},
             {method::get, reply(200, chunked), {kind::chunked, 0}, true},
             {method::get, reply(200, ""), {kind::until_close, 0}, false},
             {method::get, reply(200, "Connection: keep-alive\r\n"), {kind::until_close, 0}, false},
             {method::get, reply(200, length + "Connection: close\r\n"), {kind::length, 7}, false},
             {method::get, "HTTP/1.0 200 OK\r\n" + length + "\r\n", {kind::length, 7}, false},
             {method::get, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + length + "\r\n", {kind::length, 7}, true},
             {method::get, reply(204, ""), {}, true},
             {method::get, reply(204, length), {}, true},
             {method::get, reply(304, length), {}, true},
             {method::get, reply(304, chunked), {}, true},
             {method::get, reply(205, length), {kind::length, 7}, true},
             {method::get, reply(100, ""), {}, true},
             {method::get, reply(103, length), {}, true},
             {method::get, reply(101, "Upgrade: a\r\nConnection: upgrade\r\n"), {}, false},
             {method::head, reply(200, length), {}, true},
             {method::head, reply(200, chunked), {}, true},
             {method::head, reply(200, ""), {}, true},
             {method::connect, reply(200, ""), {}, false},
             {method::connect, reply(299, length + chunked), {}, false},
             {method::connect, reply(407, length), {kind::length, 7}, true},
             {method::other, reply(200, length), {kind::length, 7}, true},
         }) {
        const parsed p{row.text, row.request};
        ASSERT_EQ(p.result.state, parse_state::complete) << row.text << p.verdict;
        EXPECT_EQ(p.parser.head().framing, row.framing) << method_name(row.request) << "\n" << row.text << p.verdict;
        EXPECT_EQ(p.parser.head().keep_alive, row.keep_alive) << method_name(row.request) << "\n" << row.text;
        expect_same_when_split(row.text, row.request);
    }
}

TEST(ResponseParser, InterimThenFinal) {
    const std::string interim = reply(103, "Link: </a>\r\n");
    const std::string bytes = interim + reply(200, "Content-Length: 0\r\n");
    response_parser parser{method::get};
    ASSERT_EQ(parser.parse(bytes).state, parse_state::complete);
    EXPECT_TRUE(parser.head().informational());
    ASSERT_EQ(parser.head().head_bytes, interim.size());
    parser.reset(method::get);
    ASSERT_EQ(parser.parse(std::string_view{bytes}.substr(interim.size())).state, parse_state::complete);
    EXPECT_EQ(parser.head().status, 200);
    EXPECT_EQ(parser.head().headers.size(), 1u);
}

TEST(ResponseParser, SwitchingProtocols) {
    EXPECT_TRUE(parsed(reply(101, "Upgrade: websocket\r\nConnection: Upgrade\r\n")).parser.head().upgrade);
}

TEST(ResponseParser, Limits) {
    const head_limits limits{.head_bytes_max = 60, .request_line_max = 30};
    EXPECT_EQ(parsed(reply(200, ""), method::get, limits).result.state, parse_state::complete);
    EXPECT_EQ(parsed("HTTP/1.1 200 " + std::string(20, 'x'), method::get, limits).result.error.status, 502);
    EXPECT_EQ(parsed(reply(200, "X: " + std::string(60, 'x')), method::get, limits).result.error.status, 502);
    EXPECT_EQ(parsed(reply(200, "X: y\r\nX: z\r\n"), method::get, {.headers_max = 1}).result.error.status, 502);
}

} // namespace
} // namespace headgate::http
