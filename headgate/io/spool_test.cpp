#include <headgate/core/memory_budget.hpp>
#include <headgate/core/nursery.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/io/linux_kernel.hpp>
#include <headgate/io/offload.hpp>
#include <headgate/io/spool.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/leftovers.hpp>
#include <headgate/testing/limits.hpp>
#include <headgate/testing/spool_tools.hpp>
#include <headgate/testing/suspensions.hpp>
#include <headgate/testing/temporary_folder.hpp>
#include <headgate/testing/tools.hpp>

#include <semaphore>
#include <stdexcept>

#include <sys/stat.h>

namespace headgate {
namespace {

using namespace std::chrono_literals;
using namespace spool_testing;
using testing::body_bytes;
using testing::leftovers;
using testing::manual_source;
using testing::slow_sink;
using names = std::set<std::string>;

constexpr std::size_t memory = spooled::memory_min;
constexpr std::size_t disk = 256 * 1024;

// On the real kernel, with and without a pool for what blocks.
class spool_test : public ::testing::TestWithParam<bool> {
protected:
    spool_test() {
        if (GetParam()) l.set_offload_pool(pool);
    }

    spooled stage(std::size_t m = memory, std::size_t d = disk) {
        return {m, d, {.folder = folder / "", .usage = &usage}};
    }
    void turn() {
        const std::error_code e = l.turn(false);
        if (e && e != std::errc::resource_deadlock_would_occur) throw std::system_error(e);
    }
    // Turns until it is so, which must be soon.
    template <class Condition>
    void until(Condition so) {
        const time_point late = l.now() + 10s;
        while (!so()) {
            if (l.now() > late) throw std::runtime_error("it did not happen");
            turn();
        }
    }
    // Turns until nothing has changed for a while.
    void settle() {
        spool_usage last = usage;
        for (int still = 0; still < 200; ++still) {
            turn();
            if (l.remote_away() != 0 || usage.memory != last.memory || usage.disk != last.disk) still = 0;
            last = usage;
        }
    }
    void nothing_left() {
        until([&] { return l.remote_away() == 0; });
        EXPECT_EQ(leftovers::now(), before);
        EXPECT_EQ(folder.names(), names());
        EXPECT_EQ(usage.memory, 0u);
        EXPECT_EQ(usage.disk, 0u);
    }
    outcome end_of(task<outcome> flow) {
        auto end = l.run(std::move(flow));
        nothing_left();
        if (!end) throw std::runtime_error(end.error().message());
        return std::move(*end);
    }

