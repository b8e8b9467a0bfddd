#include <headgate/http/replay_buffer.hpp>

#include <string>

#include <gtest/gtest.h>

namespace headgate::http {
namespace {

TEST(ReplayBuffer, KeepsWhatComesInAnyPieces) {
    for (const std::size_t piece : {1, 7, 4096, 5000}) {
        replay_buffer b(100'000);
        std::string all;
        while (all.size() + piece <= 100'000) {
            const std::string part(piece, static_cast<char>('a' + all.size() % 26));
            b.keep(part);
            all += part;
        }
        EXPECT_TRUE(b.whole());
        EXPECT_EQ(b.bytes(), all);
        EXPECT_FALSE(b.ended());
        b.end();
        EXPECT_TRUE(b.ended());
    }
}

TEST(ReplayBuffer, HoldsNothingBeyondItsLimit) {
    const std::size_t before = live_chunk_bytes();
    replay_buffer b(10);
    b.keep("0123456789");
    EXPECT_TRUE(b.whole());
    EXPECT_EQ(b.bytes(), "0123456789");
    b.keep("");
    EXPECT_TRUE(b.whole());
    b.keep("a");
    EXPECT_FALSE(b.whole());
    EXPECT_EQ(live_chunk_bytes(), before);
    b.keep("b");
    EXPECT_EQ(b.bytes(), "");
}

} // namespace
} // namespace headgate::http
