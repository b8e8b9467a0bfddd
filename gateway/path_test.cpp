#include <gtest/gtest.h>

#include <gateway/path.hpp>

namespace headgate::gateway {
namespace {

TEST(path_test, SpellingsOfOnePathAreOne) {
    const std::pair<const char*, const char*> cases[] = {
        {"/", "/"},
        {"/a/b", "/a/b"},
        {"/a/b/", "/a/b/"},
        {"//a///b//", "/a/b/"},
        {"/a/./b", "/a/b"},
        {"/a/b/.", "/a/b/"},
        {"/a/../b", "/b"},
        {"/a/b/..", "/a/"},
        {"/..", "/"},
        {"/../../etc", "/etc"},
        {"/a/%2e%2E/b", "/b"},
        {"/a/%2e./b", "/b"},
        {"/a/.%2e", "/"},
        {"/%61dmin", "/admin"},
        {"/a%2fb", "/a%2Fb"},   // an encoded slash is no separator
        {"/a%252e", "/a%252e"}, // decoded once, not twice
        {"/a%", "/a%"},
        {"/a%2", "/a%2"},
        {"/a%zz", "/a%zz"},
        {"/.well-known/x", "/.well-known/x"},
        {"/...", "/..."},
        {"/a..", "/a.."},
        {"/%C3%a4", "/%C3%A4"},
        {"*", "*"},
    };
    for (const auto& [given, normal] : cases) {
        EXPECT_EQ(normal_path(given), normal) << given;
        EXPECT_EQ(normal_path(normal), normal) << given;
        if (is_normal_path(given)) EXPECT_STREQ(given, normal);
    }
}

TEST(path_test, MostPathsAreNormal) {
    for (const char* path : {"/", "/a/b", "/a/b/", "*", "/static/app.3f9c.js", "/a-b_c~d"})
        EXPECT_TRUE(is_normal_path(path));
}

TEST(path_test, APrefixEndsWithASegment) {
    EXPECT_TRUE(has_path_prefix("/api", "/api"));
    EXPECT_TRUE(has_path_prefix("/api/", "/api"));
    EXPECT_TRUE(has_path_prefix("/api/x", "/api/"));
    EXPECT_TRUE(has_path_prefix("/api", "/api/"));
    EXPECT_FALSE(has_path_prefix("/apis", "/api"));
    EXPECT_FALSE(has_path_prefix("/ap", "/api"));
    EXPECT_TRUE(has_path_prefix("/anything", "/"));
}

} // namespace
} // namespace headgate::gateway