    testing::temporary_folder folder;
    spool_usage usage;
    offload_pool pool{2};
    linux_kernel os;
    loop l{os};
    leftovers before = leftovers::now();
};
INSTANTIATE_TEST_SUITE_P(offload, spool_test, ::testing::Bool(),
                         [](const auto& param) { return param.param ? "to_a_pool" : "in_place"; });

// A consumer that takes one item, stands still until all has settled, and then takes the rest.
TEST_P(spool_test, KeepsBytesInTheirOrder) {
    for (const std::size_t bytes : {0u, 1u, 10'000u, 16'384u, 16'385u, 100'000u, 400'000u, 3'000'000u})
        for (const std::size_t piece : {100u, 5'000u, 70'000u}) {
            checked seen;
            std::optional<outcome> end;
            abort_source go;
            std::size_t made = 0;
            {
                nursery n;
                n.spawn(keep(pipeline(body(bytes, piece, &made), stage(), checking_sink{&seen, go.signal()}), &end));
                settle();
                EXPECT_EQ(end.has_value(), bytes == 0);
                if (bytes <= memory) {
                    EXPECT_EQ(usage.spilled, 0u);
                }
                if (bytes <= disk) {
                    EXPECT_EQ(made, bytes);
                }
                go.abort();
                until([&] { return end.has_value(); });
            }
            ASSERT_TRUE(*end) << (*end).error().message();
            EXPECT_TRUE(seen.right && seen.finished) << bytes << " in " << piece;
            EXPECT_EQ(seen.bytes, bytes);
        }
    EXPECT_EQ(usage.refusals, 0u);
    EXPECT_GT(usage.spilled, 0u);
    nothing_left();
}

TEST_P(spool_test, WhenMemoryAndDiskAreFullTheSourceWaits) {
    checked seen;
    std::optional<outcome> end;
    std::size_t made = 0;
    abort_source go;
    list_node watchers;
    nursery n;
    n.spawn(keep(
        pipeline({.watchers = &watchers}, body(2'000'000, 1000, &made), stage(), checking_sink{&seen, go.signal()}),
        &end));
    settle();
    EXPECT_EQ(usage.disk, disk);
    EXPECT_GE(usage.memory, memory);
    EXPECT_LT(usage.memory, memory + 1000);
    EXPECT_EQ(made, usage.memory + usage.disk + seen.bytes);
    const auto parts = static_cast<live_pipeline&>(*watchers.next).report(l.now());
    EXPECT_EQ(parts[1].held, usage.memory + usage.disk);
    EXPECT_EQ(parts[1].limit, memory + disk);
    EXPECT_LT(parts[1].held_max, memory + disk + 1000);
    const std::size_t then = made;
    settle();
    EXPECT_EQ(made, then);

    go.abort();
    until([&] { return end.has_value(); });
    ASSERT_TRUE(*end);
    EXPECT_TRUE(seen.right);
    EXPECT_EQ(seen.bytes, 2'000'000u);
    EXPECT_EQ(usage.disk_max, disk);
    EXPECT_LE(usage.memory_max, memory + 1000 + memory / 4);
    n.clear();
    nothing_left();
}

TEST_P(spool_test, TheSourceIsReleasedWhileItsBytesWait) {
    manual_source<chunk> source;
    for (std::size_t at = 0; at < 200'000; at += 10'000) source.push(chunk(body_bytes(1, at, 10'000)));
    source.end();
    checked seen;
    std::optional<outcome> end;
    abort_source go;
    nursery n;
    n.spawn(keep(pipeline(source.open(), stage(), checking_sink{&seen, go.signal()}), &end));
    until([&] { return !source.alive(); });
    EXPECT_EQ(seen.bytes, 10'000u);
    settle();
    EXPECT_FALSE(end.has_value());
    EXPECT_GT(usage.disk, 100'000u);
    go.abort();
    until([&] { return end.has_value(); });
    EXPECT_TRUE(*end && seen.right && seen.bytes == 200'000);
    n.clear();
    nothing_left();
}

TEST_P(spool_test, TheFileIsMadeWhenMemoryIsFullAndIsNeverSeen) {
    manual_source<chunk> source;
    checked seen;
    std::optional<outcome> end;
    abort_source go;
    nursery n;
    n.spawn(keep(pipeline(source.open(), stage(), checking_sink{&seen, go.signal()}), &end));
    std::size_t at = 0;
    const auto feed = [&] {
        source.push(chunk(body_bytes(1, at, 2000)));
        at += 2000;
        settle();
    };
    while (at <= memory) feed(); // the first is with the sink
    EXPECT_EQ(file_in(folder / ""), -1);
    feed();
    const int fd = file_in(folder / "");
    EXPECT_NE(fd, -1);
    for (int i = 0; i < 20; ++i) {
        feed();
        EXPECT_EQ(folder.names(), names());
    }
    struct stat s{};
    ASSERT_EQ(::fstat(fd, &s), 0);
    EXPECT_GE(static_cast<std::size_t>(s.st_size), usage.disk);
    EXPECT_GT(usage.disk, 30'000u);
    EXPECT_EQ(s.st_nlink, 0u);
    EXPECT_EQ(s.st_mode & 0777, 0600u);

    go.abort();
    settle();
    EXPECT_EQ(seen.bytes, at);
    EXPECT_EQ(file_in(folder / ""), fd); // for the next time
    ASSERT_EQ(::fstat(fd, &s), 0);
    EXPECT_EQ(s.st_size, 0);
    EXPECT_EQ(s.st_blocks, 0);
    source.end();
    until([&] { return end.has_value(); });
    EXPECT_TRUE(*end && seen.right);
    n.clear();
    nothing_left();
}

// The consumer is never so fast that the file runs empty, so it is a ring all the time.
TEST_P(spool_test, TheFileNeverGrowsBeyondTheLimit) {
    constexpr std::size_t limit = disk - 1001; // no multiple of what is written at once
    const testing::file_size_limit exactly(limit);
    checked seen;
    struct slower_than_memory {
        checking_sink to;
        spool_usage* usage;
        task<> write(chunk item) {
            co_await to.write(std::move(item));
            for (int i = 0; i < 1000 && usage->disk < limit; ++i) co_await next_turn();
        }
        task<> finish() { return to.finish(); }
    };
    const outcome end =
        end_of(pipeline(body(3'000'000, 10'000), stage(memory, limit), slower_than_memory{{&seen, at_once()}, &usage}));
    ASSERT_TRUE(end);
    EXPECT_TRUE(seen.right && seen.bytes == 3'000'000);
    EXPECT_EQ(usage.refusals, 0u);
    EXPECT_EQ(usage.disk_max, limit);
    EXPECT_GT(usage.spilled, 2'000'000u);
}

// Each item is a small part of a buffer of its own.
TEST_P(spool_test, ItemsDoNotKeepMoreThanTheirBytes) {
    struct parts {
        static stream<chunk> items() {
            for (std::size_t at = 0; at < 1'000'000; at += 50) {
                chunk large(chunk_medium);
                body_bytes(1, at, 50).copy(large.data(), 50);
                co_yield large.slice(0, 50);
            }
        }
    };
    constexpr std::size_t limit = 256 * 1024;
    checked seen;
    std::optional<outcome> end;
    nursery n;
    n.spawn(keep(pipeline(parts::items(), stage(limit, 0), checking_sink{&seen, {}}), &end));
    settle();
    EXPECT_GE(usage.memory, limit);
    EXPECT_LT(live_chunk_bytes() - before.chunk_bytes, 2 * limit);
    n.clear();
    nothing_left();
}

// What it may keep in memory is less when the process is short of it; the rest goes to the disk.
TEST_P(spool_test, KeepsLessInMemoryWhenThatIsShort) {
    constexpr std::size_t size = 4'000'000;
    memory_budget budget(8 << 20);
    const budget_scope use(budget);
    const memory_charge most((7 << 20) - (1 << 20)); // of the 7 MiB that are shared out
    checked seen;
    abort_source go;
    std::optional<outcome> end;
    nursery n;
    n.spawn(keep(pipeline(body(size, 10'000), stage(1 << 20, 8 << 20), checking_sink{&seen, go.signal()}), &end));
    settle();
    EXPECT_LT(usage.memory, 256u * 1024);
    EXPECT_GT(usage.disk, size - 300'000);
    go.abort();
    until([&] { return end.has_value(); });
    EXPECT_TRUE(*end && seen.right && seen.bytes == size);
    n.clear();
    nothing_left();
}

TEST_P(spool_test, LargeItemsAndPartsOfBuffers) {
    struct mixed {
        static stream<chunk> items(std::size_t* total) {
            for (const std::size_t n : {1u, 400'000u, 3u, 20'000u, 300'000u, 7u}) {
                chunk all(body_bytes(1, *total, n));
                *total += n;
                co_yield all.slice(0, n / 3);
                co_yield chunk();
                co_yield all.slice(n / 3, n - n / 3);
            }
        }
    };
    for (const std::size_t limit : {std::size_t(0), std::size_t(5000), disk, 8 * disk}) {
        std::size_t total = 0;
        checked seen;
        const outcome end =
            end_of(pipeline(mixed::items(&total), stage(memory, limit), checking_sink{&seen, at_once()}));
        ASSERT_TRUE(end);
        EXPECT_TRUE(seen.right && seen.bytes == total) << limit;
        EXPECT_LE(usage.disk_max, limit);
    }
}

TEST_P(spool_test, AFailureOfTheSourceIsTheSourcesAndEndsTheChain) {
    manual_source<chunk> source;
    for (std::size_t at = 0; at < 100'000; at += 10'000) source.push(chunk(body_bytes(1, at, 10'000)));
    checked seen;
    std::optional<outcome> end;
    nursery n;
    n.spawn(keep(pipeline(source.open(), stage(), checking_sink{&seen, {}}), &end));
    settle();
    EXPECT_GT(usage.disk, 0u);
    source.fail(errc::protocol);
    until([&] { return end.has_value(); });
    ASSERT_FALSE(*end);
    EXPECT_EQ(end->error().code, errc::protocol);
    EXPECT_EQ(end->error().where, side::source);
    EXPECT_EQ(seen.bytes, 10'000u); // what was kept is gone with the chain
    EXPECT_FALSE(source.alive());
    n.clear();
    nothing_left();
}

// The disk takes less than the source gives: that waits, and goes on when the consumer does. EMFILE comes last, as a
// sanitizer needs descriptors when it meets a type for the first time.
TEST_P(spool_test, WhatTheDiskRefusesIsNotLost) {
    for (const int which : {ENOENT, EFBIG, EMFILE}) {
        usage = {};
        checked seen;
        std::optional<outcome> end;
        abort_source go;
        std::size_t made = 0;
        {
            std::optional<testing::descriptors_left> no_descriptors;
            std::optional<testing::file_size_limit> full_disk;
            if (which == EMFILE) no_descriptors.emplace(0);
            if (which == EFBIG) full_disk.emplace(50'001);
            const std::string where = folder / (which == ENOENT ? "none" : "");
            const spooled stage(memory, 2 * disk, {.folder = where, .usage = &usage});
            nursery n;
            n.spawn(keep(pipeline(body(300'000, 3000, &made), stage, checking_sink{&seen, go.signal()}), &end));
            settle();
            EXPECT_EQ(usage.refusal, system_error_code(which));
            EXPECT_LT(usage.memory, memory + 3000);
            EXPECT_LE(usage.disk, which == EFBIG ? 50'001u : 0u);
            EXPECT_GE(usage.spilled, which == EFBIG ? 50'001u : 0u);
            EXPECT_EQ(made, usage.memory + usage.disk + seen.bytes);
            go.abort();
            until([&] { return end.has_value(); });
        }
        ASSERT_TRUE(*end);
        EXPECT_TRUE(seen.right && seen.bytes == 300'000);
        nothing_left();
    }
}

TEST(spool_full_test, OnAFullFileSystemItDoesWithWhatWasWrittenAndItsMemory) {
    const std::string problem = on_a_file_system("tmpfs", [](const std::string& folder) -> std::string {
        linux_kernel os;
        loop l(os);
        checked seen;
        spool_usage usage;
        std::optional<outcome> end;
        abort_source go;
        nursery n;
        n.spawn(keep(pipeline(body(300'000, 3000), spooled(memory, 2 * disk, {.folder = folder, .usage = &usage}),
                              checking_sink{&seen, go.signal()}),
                     &end));
        while (usage.refusals == 0)
            if (l.turn(false)) return "the loop fails";
        if (usage.refusal != system_error_code(ENOSPC)) return "it is refused for another reason";
        if (usage.disk == 0 || usage.disk > 64 * 1024) return "it did not write what there is room for";
        go.abort();
        while (!end)
            if (l.turn(false)) return "the loop fails at the end";
        return *end && seen.right && seen.bytes == 300'000 ? "" : "the bytes did not come";
    });
    if (problem == "not permitted") GTEST_SKIP() << "this needs the right to mount";
    EXPECT_EQ(problem, "");
}

// About 24 KiB wait on the disk all the time, further and further into the file. It is read 5000 bytes at a time, which
// are no whole blocks.
struct about_24k {
    static stream<chunk> source(spool_usage* usage, bool* ended) {
        for (std::size_t at = 0; at < 400'000; at += 2500) {
            while (usage->disk > 28 * 1024 && usage->refusals == 0) co_await next_turn();
            co_yield chunk(body_bytes(1, at, 2500));
        }
        *ended = true;
    }
    struct sink {
        checking_sink to;
        spool_usage* usage;
        bool* ended;
        task<> write(chunk item) {
            while (usage->disk < 20 * 1024 && !*ended && usage->refusals == 0) co_await next_turn();
            co_await to.write(std::move(item));
        }
        task<> finish() { return to.finish(); }
    };
};

TEST(spool_full_test, WhatHasBeenReadIsGivenBackToTheDisk) {
    const std::string problem = on_a_file_system("tmpfs", [](const std::string& folder) -> std::string {
        linux_kernel os;
        loop l(os);
        checked seen;
        spool_usage usage;
        bool ended = false;
        const auto end = l.run(pipeline(about_24k::source(&usage, &ended),
                                        spooled(20'000, 2 * disk, {.folder = folder, .usage = &usage}),
                                        about_24k::sink{{&seen, at_once()}, &usage, &ended}));
        if (!end || !*end || !seen.right || seen.bytes != 400'000) return "the bytes did not come";
        if (usage.spilled < 300'000) return "they did not go over the disk";
        return usage.refusals != 0 ? "the disk was full" : "";
    });
    if (problem == "not permitted") GTEST_SKIP() << "this needs the right to mount";
    EXPECT_EQ(problem, "");
}

TEST_P(spool_test, TheFolderIsThatOfTemporaryFiles) {
    const char* set = std::getenv("TMPDIR");
    const std::string before_this = set ? set : "";
    for (const std::string& where : {folder / "", std::string("/var/tmp")}) {
        if (where == "/var/tmp")
            ::unsetenv("TMPDIR");
        else
            ::setenv("TMPDIR", where.c_str(), 1);
        checked seen;
        std::optional<outcome> end;
        nursery n;
        n.spawn(keep(pipeline(body(100'000, 5000), spooled(memory, disk), checking_sink{&seen, {}}), &end));
        until([&] { return file_in(where) != -1; });
    }
    if (set)
        ::setenv("TMPDIR", before_this.c_str(), 1);
    else
        ::unsetenv("TMPDIR");
    nothing_left();
}

TEST_P(spool_test, AFileThatCannotBeReadFailsTheFlow) {
    checked seen;
    std::optional<outcome> end;
    abort_source go;
    nursery n;
    n.spawn(keep(pipeline(body(100'000, 5000), stage(), checking_sink{&seen, go.signal()}), &end));
    settle();
    ASSERT_EQ(::ftruncate(file_in(folder / ""), 1000), 0); // stands in for a disk that breaks
    go.abort();
    until([&] { return end.has_value(); });
    ASSERT_FALSE(*end);
    EXPECT_EQ(end->error().code, system_error_code(EIO));
    EXPECT_EQ(end->error().where, side::stage);
    EXPECT_EQ(end->error().detail, "spool file in " + folder / "");
    EXPECT_TRUE(seen.right);
    EXPECT_FALSE(seen.finished);
    n.clear();
    nothing_left();
}

// Dropped at every turn of its life, also while a call to the disk runs: that ends alone, and all is gone.
TEST_P(spool_test, DroppingAtAnyMomentLeavesNothing) {
    bool ended = false;
    for (int turns = 0; !ended; ++turns) {
        {
            nursery n;
            checked seen;
            std::optional<outcome> end;
            n.spawn(keep(pipeline(body(200'000, 7000), stage(), checking_sink{&seen, at_once()}), &end));
            for (int i = 0; i < turns && !n.empty(); ++i) turn();
            ended = n.empty();
            ASSERT_TRUE(seen.right);
        }
        until([&] { return l.remote_away() == 0; });
        ASSERT_EQ(leftovers::now(), before) << "after " << turns << " turns";
        ASSERT_EQ(usage.memory + usage.disk, 0u);
    }
    nothing_left();
}

TEST(spool_pool_test, ACallThatHasNotBegunIsTakenBack) {
    testing::temporary_folder folder;
    offload_pool pool(1);
    linux_kernel os;
    loop l(os);
    l.set_offload_pool(pool);
    struct blocker {
        static task<> run(std::binary_semaphore* begun, std::binary_semaphore* go) {
            co_await offload([begun, go] { begun->release(), go->acquire(); });
        }
    };
    std::binary_semaphore begun{0}, go{0};
    nursery blocking, n;
    blocking.spawn(blocker::run(&begun, &go));
    begun.acquire();
    const leftovers before = leftovers::now();
    checked seen;
    std::optional<outcome> end;
    n.spawn(keep(
        pipeline(body(200'000, 7000), spooled(memory, disk, {.folder = folder / ""}), checking_sink{&seen, {}}), &end));
    while (pool.waiting() == 0) ASSERT_FALSE(l.turn(false));
    n.clear();
    EXPECT_EQ(pool.waiting(), 0u);
    EXPECT_EQ(leftovers::now(), before);
    go.release();
    while (!blocking.empty()) ASSERT_FALSE(l.turn());
}

// In virtual time, where calls to the disk take none.
class spool_time_test : public testing::simulated_test {
protected:
    testing::temporary_folder folder;
    spool_usage usage;
};

// A source and a consumer that take the same time do so together, and one that is slow for a while is waited for.
TEST_F(spool_time_test, TheSourceRunsWhileTheConsumerIsBusy) {
    const spooled stage(memory, disk, {.folder = folder / "", .usage = &usage});
    ASSERT_TRUE(run(pipeline(testing::paced_source(1, 200'000, 20'000, 10ms), stage, slow_sink<chunk>(1, 1ms))));
    EXPECT_LT(sim().elapsed(), 150ms);
}

// Also while the consumer stands still. EMFILE is last for the same reason.
TEST_F(spool_time_test, ADiskThatRefusesIsTriedOncePerSecond) {
    for (const int which : {EFBIG, EMFILE}) {
        usage = {};
        checked seen;
        abort_source go;
        nursery n;
        std::optional<outcome> end;
        std::size_t made = 0;
        const spooled stage(memory, disk, {.folder = folder / "", .usage = &usage});
        n.spawn(keep(pipeline(body(100'000, 3000, &made), stage, checking_sink{&seen, go.signal()}), &end));
        {
            std::optional<testing::descriptors_left> no_descriptors;
            std::optional<testing::file_size_limit> full_disk;
            if (which == EMFILE)
                no_descriptors.emplace(0);
            else
                full_disk.emplace(1000);
            sim().advance(10s + 500ms);
        }
        EXPECT_EQ(usage.refusals, 11u);
        EXPECT_EQ(usage.refusal, system_error_code(which));
        EXPECT_LT(made, 30'000u);
        sim().advance(1s);
        EXPECT_EQ(usage.refusals, 11u);
        EXPECT_EQ(made, 100'000u);
        go.abort();
        sim().advance(1ms);
        EXPECT_TRUE(end && *end && seen.right && seen.bytes == 100'000);
    }
}

// As behind `buffered`: the stage behind the spool hears of the failure with its next try.
stream<chunk> recovering(stream<chunk> in) {
    for (;;) {
        auto item = co_await in.try_next();
        if (!item) {
            co_yield chunk("recovered");
            co_return;
        }
        if (!*item) co_return;
        co_await sleep_for(20ms);
        co_yield std::move(**item);
    }
}

TEST_F(spool_time_test, AStageBehindTheSpoolRecovers) {
    struct broken {
        static stream<chunk> source() {
            for (std::size_t at = 0; at < 50'000; at += 5000) co_yield chunk(body_bytes(1, at, 5000));
            co_await sleep_for(50ms);
            co_await fail(errc::premature_close);
        }
    };
    testing::sink_log<chunk> log;
    const outcome end = run(pipeline(broken::source(), spooled(memory, disk, {.folder = folder / "", .usage = &usage}),
                                     recovering, testing::recording_sink<chunk>(log)));
    ASSERT_TRUE(end);
    EXPECT_EQ(log.items.front().text(), body_bytes(1, 0, log.items.front().size()));
    EXPECT_EQ(log.items.back().text(), "recovered");
    EXPECT_GT(usage.spilled, 0u);
    EXPECT_EQ(usage.memory + usage.disk, 0u);
}

TEST_F(spool_time_test, EveryEndAtEveryPointLeavesNothing) {
    const std::size_t open = leftovers::now().descriptors;
    std::size_t spilled = 0;
    const auto report = testing::at_every_suspension([&](testing::trial& t) {
        usage = {};
        t.check([&]() -> std::string {
            spilled += usage.spilled;
            if (usage.memory + usage.disk != 0) return "bytes are still counted";
            if (leftovers::now().descriptors != open) return "the file is open";
            return {};
        });
        return pipeline({.abort = t.abort(), .timeout = t.timeout()},
                        t.finished(t.source(testing::paced_source(1, 70'000, 7000, 1ms))),
                        spooled(memory, 2 * memory, {.folder = folder / "", .usage = &usage}), t.stage(),
                        t.sink(slow_sink<chunk>(1000, 5ms)));
    });
    EXPECT_TRUE(report.ok()) << report;
    EXPECT_GT(report.points, 20u);
    EXPECT_GT(spilled, 100'000u);
}

} // namespace
} // namespace headgate
