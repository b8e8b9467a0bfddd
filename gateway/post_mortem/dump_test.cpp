#include <gmock/gmock.h>

#include <gateway/post_mortem/dump.hpp>
#include <gateway/post_mortem/symbols.hpp>

namespace headgate::gateway {

[[gnu::noinline]] void one_coroutine() {}
[[gnu::noinline]] void another_coroutine() {}

namespace {

stack_frame frame(void (*code)(), std::size_t depth) {
    return {.bytes = 100, .code = reinterpret_cast<const void*>(code), .depth = depth};
}

TEST(dump_test, TreesThatLookTheSameAreWrittenOnce) {
    const symbols names;
    const std::string text =
        text_of({.name = "worker 0",
                 .frames = {{frame(&one_coroutine, 0), frame(&another_coroutine, 1), frame(&another_coroutine, 0),
                             frame(&one_coroutine, 0), frame(&another_coroutine, 1)}}},
                names);
    EXPECT_THAT(text, ::testing::MatchesRegex("worker 0: 5 coroutine\\(s\\)\n"
                                              "  2 times\n"
                                              "    one_coroutine \\(dump_test.cpp:[0-9]+\\), 100 bytes\n"
                                              "      another_coroutine \\(dump_test.cpp:[0-9]+\\), 100 bytes\n"
                                              "  once\n"
                                              "    another_coroutine \\(dump_test.cpp:[0-9]+\\), 100 bytes\n"));
}

TEST(dump_test, SaysWhichFlowIsServed) {
    const symbols names;
    const char serving[200]{}; // two frames
    std::vector<stack_frame> frames{frame(&one_coroutine, 0), frame(&another_coroutine, 1), frame(&one_coroutine, 0)};
    frames[0].frame = serving;
    frames[1].frame = serving + 100;
    const std::string text = text_of(
        {.name = "worker 0", .frames = frames, .flows = {{.entry = serving + 99, .text = "request 7: GET /"}}}, names);
    EXPECT_THAT(text, ::testing::MatchesRegex("worker 0: 3 coroutine\\(s\\)\n"
                                              "  once\n"
                                              "    request 7: GET /\n"
                                              "    one_coroutine .*\n"
                                              "      another_coroutine .*\n"
                                              "  once\n"
                                              "    one_coroutine .*\n"));
}

TEST(dump_test, SaysWhoDoesNotAnswer) {
    const symbols names;
    EXPECT_EQ(text_of({.name = "worker 1", .frames = std::nullopt}, names),
              "worker 1: does not come back to its loop\n");
}

} // namespace
} // namespace headgate::gateway
