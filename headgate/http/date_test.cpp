#include <headgate/http/date.hpp>

#include <gtest/gtest.h>

namespace headgate::http {
namespace {

constexpr std::int64_t in_1994 = 784111777; // Sun, 06 Nov 1994 08:49:37 GMT (RFC 9110, section 5.6.7)
constexpr std::int64_t in_2026 = 1795000000;

TEST(date_test, IsWrittenAsTheStandardSays) {
    EXPECT_EQ(format_date(in_1994), "Sun, 06 Nov 1994 08:49:37 GMT");
    EXPECT_EQ(format_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
}

TEST(date_test, IsReadInAllThreeForms) {
    EXPECT_EQ(parse_date("Sun, 06 Nov 1994 08:49:37 GMT", in_2026), in_1994);
    EXPECT_EQ(parse_date("Sunday, 06-Nov-94 08:49:37 GMT", in_2026), in_1994);
    EXPECT_EQ(parse_date("Sun Nov  6 08:49:37 1994", in_2026), in_1994);
    EXPECT_EQ(parse_date("Thu, 29 Feb 2024 23:59:60 GMT", in_2026), 1709251200);
}

TEST(date_test, AYearOfTwoDigitsIsAtMostFiftyYearsAhead) {
    EXPECT_EQ(format_date(*parse_date("Friday, 01-Jan-76 00:00:00 GMT", in_2026)).substr(12, 4), "2076");
    EXPECT_EQ(format_date(*parse_date("Friday, 01-Jan-77 00:00:00 GMT", in_2026)).substr(12, 4), "1977");
    EXPECT_EQ(format_date(*parse_date("Friday, 01-Jan-26 00:00:00 GMT", in_2026)).substr(12, 4), "2026");
}

TEST(date_test, ReadsBackWhatItWrites) {
    for (std::int64_t t = 0; t < 4'000'000'000; t += 86'399 * 37) EXPECT_EQ(parse_date(format_date(t), in_2026), t);
}

TEST(date_test, NothingElseIsADate) {
    for (const char* text :
         {"", "0", "Sun, 06 Nov 1994", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC",
          "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT",
          "Sun, 06 Nov 1994 08:49:37 GMT ", "sun, 06 nov 1994 08:49:37 gmt", "Sun Nov 6 08:49:37 1994",
          "Sunday, 06-Nov-1994 08:49:37 GMT", "Sun, 06 Nov 19x4 08:49:37 GMT"})
        EXPECT_FALSE(parse_date(text, in_2026)) << text;
}

} // namespace
} // namespace headgate::http
