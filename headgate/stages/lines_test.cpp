#include <headgate/flow/pipeline.hpp>
#include <headgate/stages/lines.hpp>
#include <headgate/stages/tally.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/tools.hpp>

#include <gmock/gmock.h>

namespace headgate {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using texts = std::vector<std::string>;

stream<chunk> these(texts pieces) {
    for (const std::string& p : pieces) co_yield chunk(p);
}

class lines_test : public testing::simulated_test {
protected:
    texts lines_of(texts pieces, std::size_t max = 100) {
        testing::sink_log<chunk> log;
        const outcome end = run(
            pipeline(these(std::move(pieces)), lines({.line_bytes_max = max}), testing::recording_sink<chunk>(log)));
        error = end ? flow_error() : end.error();
        texts out;
        for (const chunk& c : log.items) out.emplace_back(c.text());
        return out;
    }
    flow_error error;
};

TEST_F(lines_test, SplitsAtNewlines) {
    EXPECT_THAT(lines_of({}), IsEmpty());
    EXPECT_THAT(lines_of({""}), IsEmpty());
    EXPECT_THAT(lines_of({"a\nb\n"}), ElementsAre("a", "b"));
    EXPECT_THAT(lines_of({"a\nb"}), ElementsAre("a", "b"));
    EXPECT_THAT(lines_of({"\n\na\n\n"}), ElementsAre("", "", "a", ""));
    EXPECT_THAT(lines_of({"a\r\nb\r\n\r\nc\rd\r"}), ElementsAre("a", "b", "", "c\rd\r"));
}

TEST_F(lines_test, JoinsWhatIsSplitBetweenChunks) {
    EXPECT_THAT(lines_of({"on", "", "e", "\ntw", "o\nth", "ree"}), ElementsAre("one", "two", "three"));
    EXPECT_THAT(lines_of({"one\r", "\ntwo\r\n"}), ElementsAre("one", "two"));
}

TEST_F(lines_test, EveryWayToCutGivesTheSame) {
    const std::string text = "first\r\n\nthe second\nlast";
    for (std::size_t i = 0; i <= text.size(); ++i)
        for (std::size_t k = i; k <= text.size(); ++k)
            ASSERT_THAT(lines_of({text.substr(0, i), text.substr(i, k - i), text.substr(k)}),
                        ElementsAre("first", "", "the second", "last"))
                << i << " " << k;
}

TEST_F(lines_test, RefusesALineThatIsTooLong) {
    EXPECT_THAT(lines_of({"12345\n12345"}, 5), ElementsAre("12345", "12345"));
    EXPECT_THAT(lines_of({"1\n123456\n"}, 5), ElementsAre("1"));
    EXPECT_EQ(error.code, errc::limit_exceeded);
    EXPECT_EQ(error.where, side::stage);
    EXPECT_EQ(error.detail, "a line of more than 5 bytes begins at byte 2");
    EXPECT_THAT(lines_of({"12", "34\n12", "34", "56"}, 5), ElementsAre("1234"));
    EXPECT_EQ(error.detail, "a line of more than 5 bytes begins at byte 5");
}

stream<chunk> endless(int* pulled) {
    for (;; ++*pulled) co_yield chunk(std::string(1000, 'x'));
}

TEST_F(lines_test, ReadsNoFurtherThanTheLimit) {
    int pulled = 0;
    testing::sink_log<chunk> log;
    const outcome end =
        run(pipeline(endless(&pulled), lines({.line_bytes_max = 9'500}), testing::recording_sink<chunk>(log)));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::limit_exceeded);
    EXPECT_EQ(pulled, 9);
}

task<> take_two(stream<chunk> in, const char* buffer_begin, std::size_t size, bool* shared) {
    stream<chunk> split = lines()(std::move(in));
    const auto a = co_await split.next();
    const auto b = co_await split.next();
    const auto inside = [&](const chunk& c) {
        return c.data() >= buffer_begin && c.data() + c.size() <= buffer_begin + size;
    };
    *shared = inside(*a) && inside(*b);
}
stream<chunk> one(chunk c) { co_yield std::move(c); }

TEST_F(lines_test, ALineInsideAChunkSharesItsBuffer) {
    chunk c("first\nsecond\n");
    const char* begin = c.data();
    const std::size_t size = c.size();
    bool shared = false;
    run(take_two(one(std::move(c)), begin, size, &shared));
    EXPECT_TRUE(shared);
}

TEST_F(lines_test, ReportsWhatItKeeps) {
    list_node watchers;
    testing::manual_source<chunk> source;
    testing::sink_log<chunk> log;
    nursery n;
    n.spawn([](list_node* w, stream<chunk> in, testing::sink_log<chunk>* to) -> task<> {
        std::ignore = co_await pipeline({.watchers = w}, std::move(in), lines(), testing::recording_sink<chunk>(*to));
    }(&watchers, source.open(), &log));
    source.push(chunk("a\nunfinished"));
    ASSERT_FALSE(sim().home.turn(false));
    ASSERT_TRUE(watchers.linked());
    const auto report = static_cast<live_pipeline*>(watchers.next)->report(sim().home.now());
    EXPECT_STREQ(report[1].name, "lines");
    EXPECT_EQ(report[1].held, 10u);
    EXPECT_EQ(report[1].limit, 1024u * 1024);
    n.clear();
    log.items.clear();
}

TEST_F(lines_test, TallyCountsAndChangesNothing) {
    tally_counts before, after;
    testing::sink_log<chunk> log;
    ASSERT_TRUE(run(pipeline(these({"a\nbc\n", "d"}), tally(&before), lines(), tally(&after),
                             testing::recording_sink<chunk>(log))));
    EXPECT_EQ(before.items, 2u);
    EXPECT_EQ(before.bytes, 6u);
    EXPECT_EQ(after.items, 3u);
    EXPECT_EQ(after.bytes, 4u);
    EXPECT_EQ(log.items.size(), 3u);
}

} // namespace
} // namespace headgate
