#include <gtest/gtest.h>

#include <gateway/mime_types.hpp>
#include <gateway/path.hpp>
#include <gateway/static_files.hpp>

namespace headgate::gateway {
namespace {

TEST(static_files_test, PathsAreDecodedBelowThePrefix) {
    EXPECT_EQ(path_below("/", "", false), "");
    EXPECT_EQ(path_below("/a/b.txt", "", false), "a/b.txt");
    EXPECT_EQ(path_below("/a/b/", "/", false), "a/b");
    EXPECT_EQ(path_below("/s/a", "/s/", false), "a");
    EXPECT_EQ(path_below("/s/a", "/s", false), "a");
    EXPECT_EQ(path_below("/s", "/s/", false), "");
    EXPECT_EQ(path_below("/s/", "/s/", false), "");
    EXPECT_EQ(path_below("/a%20b/%C3%A4", "", false), "a b/\xc3\xa4");
    EXPECT_EQ(path_below("/100%25", "", false), "100%");
}

TEST(static_files_test, WhatNoFileCanBeHasNoPath) {
    for (const char* path : {"*", "", "/a%00", "/a%2Fb", "/%2F", "/a%", "/a%2", "/a%zz", "/.git", "/a/.b", "/.", "/..",
                             "/.well-known/.x", "/a/.well-known", "/.well-knownx"})
        EXPECT_FALSE(path_below(path, "", false)) << path;
    EXPECT_EQ(path_below("/.git/x", "", true), ".git/x");
    EXPECT_EQ(path_below("/.well-known/x", "", false), ".well-known/x");
    EXPECT_EQ(path_below("/.well-known", "", false), ".well-known");
}

// Whatever a client writes, what is opened has no name that leads elsewhere.
TEST(static_files_test, NoSpellingOfAPathLeadsUp) {
    const std::string_view pieces[] = {"/", ".", "..", "%2e", "%2E", "%2f", "a", "%00", "//", "%"};
    std::size_t served = 0;
    for (std::size_t n = 0; n < 100'000; ++n) {
        std::string path = "/";
        for (std::size_t rest = n; rest != 0; rest /= std::size(pieces)) path += pieces[rest % std::size(pieces)];
        const auto below = path_below(normal_path(path), "", true);
        if (!below) continue;
        ++served;
        EXPECT_FALSE(below->starts_with('/')) << path;
        EXPECT_EQ(("/" + *below + "/").find("/../"), std::string::npos) << path;
        EXPECT_EQ(("/" + *below + "/").find("/./"), std::string::npos) << path;
        EXPECT_EQ(below->find('\0'), std::string::npos) << path;
    }
    EXPECT_GT(served, 10'000u);
}

TEST(static_files_test, TypesFollowFromTheExtension) {
    EXPECT_EQ(media_type("a/index.HTML", {}), "text/html; charset=utf-8");
    EXPECT_EQ(media_type("a.b.png", {}), "image/png");
    EXPECT_EQ(media_type("a.png/b", {}), "application/octet-stream");
    EXPECT_EQ(media_type("png", {}), "application/octet-stream");
    EXPECT_EQ(media_type("a.", {}), "application/octet-stream");
    EXPECT_EQ(media_type("a.png", {{"png", "image/x-own"}}), "image/x-own");
    EXPECT_EQ(media_type("a.new", {{"png", "image/x-own"}, {"new", "x/y"}}), "x/y");
}

} // namespace
} // namespace headgate::gateway
