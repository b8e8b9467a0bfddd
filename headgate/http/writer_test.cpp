#include <headgate/http/describe.hpp>
#include <headgate/http/writer.hpp>

#include <array>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace headgate::http {
namespace {

using fault = head_writer::fault;

template <class Fill>
std::string written(Fill fill) {
    std::array<char, 512> out;
    head_writer writer{out};
    fill(writer);
    const std::size_t size = writer.end();
    EXPECT_EQ(size == 0, writer.failed_with() != fault::none);
    return {out.data(), size};
}

TEST(Writer, Request) {
    EXPECT_EQ(written([](head_writer& w) {
                  w.request_line("GET", "/a", "?b");
                  w.add(field::host, "example.com");
                  w.add("X-Key", "a\tb \xe9");
                  w.add(header{"accept", "*/*", field::accept});
                  w.add("X-Empty", "");
                  w.add(field::age, std::uint64_t{0});
                  w.add(body_framing{body_framing::kind::length, 18446744073709551615u});
              }),
              "GET /a?b HTTP/1.1\r\nHost: example.com\r\nX-Key: a\tb \xe9\r\naccept: */*\r\nX-Empty: \r\nAge: 0\r\n"
              "Content-Length: 18446744073709551615\r\n\r\n");
}

TEST(Writer, Response) {
    EXPECT_EQ(written([](head_writer& w) {
                  w.status_line(404);
                  w.add(body_framing{body_framing::kind::chunked, 0});
                  w.add(body_framing{});
                  w.add(body_framing{body_framing::kind::until_close, 0});
              }),
              "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n");
    EXPECT_EQ(written([](head_writer& w) { w.status_line(599, ""); }), "HTTP/1.1 599 \r\n\r\n");
}

TEST(Writer, NothingThatBreaksTheMessageIsWritten) {
    const auto refused = [](auto fill) {
        std::array<char, 512> out;
        head_writer writer{out};
        fill(writer);
        writer.add(field::server, "x");
        return writer.end() == 0 && writer.failed_with() == fault::refused;
    };
    for (const std::string_view target : {"", "/a b", "/a\r\nX: y", "/a#b", "/\xe9"}) {
        EXPECT_TRUE(refused([=](head_writer& w) { w.request_line("GET", target); })) << target;
        if (!target.empty()) {
            EXPECT_TRUE(refused([=](head_writer& w) { w.request_line("GET", "/", target); })) << target;
        }
    }
    for (const std::string_view name : {"", "A B", "A:", "A\r\nB", "A\n", "A\xe9"}) {
        EXPECT_TRUE(refused([=](head_writer& w) { w.add(name, "x"); })) << name;
        EXPECT_TRUE(refused([=](head_writer& w) { w.add(header{name, "x", field::host}); })) << name;
        EXPECT_TRUE(refused([=](head_writer& w) { w.request_line(name, "/"); })) << name;
    }
    EXPECT_TRUE(refused([](head_writer& w) { w.add(field::other, "x"); }));
    EXPECT_TRUE(refused([](head_writer& w) { w.status_line(99); }));
    EXPECT_TRUE(refused([](head_writer& w) { w.status_line(600); }));
    EXPECT_TRUE(refused([](head_writer& w) { w.status_line(200, "a\r\nb"); }));
}

TEST(Writer, ControlsInValuesAreSeenAtEveryPosition) {
    for (std::size_t size = 0; size < 50; ++size) {
        const std::string good(size, 'a');
        EXPECT_EQ(written([&](head_writer& w) { w.add(field::via, good); }), "Via: " + good + "\r\n\r\n");
        for (std::size_t at = 0; at < size; ++at) {
            for (const char c : {'\r', '\n', '\0', '\x1f', '\x7f'}) {
                std::string bad = good;
                bad[at] = c;
                ASSERT_EQ(written([&](head_writer& w) { w.add(field::via, bad); }), "") << size << " " << at;
            }
        }
    }
}

TEST(Writer, OverflowIsReportedAndNothingIsWrittenPastTheEnd) {
    const auto fill = [](head_writer& w) {
        w.request_line("POST", "/path", "?query");
        w.add(field::host, "a.example");
        w.add("X-Name", "a value longer than sixteen bytes");
        w.add(field::content_length, std::uint64_t{12345});
        return w.end();
    };
    std::array<char, 512> room;
    head_writer whole{room};
    const std::size_t needed = fill(whole);
    ASSERT_NE(needed, 0u);
    for (std::size_t size = 0; size < needed; ++size) {
        std::vector<char> out(size + 64, '!');
        head_writer writer{std::span{out}.first(size)};
        EXPECT_EQ(fill(writer), 0u);
        EXPECT_EQ(writer.failed_with(), fault::overflow);
        EXPECT_EQ(std::string(out.begin() + static_cast<std::ptrdiff_t>(size), out.end()), std::string(64, '!'));
    }
    std::vector<char> exact(needed);
    head_writer writer{exact};
    EXPECT_EQ(fill(writer), needed);
}

TEST(Writer, WhatIsWrittenIsParsedBack) {
    const std::string text = "PATCH /a?b HTTP/1.1\r\nHost: a:1\r\nX: y\r\nContent-Length: 3\r\n\r\n";
    request_parser parser;
    ASSERT_EQ(parser.parse(text).state, parse_state::complete);
    const request_head& head = parser.head();
    EXPECT_EQ(written([&](head_writer& w) {
                  w.request_line(head.method_text, head.path, head.query);
                  for (const header& h : head.headers) w.add(h);
              }),
              text);
}

} // namespace
} // namespace headgate::http
