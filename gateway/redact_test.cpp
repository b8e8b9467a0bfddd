#include <vector>

#include <gtest/gtest.h>

#include <gateway/redact.hpp>

namespace headgate::gateway {
namespace {

std::string redacted(std::string_view target, const std::vector<std::string>& names) {
    std::string out;
    redact(target, names, [&out](std::string_view piece) { out += piece; });
    return out;
}

TEST(Redact, ValuesOfNamedParameters) {
    const std::vector<std::string> names = {"token", "X-Sig"};
    EXPECT_EQ(redacted("/a?token=1&b=2&x-sig=3#token=4", names), "/a?token=-&b=2&x-sig=-#token=-");
    EXPECT_EQ(redacted("/a?tokens=1&atoken=2&token&=3", names), "/a?tokens=1&atoken=2&token&=3");
    EXPECT_EQ(redacted("/a?%74oken=1&TOKE%4e=2&t%6fke=3;token=4=5", names), "/a?%74oken=-&TOKE%4e=-&t%6fke=3;token=-");
    EXPECT_EQ(redacted("/token=1", names), "/token=1");
    EXPECT_EQ(redacted("/a?", names), "/a?");
    EXPECT_EQ(redacted("/a?%7=1&%=2&%zz=3", names), "/a?%7=1&%=2&%zz=3");
}

TEST(Redact, AllOrNone) {
    EXPECT_EQ(redacted("/a?b=1&c&d=&e=2", {{"*"}}), "/a?b=-&c&d=-&e=-");
    EXPECT_EQ(redacted("/a?token=1", {}), "/a?token=1");
}

} // namespace
} // namespace headgate::gateway
