#include <headgate/flow/pipeline.hpp>
#include <headgate/io/spool.hpp>
#include <headgate/testing/explore.hpp>
#include <headgate/testing/limits.hpp>
#include <headgate/testing/temporary_folder.hpp>
#include <headgate/testing/tools.hpp>

#include <gtest/gtest.h>

namespace headgate {
namespace {

using namespace std::chrono_literals;

// Flows of random sizes, paces and limits, some on a disk that refuses to take more.
struct spooled_flows {
    spooled_flows(testing::exploration& x, std::string in, std::uint64_t* spilled, std::uint64_t* refusals)
        : folder(std::move(in)), disk_size(x.one_in(3) ? x.size_up_to(100'000) : 100'000'000), spilled_to(spilled),
          refusals_to(refusals) {
        for (std::size_t n = x.between(1, 4); n != 0; --n) x.actor(flow(&x, this));
    }
    static stream<chunk> source(testing::exploration* x, std::size_t bytes, std::size_t item_max, duration pace) {
        for (std::size_t at = 0; at < bytes;) {
            if (x->one_in(3)) co_await sleep_for(x->up_to(pace));
            const std::size_t n = std::min(x->size_up_to(item_max), bytes - at);
            co_yield chunk(testing::body_bytes(1, at, n));
            at += n;
        }
    }
    struct received {
        std::size_t bytes = 0;
        bool right = true;
    };
    struct sink {
        testing::exploration* x;
        duration pace;
        received* got;
        task<> write(chunk item) {
            got->right = got->right && item.text() == testing::body_bytes(1, got->bytes, item.size());
            got->bytes += item.size();
            if (x->one_in(3)) co_await sleep_for(x->up_to(pace));
        }
        task<> finish() { co_return; }
    };
    static task<> flow(testing::exploration* x, spooled_flows* all) {
        const std::size_t bytes = x->size_up_to(500'000);
        const spooled stage(x->size_up_to(200'000), x->size_up_to(300'000) + 10'000,
                            {.folder = all->folder, .usage = &all->usage});
        received got;
        const outcome end = co_await pipeline(source(x, bytes, x->between(100, 50'000), x->up_to(100ms)), stage,
                                              sink{x, x->up_to(100ms), &got});
        if (!end || !got.right || got.bytes != bytes) x->problem("the bytes did not come");
    }
    std::string check() const { return {}; }
    std::string at_rest() const {
        *spilled_to += usage.spilled;
        *refusals_to += usage.refusals;
        return usage.memory + usage.disk != 0 ? "bytes are still counted" : "";
    }

    std::string folder;
    spool_usage usage;
    testing::file_size_limit disk_size;
    std::uint64_t* spilled_to;
    std::uint64_t* refusals_to;
};

TEST(spool_by_chance_test, EveryByteComesInItsOrder) {
    const testing::temporary_folder folder;
    std::uint64_t spilled = 0, refusals = 0;
    const std::uint64_t replay = testing::seed_to_replay();
    for (std::uint64_t seed = replay ? replay : 1; seed <= (replay ? replay : 200); ++seed) {
        const auto report = testing::explore(seed, [&](testing::exploration& x) {
            return std::make_unique<spooled_flows>(x, folder / "", &spilled, &refusals);
        });
        ASSERT_TRUE(report.ok()) << report;
    }
    if (replay) return;
    EXPECT_GT(spilled, 1'000'000u);
    EXPECT_GT(refusals, 10u);
}

} // namespace
} // namespace headgate
