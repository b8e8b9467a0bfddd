#include <headgate/core/frame.hpp>

#include <new>

#include <gtest/gtest.h>

namespace headgate {
namespace {

TEST(frame_test, RefusesTheOneThatIsAskedFor) {
    const std::size_t before = live_frames();
    void* kept = allocate_frame(100);
    fail_frame_allocation_after(1);
    void* first = allocate_frame(100);
    EXPECT_THROW(allocate_frame(100), std::bad_alloc);
    void* third = allocate_frame(10'000);
    EXPECT_EQ(live_frames(), before + 3);
    free_frame(first, 100);
    EXPECT_EQ(allow_frame_allocations(), 3u);
    free_frame(third, 10'000);
    free_frame(kept, 100);
    EXPECT_EQ(live_frames(), before);
}

TEST(frame_test, RefusesNoneAfterwards) {
    fail_frame_allocation_after(0);
    EXPECT_EQ(allow_frame_allocations(), 0u);
    void* f = allocate_frame(64);
    free_frame(f, 64);
    void* again = allocate_frame(64);
    free_frame(again, 64);
}

TEST(frame_test, CountsHowManyAreAskedFor) {
    fail_frame_allocation_after(1000);
    for (int i = 0; i < 5; ++i) free_frame(allocate_frame(64), 64); // also those that could be reused
    EXPECT_EQ(allow_frame_allocations(), 5u);
}

} // namespace
} // namespace headgate
