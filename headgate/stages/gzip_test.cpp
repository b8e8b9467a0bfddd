#include <headgate/core/memory_budget.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/stages/gzip.hpp>
#include <headgate/testing/codec_test.hpp>
#include <headgate/testing/tools.hpp>

#include <array>
#include <random>
#include <stdexcept>

#include <gmock/gmock.h>
#include <zlib.h>

namespace headgate {
namespace {

using ::testing::HasSubstr;

// Text that compresses like a table does.
std::string table(std::size_t bytes) {
    std::string text;
    for (int i = 0; text.size() < bytes; ++i) text += std::to_string(i) + "," + std::to_string(i * i % 997) + ",name\n";
    text.resize(bytes);
    return text;
}
std::string noise(std::size_t bytes) {
    std::mt19937 random(7);
    std::string out(bytes, '\0');
    for (char& c : out) c = static_cast<char>(random());
    return out;
}

// The contents of one gzip file, by zlib's own reader: one member with its checksum, and nothing behind it.
std::string inflated(const std::string& file) {
    z_stream z{};
    if (::inflateInit2(&z, 15 + 16) != Z_OK) throw std::bad_alloc();
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(file.data()));
    z.avail_in = static_cast<uInt>(file.size());
    std::string out;
    std::array<char, 100'000> some;
    int r = Z_OK;
    while (r == Z_OK) {
        z.next_out = reinterpret_cast<Bytef*>(some.data());
        z.avail_out = some.size();
        r = ::inflate(&z, Z_NO_FLUSH);
        out.append(some.data(), some.size() - z.avail_out);
    }
    ::inflateEnd(&z);
    if (r != Z_STREAM_END || z.avail_in != 0) throw std::runtime_error("not a gzip file");
    return out;
}

class gzip_test : public testing::codec_test {
protected:
    std::string gzipped(const std::string& text) {
        std::string out;
        EXPECT_TRUE(through(gzip(), text, 100'000, out));
        return out;
    }
    flow_error error_of_gunzip(const std::string& file) {
        std::string out;
        const outcome end = through(gunzip(), file, 1000, out);
        if (end) throw std::runtime_error("gunzip took it");
        return end.error();
    }
};

TEST_F(gzip_test, EveryLevelGivesOneValidMember) {
    for (int level = 0; level <= 9; ++level)
        for (const std::string& text : {std::string(), std::string("x"), table(300'000), noise(100'000)})
            for (const std::size_t piece : {999u, 65'536u, 1'000'000u}) {
                std::string out;
                ASSERT_TRUE(through(gzip({.level = level}), text, piece, out));
                ASSERT_TRUE(inflated(out) == text) << level << " " << text.size() << " " << piece;
            }
}

TEST_F(gzip_test, ALevelOutOfRangeIsRefused) {
    EXPECT_THROW(gzip({.level = 10}), std::invalid_argument);
    EXPECT_THROW(gzip({.level = -1}), std::invalid_argument);
}

TEST_F(gzip_test, FillsItsChunks) {
    testing::sink_log<chunk> log;
    ASSERT_TRUE(run(pipeline(testing::pieces(noise(500'000), 1000), gzip(), testing::recording_sink<chunk>(log))));
    ASSERT_EQ(log.items.size(), 8u);
    for (std::size_t i = 0; i + 1 < log.items.size(); ++i) EXPECT_EQ(log.items[i].size(), chunk_large);
}

TEST_F(gzip_test, GivesOutLessAtATimeWhenMemoryIsShort) {
    memory_budget budget(8 << 20);
    const budget_scope use(budget);
    const memory_charge most(7 << 20);
    testing::sink_log<chunk> log;
    const std::string text = noise(100'000);
    ASSERT_TRUE(run(pipeline(testing::pieces(text, 1000), gzip(), testing::recording_sink<chunk>(log))));
    EXPECT_EQ(log.items.front().size(), chunk_small);
    std::string out;
    for (const chunk& c : log.items) out += c.text();
    EXPECT_TRUE(inflated(out) == text);
}

TEST_F(gzip_test, AFailedChainHasNoTrailer) {
    const std::string text = noise(500'000);
    testing::sink_log<chunk> log;
    const outcome end = run(pipeline(testing::pieces(text, 100'000), testing::fail_after{3, errc::premature_close},
                                     gzip(), testing::recording_sink<chunk>(log)));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().stage, 1u);
    EXPECT_FALSE(log.finished);
    std::string out;
    for (const chunk& c : log.items) out += c.text();
    EXPECT_FALSE(out.empty());
    EXPECT_EQ(error_of_gunzip(out).code, errc::premature_close);
}

TEST_F(gzip_test, GunzipGivesBackWhatGzipTook) {
    for (const std::string& text :
         {std::string(), std::string("x"), table(200'000), noise(300'000), std::string(2'000'000, '0')})
        for (const std::size_t piece : {1u, 700u, 1'000'000u}) {
            if (piece == 1 && text.size() == 300'000) continue; // slow, and tells nothing new
            std::string out;
            ASSERT_TRUE(through(gunzip(), gzipped(text), piece, out));
            ASSERT_TRUE(out == text) << text.size() << " " << piece;
        }
}

TEST_F(gzip_test, GunzipTakesSeveralMembers) {
    for (const std::size_t piece : {1u, 7u, 1'000u}) {
        std::string out;
        ASSERT_TRUE(through(gunzip(), gzipped("one") + gzipped("") + gzipped("two"), piece, out));
        EXPECT_EQ(out, "onetwo");
    }
}

TEST_F(gzip_test, GunzipRefusesWhatIsCutShort) {
    const std::string file = gzipped("some text to be cut");
    for (std::size_t n = 0; n < file.size(); ++n) {
        const flow_error e = error_of_gunzip(file.substr(0, n));
        EXPECT_EQ(e.code, errc::premature_close);
        EXPECT_EQ(e.where, side::stage);
        EXPECT_EQ(e.detail, "gzip: the data is cut short at byte " + std::to_string(n));
    }
}

TEST_F(gzip_test, GunzipRefusesWhatFollows) {
    const std::string file = gzipped("text");
    for (const char* garbage : {"x", "xyz", "\n"})
        EXPECT_EQ(error_of_gunzip(file + garbage).code.category(), flow_category());
    EXPECT_EQ(error_of_gunzip(file + "plain text").code, errc::protocol);
    EXPECT_EQ(error_of_gunzip(file + std::string(20, '\0')).code, errc::protocol);
}

TEST_F(gzip_test, GunzipRefusesWhatIsDamaged) {
    std::string file = gzipped("some text");
    file[file.size() - 6] ^= 1; // in the checksum
    const flow_error e = error_of_gunzip(file);
    EXPECT_EQ(e.code, errc::protocol);
    EXPECT_THAT(e.detail, HasSubstr("incorrect data check at byte "));
    EXPECT_EQ(error_of_gunzip("plain text").code, errc::protocol);
}

stream<chunk> hold_after(std::string text, bool* waits) {
    co_yield chunk(text);
    *waits = true;
    co_await sleep_for(forever);
}

TEST_F(gzip_test, GunzipGivesOnAtOnceWhatItHas) {
    const std::string file = gzipped(table(10'000));
    testing::sink_log<chunk> log;
    bool waits = false;
    nursery n;
    n.spawn([](std::string text, bool* w, testing::sink_log<chunk>* to) -> task<> {
        std::ignore = co_await pipeline(hold_after(text, w), gunzip(), testing::recording_sink<chunk>(*to));
    }(file.substr(0, file.size() - 8), &waits, &log));
    EXPECT_TRUE(waits);
    ASSERT_EQ(log.items.size(), 1u);
    EXPECT_EQ(log.items[0].size(), 10'000u);
    n.clear();
    EXPECT_FALSE(log.alive);
    log.items.clear();
}

TEST_F(gzip_test, ADeadlineInTheMiddleLeavesNothing) {
    testing::sink_log<chunk> log;
    const outcome end =
        run(pipeline({.timeout = std::chrono::seconds(2)},
                     testing::paced_source<chunk>({chunk("a"), chunk("b"), chunk("c")}, std::chrono::seconds(1)),
                     gzip({.level = 6}), testing::recording_sink<chunk>(log)));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::timed_out);
    EXPECT_FALSE(log.finished);
}

// What can be read of the beginning of a gzip file.
std::string inflated_so_far(const std::string& file) {
    z_stream z{};
    if (::inflateInit2(&z, 15 + 16) != Z_OK) throw std::bad_alloc();
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(file.data()));
    z.avail_in = static_cast<uInt>(file.size());
    std::string out(1'000'000, 0);
    z.next_out = reinterpret_cast<Bytef*>(out.data());
    z.avail_out = static_cast<uInt>(out.size());
    ::inflate(&z, Z_SYNC_FLUSH);
    out.resize(out.size() - z.avail_out);
    ::inflateEnd(&z);
    return out;
}

// Each time the source waits, all it gave has come out: what is seen then grows by an event.
stream<chunk> events(int n, const std::string* seen, std::string* given, std::string (*decoded)(const std::string&)) {
    for (int i = 0; i < n; ++i) {
        for (int part = 0; part < 3; ++part) { // at once
            const std::string text = "data: event " + std::to_string(i) + "." + std::to_string(part) + "\n\n";
            *given += text;
            co_yield chunk(text);
        }
        co_await sleep_for(std::chrono::milliseconds(1));
        EXPECT_EQ(decoded(*seen), *given) << "an event was held back";
    }
}

struct watched_sink {
    std::string* seen;
    task<> write(chunk item) {
        *seen += item.text();
        co_return;
    }
    task<> finish() { co_return; }
};

TEST_F(gzip_test, FlushesWhenItsSourceIsIdle) {
    for (int level = 0; level <= 9; ++level) {
        std::string seen, given;
        const gzip stage({.level = level, .flush_when_idle = true});
        ASSERT_TRUE(run(pipeline(events(50, &seen, &given, &inflated_so_far), stage, watched_sink{&seen})));
        EXPECT_EQ(inflated(seen), given);
    }
}

TEST_F(gzip_test, FlushesOnlyThen) {
    for (const int level : {1, 6}) {
        const std::string text = table(500'000);
        std::string plain, prompt;
        ASSERT_TRUE(through(gzip({.level = level}), text, 10'000, plain));
        ASSERT_TRUE(through(gzip({.level = level, .flush_when_idle = true}), text, 10'000, prompt));
        EXPECT_TRUE(plain == prompt) << "input that is there at once is not flushed";
    }
}

TEST_F(gzip_test, AFlushThatFillsItsChunkGoesOn) {
    for (const int level : {0, 1, 6}) {
        std::string seen;
        auto source = testing::paced_source(1, 1'000'000, 66'000, std::chrono::milliseconds(1));
        ASSERT_TRUE(
            run(pipeline(std::move(source), gzip({.level = level, .flush_when_idle = true}), watched_sink{&seen})));
        EXPECT_TRUE(inflated(seen) == testing::body_bytes(1, 0, 1'000'000));
    }
}

} // namespace
} // namespace headgate
