#include <headgate/core/error.hpp>
#include <headgate/io/unnamed_file.hpp>
#include <headgate/testing/limits.hpp>
#include <headgate/testing/temporary_folder.hpp>

#include <gtest/gtest.h>

namespace headgate {
namespace {

using names = std::set<std::string>;

TEST(unnamed_file_test, WithoutTheSystemsHelpItsNameIsTakenAway) {
    const testing::temporary_folder folder;
    for (const bool help : {true, false}) {
        unnamed_file f;
        ASSERT_FALSE(help ? f.open_in(folder / "") : f.open_unlinked(folder / ""));
        EXPECT_EQ(folder.names(), names());
        std::string first = "first", second = " and second";
        iovec parts[] = {{first.data(), first.size()}, {second.data(), second.size()}};
        const auto w = f.write(parts, 10);
        EXPECT_FALSE(w.error);
        EXPECT_EQ(w.bytes, 16u);
        std::string got(16, 0);
        EXPECT_FALSE(f.read(got, 10).error);
        EXPECT_EQ(got, "first and second");
        f.discard(10, 5);
        EXPECT_FALSE(f.read(got, 10).error);
        EXPECT_EQ(got, std::string(5, 0) + " and second");
        f.clear();
        EXPECT_EQ(f.read(got, 10).error, system_error_code(EIO));
    }
}

TEST(unnamed_file_test, SaysWhyItCannotBeMade) {
    const testing::temporary_folder folder;
    unnamed_file f;
    EXPECT_EQ(f.open_in(folder / "none"), system_error_code(ENOENT));
    EXPECT_EQ(f.open_unlinked(folder / "none"), system_error_code(ENOENT));
    const testing::descriptors_left none(0);
    EXPECT_EQ(f.open_in(folder / ""), system_error_code(EMFILE));
    EXPECT_EQ(f.open_unlinked(folder / ""), system_error_code(EMFILE));
    EXPECT_FALSE(f.is_open());
}

} // namespace
} // namespace headgate
