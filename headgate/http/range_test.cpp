#include <headgate/http/parser.hpp>
#include <headgate/http/range.hpp>

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headgate::http {
namespace {

using parts = std::vector<byte_range>;

TEST(range_test, OneRange) {
    EXPECT_EQ(parse_ranges("bytes=0-0", 10, 5), parts({{0, 1}}));
    EXPECT_EQ(parse_ranges("bytes=2-5", 10, 5), parts({{2, 4}}));
    EXPECT_EQ(parse_ranges("bytes=2-", 10, 5), parts({{2, 8}}));
    EXPECT_EQ(parse_ranges("bytes=2-99999999999999999999999", 10, 5), parts({{2, 8}}));
    EXPECT_EQ(parse_ranges("bytes=-3", 10, 5), parts({{7, 3}}));
    EXPECT_EQ(parse_ranges("bytes=-30", 10, 5), parts({{0, 10}}));
    EXPECT_EQ(parse_ranges("BYTES= 2-5 ,", 10, 5), parts({{2, 4}}));
    EXPECT_EQ(content_range({2, 4}, 10), "bytes 2-5/10");
}

TEST(range_test, WhatHasNoByteIs416) {
    EXPECT_EQ(parse_ranges("bytes=10-", 10, 5), parts());
    EXPECT_EQ(parse_ranges("bytes=10-20, 11-", 10, 5), parts());
    EXPECT_EQ(parse_ranges("bytes=-0", 10, 5), parts());
    EXPECT_EQ(parse_ranges("bytes=0-", 0, 5), parts());
    EXPECT_EQ(parse_ranges("bytes=99999999999999999999999-", 10, 5), parts());
}

TEST(range_test, SeveralInTheirOrder) {
    EXPECT_EQ(parse_ranges("bytes=5-6,0-1", 10, 5), parts({{5, 2}, {0, 2}}));
    EXPECT_EQ(parse_ranges("bytes=0-1,10-,-1", 10, 5), parts({{0, 2}, {9, 1}}));
}

TEST(range_test, WhatIsIgnored) {
    for (const char* text :
         {"", "bytes", "bytes=", "bytes=,", "bytes=a-b", "bytes=5-4", "bytes=-", "bytes=1", "bytes=1-2-3", "bytes=+1-2",
          "bytes=1 -2", "items=0-1", "bytes =0-1", "bytes=0-1;2-3", "bytes=0-1,x", "bytes=0-9,0-9", "bytes=0-,-1",
          "bytes=0-0,1-1,2-2,3-3,4-4,5-5", "bytes=10-,10-,10-,10-,10-,10-"})
        EXPECT_FALSE(parse_ranges(text, 10, 5)) << text;
}

constexpr std::int64_t modified = 784111777; // Sun, 06 Nov 1994 08:49:37 GMT
constexpr std::int64_t now = modified + 1000;
const char* const same_date = "Sun, 06 Nov 1994 08:49:37 GMT";
const char* const earlier = "Sun, 06 Nov 1994 08:49:36 GMT";

// A request with these fields, parsed.
struct asked {
    explicit asked(std::string fields) : text("GET / HTTP/1.1\r\nHost: x\r\n" + std::move(fields) + "\r\n") {
        EXPECT_EQ(parser.parse(text).state, parse_state::complete) << text;
    }
    const request_head& head() const { return parser.head(); }

    std::string text;
    request_parser parser;
};

precondition check(std::string fields) {
    return check_preconditions(asked(std::move(fields)).head(), {"\"a,b\"", modified}, now);
}
std::string field_of(const std::string& name, const std::string& value) { return name + ": " + value + "\r\n"; }

TEST(precondition_test, IfNoneMatch) {
    EXPECT_EQ(check(""), precondition::holds);
    for (const char* tags : {"\"a,b\"", "W/\"a,b\"", "*", "\"x\", \"a,b\"", ", \"x\" ,W/\"a,b\","})
        EXPECT_EQ(check(field_of("If-None-Match", tags)), precondition::not_modified) << tags;
    for (const char* tags : {"\"b\"", "a,b", "\"a,b", "", "w/\"a,b\"", "\"x\" y \"a,b\""})
        EXPECT_EQ(check(field_of("If-None-Match", tags)), precondition::holds) << tags;
    EXPECT_EQ(check(field_of("If-None-Match", "\"x\"") + field_of("If-None-Match", "\"a,b\"")),
              precondition::not_modified);
    EXPECT_EQ(check(field_of("If-None-Match", "\"x\"") + field_of("If-Modified-Since", same_date)), precondition::holds)
        << "the date counts only without tags";
}

TEST(precondition_test, IfMatch) {
    EXPECT_EQ(check(field_of("If-Match", "\"a,b\"")), precondition::holds);
    EXPECT_EQ(check(field_of("If-Match", "*")), precondition::holds);
    EXPECT_EQ(check(field_of("If-Match", "W/\"a,b\"")), precondition::failed) << "a weak tag is never the same";
    EXPECT_EQ(check(field_of("If-Match", "\"x\"")), precondition::failed);
    EXPECT_EQ(check(field_of("If-Match", "\"a,b\"") + field_of("If-Unmodified-Since", earlier)), precondition::holds);
    EXPECT_EQ(check(field_of("If-Match", "\"a,b\"") + field_of("If-None-Match", "\"a,b\"")),
              precondition::not_modified);
}

TEST(precondition_test, Dates) {
    EXPECT_EQ(check(field_of("If-Modified-Since", same_date)), precondition::not_modified);
    EXPECT_EQ(check(field_of("If-Modified-Since", earlier)), precondition::holds);
    EXPECT_EQ(check(field_of("If-Modified-Since", "yesterday")), precondition::holds);
    EXPECT_EQ(check(field_of("If-Modified-Since", same_date) + field_of("If-Modified-Since", same_date)),
              precondition::holds);
    EXPECT_EQ(check(field_of("If-Unmodified-Since", same_date)), precondition::holds);
    EXPECT_EQ(check(field_of("If-Unmodified-Since", earlier)), precondition::failed);
}

TEST(precondition_test, IfRange) {
    const auto holds = [](const std::string& value, std::int64_t at = now) {
        return if_range_holds(asked(field_of("If-Range", value)).head(), {"\"t\"", modified}, at);
    };
    EXPECT_TRUE(if_range_holds(asked("").head(), {"\"t\"", modified}, now));
    EXPECT_TRUE(holds("\"t\""));
    EXPECT_FALSE(holds("W/\"t\""));
    EXPECT_FALSE(holds("\"u\""));
    EXPECT_TRUE(holds(same_date));
    EXPECT_FALSE(holds(same_date, modified)) << "it may change again within the second";
    EXPECT_FALSE(holds(earlier));
    EXPECT_FALSE(holds("soon"));
}

} // namespace
} // namespace headgate::http
