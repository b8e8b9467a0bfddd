#include <headgate/core/nursery.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/io/files.hpp>
#include <headgate/io/linux_kernel.hpp>
#include <headgate/io/offload.hpp>
#include <headgate/testing/leftovers.hpp>
#include <headgate/testing/limits.hpp>
#include <headgate/testing/temporary_folder.hpp>

#include <stdexcept>

#include <gtest/gtest.h>
#include <sys/stat.h>

namespace headgate {
namespace {

using namespace std::chrono_literals;
using testing::leftovers;
using names = std::set<std::string>;

// Contents in which each position can be told from its neighbours.
std::string numbered(std::size_t bytes) {
    std::string text;
    for (int i = 0; text.size() < bytes; ++i) text += std::to_string(i) + ",";
    text.resize(bytes);
    return text;
}

stream<chunk> chunks_of(std::size_t size, int count, char letter) {
    for (int i = 0; i < count; ++i) co_yield chunk(std::string(size, letter));
}
stream<chunk> never() {
    co_yield chunk(std::string(20'000, 'x'));
    co_await abort_signal().wait();
}
stream<chunk> fail_after(stream<chunk> in, int items) {
    while (auto item = co_await in.next()) {
        if (items-- == 0) throw std::runtime_error("stage broke");
        co_yield std::move(*item);
    }
}

// Takes whatever comes.
struct drain {
    std::string* to;
    task<> write(chunk item) {
        to->append(item.text());
        co_return;
    }
    task<> finish() { co_return; }
};

class files_test : public ::testing::Test {
protected:
    files_test() { l.set_offload_pool(pool); }

    // Runs a flow to its end and checks that nothing is left of it.
    outcome end_of(task<outcome> flow) {
        auto end = l.run(std::move(flow));
        while (l.remote_away() != 0) EXPECT_FALSE(l.turn());
        EXPECT_EQ(leftovers::now(), before);
        if (!end) throw std::runtime_error(end.error().message());
        return std::move(*end);
    }

    testing::temporary_folder folder;
    offload_pool pool{2};
    linux_kernel os;
    loop l{os};
    leftovers before = leftovers::now();
};

TEST_F(files_test, ReadsAFileInChunks) {
    const std::string contents = numbered(600'001);
    const std::string path = folder.write("in", contents);
    std::string got;
    const outcome end = end_of(pipeline(files::read(path), drain{&got}));
    ASSERT_TRUE(end);
    EXPECT_EQ(end->items, 3u);
    EXPECT_EQ(end->bytes, contents.size());
    EXPECT_TRUE(got == contents);
}

TEST_F(files_test, ReadsAnEmptyFile) {
    std::string got;
    const outcome end = end_of(pipeline(files::read(folder.write("in", "")), drain{&got}));
    ASSERT_TRUE(end);
    EXPECT_EQ(end->items, 0u);
}

TEST_F(files_test, AnUnreadableInputFailsWithItsPath) {
    for (const std::string& path : {folder / "none", folder / "."}) {
        const outcome end = end_of(pipeline(files::read(path), files::create(folder / "out")));
        ASSERT_FALSE(end);
        EXPECT_EQ(end.error().code, system_error_code(path.ends_with(".") ? EISDIR : ENOENT));
        EXPECT_EQ(end.error().where, side::source);
        EXPECT_EQ(end.error().stage, 0u);
        EXPECT_EQ(end.error().detail, path);
        EXPECT_EQ(folder.names(), names());
    }
}

TEST_F(files_test, CreatesAFileUnderItsNameAtTheEnd) {
    const std::string contents = numbered(1'000'000);
    const std::string in = folder.write("in", contents);
    for (const bool fsync : {false, true}) {
        ASSERT_TRUE(end_of(pipeline(files::read(in, 100'000), files::create(folder / "out", {.fsync = fsync}))));
        EXPECT_TRUE(folder.read("out") == contents);
        EXPECT_EQ(folder.names(), (names{"in", "out"}));
    }
}

TEST_F(files_test, AFileHasTheModeOfTheUmask) {
    const mode_t umask_before = ::umask(027);
    ASSERT_TRUE(end_of(pipeline(chunks_of(1, 1, 'x'), files::create(folder / "out"))));
    ::umask(umask_before);
    struct stat s{};
    ASSERT_EQ(::stat((folder / "out").c_str(), &s), 0);
    EXPECT_EQ(s.st_mode & 0777, 0640u);
}

TEST_F(files_test, GathersSmallItemsAndKeepsTheirOrder) {
    std::string expected;
    auto mixed = [](std::string* all) -> stream<chunk> {
        for (const std::size_t size :
             {1u, 10'000u, 0u, 20'000u, 15'000u, 16'000u, 16'000u, 16'000u, 16'000u, 70'000u, 3u}) {
            const std::string item = numbered(size);
            *all += item;
            co_yield chunk(item);
        }
    };
    ASSERT_TRUE(end_of(pipeline(mixed(&expected), files::create(folder / "out"))));
    EXPECT_TRUE(folder.read("out") == expected);
}

TEST_F(files_test, CreatesAnEmptyFile) {
    ASSERT_TRUE(end_of(pipeline(chunks_of(0, 0, ' '), files::create(folder / "out"))));
    EXPECT_EQ(folder.names(), names{"out"});
}

TEST_F(files_test, CannotCreateInAFolderThatIsNotThere) {
    const outcome end = end_of(pipeline(chunks_of(1, 1, 'x'), files::create(folder / "none/out")));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, system_error_code(ENOENT));
    EXPECT_EQ(end.error().where, side::sink);
    EXPECT_EQ(end.error().detail, folder / "none/out");
}

TEST_F(files_test, ReplacesNothingButAFile) {
    const outcome device = end_of(pipeline(chunks_of(1, 1, 'x'), files::create("/dev/full")));
    ASSERT_FALSE(device);
    EXPECT_EQ(device.error().code, system_error_code(ENOTSUP));
    const outcome directory = end_of(pipeline(chunks_of(1, 1, 'x'), files::create(folder / ".")));
    ASSERT_FALSE(directory);
    EXPECT_EQ(directory.error().code, system_error_code(EISDIR));
}

TEST_F(files_test, AFullDiskLeavesNothingBehind) {
    folder.write("out", "old");
    for (const std::size_t item : {100u, 100'000u}) { // the first fails at finish(), the second at write()
        const testing::file_size_limit full(item == 100u ? 50 : 150'000);
        const outcome end = end_of(pipeline(chunks_of(item, 3, 'x'), files::create(folder / "out")));
        ASSERT_FALSE(end);
        EXPECT_EQ(end.error().code, system_error_code(EFBIG));
        EXPECT_EQ(end.error().where, side::sink);
        EXPECT_EQ(end.error().detail, folder / "out");
    }
    EXPECT_EQ(folder.names(), names{"out"});
    EXPECT_EQ(folder.read("out"), "old");
}

// The first descriptor is missing for the source, the second for the sink. Before that there are enough: a sanitizer
// needs some when it meets a type for the first time.
TEST_F(files_test, WithoutADescriptorItFailsWithThePathAndLeavesNothingBehind) {
    const std::string in = folder.write("in", numbered(1'000'000));
    for (const unsigned left : {10u, 0u, 1u}) {
        const auto copied = [&] {
            const testing::descriptors_left limit(left);
            return l.run(pipeline(files::read(in), files::create(folder / "out")));
        }();
        while (l.remote_away() != 0) ASSERT_FALSE(l.turn());
        EXPECT_EQ(leftovers::now(), before);
        ASSERT_TRUE(copied);
        if (left == 10) {
            ASSERT_TRUE(*copied);
            folder.write("out", "old");
            continue;
        }
        ASSERT_FALSE(*copied);
        const flow_error& e = copied->error();
        EXPECT_EQ(e.code, system_error_code(EMFILE));
        EXPECT_EQ(e.where, left == 0 ? side::source : side::sink);
        EXPECT_EQ(e.detail, left == 0 ? in : folder / "out");
        EXPECT_EQ(folder.names(), (names{"in", "out"}));
        EXPECT_EQ(folder.read("out"), "old");
    }
}

TEST_F(files_test, AFailingStageLeavesNothingBehind) {
    const std::string in = folder.write("in", numbered(1'000'000));
    const auto stage = [](stream<chunk> from) { return fail_after(std::move(from), 2); };
    const outcome end = end_of(pipeline(files::read(in), stage, files::create(folder / "out")));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::failed);
    EXPECT_EQ(end.error().stage, 1u);
    EXPECT_EQ(end.error().detail, "stage broke");
    EXPECT_EQ(folder.names(), names{"in"});
}

TEST_F(files_test, ADeadlineLeavesNothingBehind) {
    const outcome end = end_of(pipeline({.timeout = 5ms}, never(), files::create(folder / "out")));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, errc::timed_out);
    EXPECT_EQ(folder.names(), names());
}

// Aborts when so many items have passed.
stream<chunk> abort_after_items(stream<chunk> in, abort_source* abort, int items) {
    while (auto item = co_await in.next()) {
        if (items-- == 0) abort->abort();
        co_yield std::move(*item);
    }
}

TEST_F(files_test, AnAbortLeavesNothingBehind) {
    const std::string in = folder.write("in", numbered(1'000'000));
    {
        abort_source abort;
        const auto stage = [&abort](stream<chunk> from) { return abort_after_items(std::move(from), &abort, 2); };
        const outcome end =
            end_of(pipeline({.abort = abort.signal()}, files::read(in), stage, files::create(folder / "out")));
        ASSERT_FALSE(end);
        EXPECT_EQ(end.error().code, errc::aborted);
    }
    EXPECT_EQ(folder.names(), names{"in"});
}

task<> copy(std::string from, std::string to) {
    std::ignore = co_await pipeline(files::read(from, 1000), files::create(to));
}

// Dropped at every turn of its life. A call that runs at that moment ends by itself soon after.
TEST_F(files_test, DroppingAtAnyMomentLeavesNothingOrAll) {
    const std::string contents = numbered(40'000);
    const std::string in = folder.write("in", contents);
    bool ended = false;
    for (int turns = 0; !ended; ++turns) {
        {
            nursery n;
            n.spawn(copy(in, folder / "out"));
            for (int i = 0; i < turns && !n.empty(); ++i) ASSERT_FALSE(l.turn());
            ended = n.empty();
        }
        while (l.remote_away() != 0) ASSERT_FALSE(l.turn());
        ASSERT_EQ(leftovers::now(), before) << "after " << turns << " turns";
        names left = folder.names();
        if (left.erase("out") != 0) {
            ASSERT_TRUE(folder.read("out") == contents);
            std::filesystem::remove(folder / "out");
        }
        ASSERT_EQ(left, names{"in"}) << "after " << turns << " turns";
    }
}

task<std::size_t> read_first(std::string path, leftovers* after) {
    stream<chunk> in = files::read(path);
    const auto first = co_await in.next();
    in.reset();
    *after = leftovers::now();
    co_return first->size();
}

TEST_F(files_test, AConsumerThatStopsClosesTheFileAtOnce) {
    const std::string path = folder.write("in", numbered(1'000'000));
    leftovers after{};
    const auto bytes = l.run(read_first(path, &after));
    ASSERT_TRUE(bytes);
    EXPECT_EQ(*bytes, chunk_bulk);
    EXPECT_EQ(after.descriptors, before.descriptors);
    EXPECT_EQ(after.frames, before.frames + 1); // its own
}

} // namespace
} // namespace headgate
