#include <set>

#include <gtest/gtest.h>

#include <gateway/sticky_cookie.hpp>

namespace headgate::gateway {
namespace {

TEST(KeyedHash, IsSipHash) {
    // The example of the paper's appendix A: key and input count up from 0.
    const sticky_key key{0x0706050403020100, 0x0f0e0d0c0b0a0908};
    std::string input;
    for (char c = 0; c < 15; ++c) input += c;
    EXPECT_EQ(keyed_hash(key, input), 0xa129ca6149be45e5u);
    EXPECT_EQ(keyed_hash(key, ""), 0x726fdb47dd0e0e31u);
}

TEST(KeyedHash, DependsOnEveryByteAndTheKey) {
    std::set<std::uint64_t> seen;
    for (const std::uint64_t k : {1, 2})
        for (const std::string_view text : {"", "a", "b", "aaaaaaaa", "aaaaaaaab", "baaaaaaa", "aaaaaaaaaaaaaaaa"})
            EXPECT_TRUE(seen.insert(keyed_hash({k, 0}, text)).second) << text;
    EXPECT_EQ(key_of_secret("x"), key_of_secret("x"));
    EXPECT_NE(key_of_secret("x"), key_of_secret("y"));
}

TEST(StickyCookie, TokensAreReadAsTheyAreWritten) {
    for (const std::uint64_t token : {std::uint64_t{0}, std::uint64_t{0xabc}, ~std::uint64_t{0}})
        EXPECT_EQ(parse_token(format_token(token)), token);
    for (const std::string_view wrong :
         {"", "abc", "000000000000000g", "-00000000000000f", "0x0000000000000f", "00000000000000001"})
        EXPECT_EQ(parse_token(wrong), std::nullopt) << wrong;
}

TEST(StickyCookie, Attributes) {
    sticky_cookie_options o{.name = "home"};
    EXPECT_EQ(make_cookie(o, 0xab, false), "home=00000000000000ab; Path=/; HttpOnly; SameSite=Lax");
    EXPECT_EQ(make_cookie(o, 0xab, true), "home=00000000000000ab; Path=/; HttpOnly; Secure; SameSite=Lax");
    o = {.name = "h", .ttl = 1500ms, .path = "/x", .secure = true, .same_site = same_site::strict};
    EXPECT_EQ(make_cookie(o, 1, false), "h=0000000000000001; Path=/x; Max-Age=2; HttpOnly; Secure; SameSite=Strict");
}

} // namespace
} // namespace headgate::gateway
