#include <headgate/core/memory_budget.hpp>
#include <headgate/flow/compose.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/stages/zstd.hpp>
#include <headgate/testing/codec_test.hpp>
#include <headgate/testing/tools.hpp>

#include <algorithm>
#include <random>
#include <stdexcept>

#include <zstd.h>

namespace headgate {
namespace {

std::string noise(std::size_t bytes) {
    std::mt19937 random(7);
    std::string out(bytes, '\0');
    for (char& c : out) c = static_cast<char>(random() % 64);
    return out;
}

// One frame, by the library's own call.
std::string decompressed(const std::string& frame, std::size_t bytes) {
    std::string out(bytes, '\0');
    const std::size_t n = ::ZSTD_decompress(out.data(), out.size(), frame.data(), frame.size());
    if (::ZSTD_isError(n)) throw std::runtime_error(::ZSTD_getErrorName(n));
    out.resize(n);
    return out;
}

class zstd_test : public testing::codec_test {
protected:
    std::string compressed(const std::string& text, int level = 3) {
        std::string out;
        EXPECT_TRUE(through(zstd({.level = level}), text, 100'000, out));
        return out;
    }
    flow_error error_of(const unzstd& stage, const std::string& file) {
        std::string out;
        const outcome end = through(stage, file, 1000, out);
        if (end) throw std::runtime_error("unzstd took it");
        return end.error();
    }
};

TEST_F(zstd_test, GivesOneValidFrame) {
    for (const int level : {1, 3, 9})
        for (const std::string& text : {std::string(), std::string("x"), std::string(3'000'000, 'a'), noise(300'000)})
            ASSERT_TRUE(decompressed(compressed(text, level), text.size()) == text) << level << " " << text.size();
}

// Looks at the thread's memory while items pass.
struct memory_watch {
    std::ptrdiff_t* most;
    static stream<chunk> passing(stream<chunk> in, std::ptrdiff_t* most) {
        while (auto item = co_await in.next()) {
            *most = std::max(*most, memory_held());
            co_yield std::move(*item);
        }
    }
    stream<chunk> operator()(stream<chunk> in) const { return passing(std::move(in), most); }
};

TEST_F(zstd_test, ItsStateCountsAgainstTheMemoryLimit) {
    const std::ptrdiff_t before = memory_held();
    std::ptrdiff_t most = 0;
    std::string out;
    ASSERT_TRUE(through(compose(zstd(), memory_watch{&most}), noise(1'000'000), 10'000, out));
    EXPECT_GE(most - before, 512 * 1024); // its window alone
    EXPECT_EQ(memory_held(), before);
}

TEST_F(zstd_test, UnzstdGivesBackWhatZstdTook) {
    for (const std::string& text : {std::string(), std::string("x"), std::string(3'000'000, 'a'), noise(300'000)})
        for (const std::size_t piece : {1u, 700u, 1'000'000u}) {
            if (piece == 1 && text.size() == 300'000) continue; // slow, and tells nothing new
            std::string out;
            ASSERT_TRUE(through(unzstd(), compressed(text), piece, out));
            ASSERT_TRUE(out == text) << text.size() << " " << piece;
        }
}

TEST_F(zstd_test, UnzstdTakesSeveralFrames) {
    for (const std::size_t piece : {1u, 1'000u}) {
        std::string out;
        ASSERT_TRUE(through(unzstd(), compressed("one") + compressed("") + compressed("two"), piece, out));
        EXPECT_EQ(out, "onetwo");
    }
}

TEST_F(zstd_test, UnzstdRefusesWhatIsCutShort) {
    const std::string file = compressed("some text to be cut");
    for (std::size_t n = 0; n < file.size(); ++n) {
        const flow_error e = error_of(unzstd(), file.substr(0, n));
        EXPECT_EQ(e.code, errc::premature_close);
        EXPECT_EQ(e.detail, "zstd: the data is cut short at byte " + std::to_string(n));
    }
}

TEST_F(zstd_test, UnzstdRefusesWhatIsDamagedOrFollows) {
    std::string file = compressed("some text");
    EXPECT_EQ(error_of(unzstd(), file + "plain text").code, errc::protocol);
    file.back() ^= 1; // in the checksum
    EXPECT_EQ(error_of(unzstd(), file).code, errc::protocol);
    EXPECT_EQ(error_of(unzstd(), "plain text").code, errc::protocol);
}

TEST_F(zstd_test, UnzstdRefusesALargeWindow) {
    const std::string file = compressed(noise(3'000'000), 3); // has a window of 2 MiB
    std::string out;
    EXPECT_TRUE(through(unzstd({.window_log_max = 21}), file, 100'000, out));
    EXPECT_EQ(error_of(unzstd({.window_log_max = 20}), file).code, errc::protocol);
}

TEST_F(zstd_test, OptionsOutOfRangeAreRefused) {
    EXPECT_THROW(zstd({.level = 0}), std::invalid_argument);
    EXPECT_THROW(zstd({.level = 20}), std::invalid_argument);
    EXPECT_EQ(error_of(unzstd({.window_log_max = 60}), "x").code, errc::failed);
}

TEST_F(zstd_test, AFailedChainDoesNotEndItsFrame) {
    testing::sink_log<chunk> log;
    const outcome end =
        run(pipeline(testing::pieces(noise(1'000'000), 100'000), testing::fail_after{5, errc::premature_close}, zstd(),
                     testing::recording_sink<chunk>(log)));
    ASSERT_FALSE(end);
    std::string out;
    for (const chunk& c : log.items) out += c.text();
    EXPECT_FALSE(out.empty());
    EXPECT_EQ(error_of(unzstd(), out).code, errc::premature_close);
}

// What can be read of the beginning of a frame.
std::string decompressed_so_far(const std::string& frame) {
    const std::unique_ptr<ZSTD_DCtx, decltype(&::ZSTD_freeDCtx)> d(::ZSTD_createDCtx(), &::ZSTD_freeDCtx);
    std::string out(1'000'000, 0);
    ZSTD_inBuffer in{frame.data(), frame.size(), 0};
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    while (in.pos < in.size && !::ZSTD_isError(::ZSTD_decompressStream(d.get(), &to, &in))) {
    }
    out.resize(to.pos);
    return out;
}

struct watched_sink {
    std::string* seen;
    task<> write(chunk item) {
        *seen += item.text();
        co_return;
    }
    task<> finish() { co_return; }
};

stream<chunk> events(int n, const std::string* seen, std::string* given) {
    for (int i = 0; i < n; ++i) {
        const std::string text = "data: event " + std::to_string(i) + "\n\n";
        *given += text;
        co_yield chunk(text);
        co_await sleep_for(std::chrono::milliseconds(1));
        EXPECT_EQ(decompressed_so_far(*seen), *given) << "an event was held back";
    }
}

TEST_F(zstd_test, FlushesWhenItsSourceIsIdleAndOnlyThen) {
    std::string seen, given;
    ASSERT_TRUE(run(pipeline(events(50, &seen, &given), zstd({.level = 1, .window_log = 17, .flush_when_idle = true}),
                             watched_sink{&seen})));
    EXPECT_EQ(decompressed(seen, 10'000), given);
    std::string plain, prompt;
    ASSERT_TRUE(through(zstd({.level = 1}), noise(500'000), 10'000, plain));
    ASSERT_TRUE(through(zstd({.level = 1, .flush_when_idle = true}), noise(500'000), 10'000, prompt));
    EXPECT_TRUE(plain == prompt);
}

TEST_F(zstd_test, AWindowOutOfRangeIsRefused) {
    EXPECT_THROW(zstd({.window_log = 9}), std::invalid_argument);
    EXPECT_THROW(zstd({.window_log = 28}), std::invalid_argument);
}

} // namespace
} // namespace headgate
