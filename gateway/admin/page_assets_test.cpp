#include <filesystem>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <gateway/admin/page_assets.hpp>

namespace headgate::gateway::admin {

namespace {

using testing::HasSubstr;
using testing::NotNull;
using testing::StartsWith;

TEST(PageAssets, TheRootIsThePage) {
    const asset* page = find_asset("/");
    ASSERT_THAT(page, NotNull());
    EXPECT_EQ(page, find_asset("/index.html"));
    EXPECT_THAT(page->bytes, StartsWith("<!doctype html>"));
    EXPECT_EQ(page->content_type, "text/html; charset=utf-8");
}

TEST(PageAssets, NothingElseIsThere) {
    for (const std::string_view path : {"", "index.html", "/.", "/../dev", "//index.html", "/vendor", "/vendor/",
                                        "/test/scenarios.py", "/package.json", "/app.js?x"})
        EXPECT_EQ(find_asset(path), nullptr) << path;
}

TEST(PageAssets, EachHasATypeAndATagOfItsOwn) {
    std::set<std::string_view> tags;
    for (const asset& a : page_assets()) {
        EXPECT_FALSE(a.bytes.empty()) << a.path;
        EXPECT_FALSE(a.content_type.empty()) << a.path;
        EXPECT_EQ(a.etag.size(), 18U) << a.path;
        EXPECT_TRUE(a.etag.starts_with('"') && a.etag.ends_with('"')) << a.etag;
        EXPECT_TRUE(tags.insert(a.etag).second) << a.path;
    }
}

// Bytes that an escape could have changed.
TEST(PageAssets, BytesAreThoseOfTheFiles) {
    EXPECT_THAT(find_asset("/words.js")->bytes, HasSubstr("\"\\u202f\""));
    EXPECT_THAT(find_asset("/board.js")->bytes, HasSubstr("0 B \u2713"));
    EXPECT_TRUE(find_asset("/style.css")->bytes.ends_with("}\n"));
}

// What a file names after `prefix`, up to the next quote.
std::set<std::string> named(const asset& in, std::string_view prefix) {
    std::set<std::string> all;
    for (std::size_t at = in.bytes.find(prefix); at != std::string_view::npos; at = in.bytes.find(prefix, at + 1)) {
        const std::string_view rest = in.bytes.substr(at + prefix.size());
        all.emplace(rest.substr(0, rest.find('"')));
    }
    return all;
}

TEST(PageAssets, WhatThePageLoadsIsThere) {
    std::set<std::string> loaded;
    for (const std::string_view prefix : {"src=\"", "href=\""}) loaded.merge(named(*find_asset("/"), prefix));
    EXPECT_GE(loaded.size(), 6U);
    for (const std::string& file : loaded) EXPECT_THAT(find_asset("/" + file), NotNull()) << file;
    for (const asset& a : page_assets()) {
        const std::filesystem::path folder = std::filesystem::path(a.path).parent_path();
        for (const std::string& file : named(a, "from \""))
            EXPECT_THAT(find_asset((folder / file).lexically_normal().string()), NotNull()) << file << " in " << a.path;
    }
}

TEST(PageAssets, NothingIsInlineAndNothingComesFromElsewhere) {
    EXPECT_THAT(page_policy, HasSubstr("script-src 'self'"));
    const std::string_view page = find_asset("/")->bytes;
    for (const std::string_view no : {"<style", " style=", "onclick", "onload", "http:", "https:", "<script>"})
        EXPECT_EQ(page.find(no), std::string_view::npos) << no;
}

} // namespace

} // namespace headgate::gateway::admin
