#include <headgate/core/chunk.hpp>

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace headgate {
namespace {

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HEADGATE_NO_RECYCLING 1
#endif
#endif

class chunk_test : public ::testing::Test {
protected:
    ~chunk_test() override { EXPECT_EQ(live_chunk_bytes(), 0u); }
};

TEST_F(chunk_test, HoldsTextAndGivesItBack) {
    chunk c(std::string_view("hello world"));
    EXPECT_EQ(c.text(), "hello world");
    EXPECT_EQ(c.size(), 11u);
    EXPECT_TRUE(c.contains("lo wo"));
    EXPECT_FALSE(c.contains("xyz"));
    EXPECT_EQ(live_chunk_bytes(), c.capacity());
}

TEST_F(chunk_test, NothingAndNoBytes) {
    const chunk none;
    EXPECT_TRUE(none.empty());
    EXPECT_TRUE(none.alone());
    EXPECT_EQ(none.capacity(), 0u);
    EXPECT_EQ(none.text(), "");
    EXPECT_EQ(chunk(std::string_view()).text(), "");
    EXPECT_EQ(chunk(std::size_t{0}).size(), 0u);
    const chunk copy(none); // NOLINT(performance-unnecessary-copy-initialization): what is tested
    EXPECT_TRUE(copy.empty());
    EXPECT_TRUE(none.slice(0, 0).empty());
}

TEST_F(chunk_test, MovingIsFreeCopyingShares) {
    chunk a(std::string_view("abc"));
    const char* where = a.data();
    chunk b(std::move(a));
    EXPECT_EQ(b.data(), where);
    EXPECT_TRUE(a.empty()); // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(a.capacity(), 0u);
    EXPECT_TRUE(b.alone());
    chunk c(b);
    EXPECT_EQ(c.data(), where);
    EXPECT_FALSE(b.alone());
    EXPECT_FALSE(c.alone());
    EXPECT_EQ(live_chunk_bytes(), b.capacity());
    b = chunk();
    EXPECT_TRUE(c.alone());
    EXPECT_EQ(c.text(), "abc");
    c = c.slice(1, 1); // of itself
    EXPECT_EQ(c.text(), "b");
    EXPECT_TRUE(c.alone());
}

TEST_F(chunk_test, SlicesShareAndOutliveTheWhole) {
    chunk tail;
    {
        chunk whole(std::string_view("0123456789"));
        tail = whole.slice(5, 3);
        EXPECT_FALSE(whole.alone());
        whole.remove_prefix(2);
        whole.truncate(4);
        EXPECT_EQ(whole.text(), "2345");
    }
    EXPECT_EQ(tail.text(), "567");
    EXPECT_TRUE(tail.alone());
    tail.remove_prefix(3);
    EXPECT_TRUE(tail.empty());
    EXPECT_NE(live_chunk_bytes(), 0u); // as long as anything refers to it
}

TEST_F(chunk_test, SizesOfTheClassesAndBetween) {
    const std::size_t steps[] = {1024, chunk_small, chunk_medium, chunk_large, chunk_bulk};
    for (const std::size_t size : steps) {
        EXPECT_EQ(chunk(size).capacity(), size);
        EXPECT_EQ(chunk(size - 1).capacity(), size);
    }
    EXPECT_EQ(chunk(std::size_t{1}).capacity(), 1024u);
    EXPECT_EQ(chunk(chunk_small + 1).capacity(), chunk_medium);
    EXPECT_EQ(chunk(chunk_bulk + 1).capacity(), chunk_bulk + 1); // an odd size: its own
    chunk big(3'000'001);
    EXPECT_EQ(live_chunk_bytes(), 3'000'001u);
    big.data()[3'000'000] = 'x';
}

TEST_F(chunk_test, BuffersAreReused) {
    const char* where = chunk(chunk_small).data();
    chunk again(chunk_small);
#ifndef HEADGATE_NO_RECYCLING
    EXPECT_EQ(again.data(), where);
#endif
    chunk other(chunk_small);
    EXPECT_NE(other.data(), again.data());
    (void)where;
}

TEST_F(chunk_test, TheCacheIsBounded) {
    std::vector<chunk> many;
    for (std::size_t i = 0; i < 2 * chunk_cache_bytes_max / chunk_bulk; ++i) many.emplace_back(chunk_bulk);
    EXPECT_EQ(live_chunk_bytes(), 2 * chunk_cache_bytes_max);
    many.clear();
    EXPECT_EQ(live_chunk_bytes(), 0u);
    for (std::size_t i = 0; i < 2 * chunk_cache_bytes_max / chunk_bulk; ++i) many.emplace_back(chunk_bulk);
    EXPECT_EQ(live_chunk_bytes(), 2 * chunk_cache_bytes_max);
}

} // namespace
} // namespace headgate
