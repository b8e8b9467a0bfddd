#include <headgate/core/joint.hpp>
#include <headgate/tabular/row_batch.hpp>

#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace headgate {
namespace {

using enum value_type;

column_set two_columns() {
    const std::vector<column> c{{.name = "id", .type = integer, .database_type = 23},
                                {.name = "tags", .type = array, .element = text, .database_type = 1009}};
    return column_set(c);
}

TEST(column_set, CopiesTheNames) {
    column_set set;
    EXPECT_TRUE(set.empty());
    EXPECT_EQ(set.begin(), set.end());
    {
        std::string first = "a name that is too long to be kept inside of a string", second;
        const std::vector<column> c{{.name = first, .type = date}, {.name = second}};
        set = column_set(c);
        first.assign(first.size(), 'x');
    }
    ASSERT_EQ(set.size(), 2u);
    EXPECT_EQ(set[0].name, "a name that is too long to be kept inside of a string");
    EXPECT_EQ(set[0].type, date);
    EXPECT_EQ(set[1].name, "");
    EXPECT_EQ(set[1].type, other);
}

TEST(column_set, CopiesShareAndOutliveEachOther) {
    column_set copy;
    const std::size_t before = live_chunk_bytes();
    {
        const column_set set = two_columns();
        const std::size_t one = live_chunk_bytes();
        copy = set;
        EXPECT_EQ(live_chunk_bytes(), one);
        EXPECT_EQ(copy.begin(), set.begin());
    }
    EXPECT_GT(live_chunk_bytes(), before);
    EXPECT_EQ(copy[1].name, "tags");
    EXPECT_EQ(copy[1].element, text);
    EXPECT_EQ(copy[0].database_type, 23u);
}

TEST(row_batch, GivesBackWhatWasPutIn) {
    row_batch b(two_columns());
    ASSERT_TRUE(b.begin_row(5));
    b.add(integer, "42");
    b.add(array, "{a}");
    ASSERT_TRUE(b.begin_row(0));
    b.add_null();
    b.add(array, "");
    ASSERT_TRUE(b.begin_row(6));
    b.add(blob, std::string_view("\0\xff\n", 3)); // a type of its own
    b.add(array, "{b}");

    ASSERT_EQ(b.rows(), 3u);
    EXPECT_EQ(b.at(0, 0).text, "42");
    EXPECT_EQ(b.at(0, 0).type, integer);
    EXPECT_EQ(b.at(0, 1).text, "{a}");
    EXPECT_TRUE(b.at(1, 0).is_null());
    EXPECT_EQ(b.at(1, 0).text, "");
    EXPECT_FALSE(b.at(1, 1).is_null());
    EXPECT_EQ(b.at(1, 1).text, "");
    EXPECT_EQ(b.at(2, 0).text, std::string_view("\0\xff\n", 3));
    EXPECT_EQ(b.at(2, 0).type, blob);
    EXPECT_EQ(b.at(2, 1).text, "{b}");
    EXPECT_EQ(b.bytes(), 11u + 6 * 8);
    EXPECT_EQ(item_bytes(b), b.bytes());
}

TEST(row_batch, IsFullAtItsLastByte) {
    row_batch b(two_columns(), 3 * (16 + 8));
    ASSERT_TRUE(b.begin_row(8));
    b.add(integer, "1234");
    b.add(text, "abcd");
    EXPECT_FALSE(b.begin_row(33)); // one byte more than there is
    EXPECT_EQ(b.rows(), 1u);
    ASSERT_TRUE(b.begin_row(32)); // to the last byte
    b.add(integer, "");
    b.add(text, std::string(32, 'z'));
    EXPECT_FALSE(b.begin_row(0)); // no room for the marks
    EXPECT_EQ(b.at(0, 0).text, "1234");
    EXPECT_EQ(b.at(0, 1).text, "abcd");
    EXPECT_EQ(b.at(1, 1).text, std::string(32, 'z'));
    EXPECT_EQ(b.capacity(), 1024u);
}

TEST(row_batch, OneLargeRowHasABatchOfItsOwn) {
    row_batch usual(two_columns());
    const std::string large(1'000'003, 'x');
    EXPECT_FALSE(usual.begin_row(large.size()));
    row_batch b(usual.columns(), row_batch::bytes_for(2, large.size()));
    ASSERT_TRUE(b.begin_row(large.size()));
    b.add_null();
    b.add(text, large);
    EXPECT_EQ(b.at(0, 1).text, large);
    EXPECT_TRUE(b.at(0, 0).is_null());
}

TEST(row_batch, HoldsNoMoreRowsThanItsLimit) {
    row_batch none(column_set{}); // rows of nothing: they take no memory
    for (std::size_t i = 0; i < row_batch::rows_max; ++i) ASSERT_TRUE(none.begin_row(0));
    EXPECT_FALSE(none.begin_row(0));
    EXPECT_EQ(none.rows(), row_batch::rows_max);
    EXPECT_THROW(row_batch(column_set{}, row_batch::bytes_max + 1), std::length_error);
}

TEST(row_batch, MovesWithoutCopyingAndLeavesNothing) {
    row_batch b(two_columns());
    ASSERT_TRUE(b.begin_row(3));
    b.add(integer, "7");
    b.add(text, "ab");
    const char* where = b.at(0, 1).text.data();
    row_batch c(std::move(b));
    EXPECT_EQ(b.rows(), 0u); // NOLINT(bugprone-use-after-move): that is what is tested
    EXPECT_FALSE(b.begin_row(0));
    EXPECT_EQ(c.at(0, 1).text.data(), where);
    b = std::move(c);
    EXPECT_EQ(b.at(0, 1).text.data(), where);
    EXPECT_EQ(c.bytes(), 0u); // NOLINT(bugprone-use-after-move)

    const std::size_t held = live_chunk_bytes();
    b = row_batch();
    EXPECT_LT(live_chunk_bytes(), held);
    EXPECT_TRUE(b.empty());
}

} // namespace
} // namespace headgate
