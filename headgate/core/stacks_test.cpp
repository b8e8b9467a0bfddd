#include <headgate/core/nursery.hpp>
#include <headgate/core/race.hpp>
#include <headgate/core/sleep.hpp>
#include <headgate/core/stacks.hpp>
#include <headgate/core/stream.hpp>
#include <headgate/testing/fixture.hpp>

#include <string>

#include <gmock/gmock.h>

namespace headgate {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class stacks_test : public testing::simulated_test {};

// What the frames look like at one moment: "depth:function", where functions have the letters in which they come first.
std::vector<std::string> picture() {
    std::vector<const void*> functions;
    std::vector<std::string> lines;
    for (const stack_frame& f : coroutine_stacks()) {
        const auto known = std::ranges::find(functions, f.code);
        const auto letter = static_cast<char>('a' + (known - functions.begin()));
        if (known == functions.end()) functions.push_back(f.code);
        lines.push_back(std::to_string(f.depth) + ":" + letter);
    }
    return lines;
}

task<> wait(duration d) { co_await sleep_for(d); }
task<> wait_inside(duration d) { co_await wait(d); }
stream<int> slow_numbers() {
    co_await wait(1h);
    co_yield 1;
}
task<> pull() {
    auto numbers = slow_numbers();
    co_await numbers.next();
}
task<> race_two() { co_await race(wait_inside(1h), pull()); }
task<> with_strand() {
    strand beside;
    beside.start(wait(1h), co_await here());
    co_await wait_inside(1h);
}
task<> attempted(task<> work) { co_await attempt(std::move(work)); }
task<> hold_unbegun() {
    const task<> not_begun = wait(1h);
    co_await sleep_for(1h);
}

std::vector<std::string> picture_of(task<> work) {
    nursery n;
    n.spawn(std::move(work));
    return picture();
}

TEST_F(stacks_test, SaysWhoWaitsForWhom) {
    EXPECT_THAT(picture_of(wait_inside(1h)), ElementsAre("0:a", "1:b"));
    EXPECT_THAT(picture_of(pull()), ElementsAre("0:a", "1:b", "2:c"));
    EXPECT_THAT(picture_of(attempted(wait_inside(1h))), ElementsAre("0:a", "1:b", "2:c"));
}

TEST_F(stacks_test, SaysWhatRunsBeside) {
    const auto raced = picture_of(race_two());
    EXPECT_EQ(raced.front(), "0:a");
    EXPECT_EQ(raced.size(), 7u);
    EXPECT_EQ(std::ranges::count(raced, '2', [](const std::string& s) { return s[0]; }), 2) << "both branches";
    const auto beside = picture_of(with_strand());
    EXPECT_EQ(beside.front(), "0:a");
    EXPECT_EQ(beside.size(), 4u);
    EXPECT_EQ(std::ranges::count(beside, '1', [](const std::string& s) { return s[0]; }), 2) << "the strand is held";
}

TEST_F(stacks_test, LeavesOutWhatHasNotBegunAndWhatHasEnded) {
    EXPECT_THAT(picture_of(hold_unbegun()), ElementsAre("0:a"));
    EXPECT_THAT(picture(), IsEmpty());
}

TEST_F(stacks_test, EachRootIsATreeOfItsOwn) {
    nursery n;
    for (int i = 0; i < 3; ++i) n.spawn(wait_inside(1h));
    EXPECT_THAT(picture(), ElementsAre("0:a", "1:b", "0:a", "1:b", "0:a", "1:b"));
}

} // namespace
} // namespace headgate
