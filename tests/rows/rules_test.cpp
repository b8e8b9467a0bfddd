// The five rules of the mission, R1 to R5, each with a control: the same flow written naively, for which the same check
// must report what is wrong.

#include "support.hpp"
#include <headgate/core/channel.hpp>
#include <headgate/flow/buffered.hpp>
#include <headgate/flow/meters.hpp>
#include <headgate/io/files.hpp>
#include <headgate/stages/gzip.hpp>
#include <headgate/testing/sim.hpp>
#include <headgate/testing/tools.hpp>

#include <csignal>
#include <deque>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>

namespace headgate::rows {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

// ---- R1: every chain goes through pipeline()

// A compressor that gives up at its second chunk.
stream<chunk> failing_gzip(stream<chunk> in) {
    stream<chunk> out = gzip()(std::move(in));
    for (int left = 1; auto item = co_await out.next(); --left) {
        if (left == 0) throw std::runtime_error("deflate: stream error");
        co_yield std::move(*item);
    }
}
enum class compressor { good, failing };
task<outcome> compress(std::string from, std::string to, compressor how) {
    if (how == compressor::failing) return pipeline(files::read(from), &failing_gzip, files::create(to));
    return pipeline(files::read(from), gzip(), files::create(to));
}

// Descriptors that the naive flow below has opened, for the test to close.
std::vector<int> opened;

// Opens, loops, closes; and returns from the middle, as one does when something fails.
task<outcome> compress_naively(std::string from, std::string to, compressor how) {
    const int in = ::open(from.c_str(), O_RDONLY | O_CLOEXEC);
    const int out = ::open(to.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    opened = {in, out};
    if (in < 0) co_return std::unexpected(flow_error{system_error_code(errno), side::source, 0, from});
    std::array<char, 64 * 1024> buffer;
    int chunks = 0;
    while (const ssize_t n = ::read(in, buffer.data(), buffer.size())) {
        if (n < 0) co_return std::unexpected(flow_error{system_error_code(errno), side::source, 0, from});
        if (how == compressor::failing && ++chunks == 2)
            co_return std::unexpected(flow_error{errc::failed, side::stage, 1, "stream error"});
        if (::write(out, buffer.data(), static_cast<std::size_t>(n)) != n)
            co_return std::unexpected(flow_error{system_error_code(errno), side::sink, 2, to});
    }
    ::close(in);
    ::close(out);
    opened.clear();
    co_return transfer{};
}

// While it lives, a file that grows beyond `bytes` gets EFBIG: a disk that is full.
class disk_of {
public:
    explicit disk_of(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
        ::getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit now{bytes, before_.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &now);
    }
    ~disk_of() {
        ::setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, handler_);
    }
    disk_of(const disk_of&) = delete;
    disk_of& operator=(const disk_of&) = delete;

private:
    void (*handler_)(int);
    rlimit before_{};
};

// Text that does not compress well.
std::string noise(std::size_t bytes) {
    std::string text(bytes, 0);
    std::uint32_t state = 7;
    for (char& c : text) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
    return text;
}

using compress_flow = task<outcome> (*)(std::string, std::string, compressor);

class rule_r1 : public row_test {
protected:
    struct failure {
        std::string problem;
        std::optional<flow_error> error;
    };
    failure of(compress_flow flow, std::string from, compressor how) {
        const testing::leftovers before = testing::leftovers::now();
        const outcome end = run(flow(from, folder / "out.gz", how));
        failure f;
        if (!end) f.error = end.error();
        if (testing::leftovers::now() != before) f.problem += "descriptors are open; ";
        if (folder.names().contains("out.gz")) f.problem += "a part of the output is there; ";
        for (const int fd : std::exchange(opened, {})) ::close(fd);
        std::filesystem::remove(folder / "out.gz");
        return f;
    }
    std::array<failure, 3> failures(compress_flow flow) {
        const std::string in = folder.write("in.csv", noise(1'000'000));
        std::array<failure, 3> all;
        all[0] = of(flow, folder / "none.csv", compressor::good);
        all[1] = of(flow, in, compressor::failing);
        const disk_of full(100'000);
        all[2] = of(flow, in, compressor::good);
        return all;
    }
};

TEST_F(rule_r1, FileToGzipToFile) {
    const std::string text = noise(1'000'000);
    const std::string in = folder.write("in.csv", text);
    ASSERT_TRUE(run(compress(in, folder / "out.gz", compressor::good)));
    ASSERT_TRUE(run(pipeline(files::read(folder / "out.gz"), gunzip(), files::create(folder / "back.csv"))));
    EXPECT_TRUE(folder.read("back.csv") == text);
}
TEST_F(rule_r1, EveryFailureIsOneClearErrorAndLeavesNothing) {
    const auto [unreadable, broken, full] = failures(compress);
    for (const failure* f : {&unreadable, &broken, &full}) {
        EXPECT_EQ(f->problem, "");
        ASSERT_TRUE(f->error);
    }
    EXPECT_EQ(unreadable.error->message(), "No such file or directory at stage 0 (source): " + folder / "none.csv");
    EXPECT_EQ(broken.error->code, errc::failed);
    EXPECT_EQ(broken.error->stage, 1);
    EXPECT_EQ(broken.error->detail, "deflate: stream error");
    EXPECT_EQ(full.error->code, system_error_code(EFBIG));
    EXPECT_EQ(full.error->where, side::sink);
}
TEST_F(rule_r1, Control) {
    for (const failure& f : failures(compress_naively)) {
        EXPECT_TRUE(f.error);
        EXPECT_EQ(f.problem, "descriptors are open; a part of the output is there; ");
    }
}

// ---- R2: respect backpressure

constexpr std::size_t many_rows = 20'000; // 4 MB

task<> send_in_step(database* db, socket client, std::size_t*) {
    (void)co_await pipeline(query(db, many_rows), &format_csv, response(std::move(client)));
}
// Queues what cannot be written yet, and forgets the boolean that says so. Its writer waits for a client that it does
// not watch.
task<> write_queued(std::shared_ptr<channel<chunk>> queue, std::shared_ptr<socket> client) {
    for (;;) {
        co_await queue->filled();
        auto item = queue->pop();
        if (!item) co_return;
        (void)co_await client->write_all(item->text());
    }
}
task<> send_queued(database* db, socket client, std::size_t* queued) {
    auto queue = std::make_shared<channel<chunk>>(0);
    strand writing;
    writing.start(write_queued(queue, std::make_shared<socket>(std::move(client))), co_await here());
    stream<chunk> lines = format_csv(query(db, many_rows));
    while (auto line = co_await lines.next()) {
        queue->push(std::move(*line));
        *queued = std::max(*queued, queue->bytes());
    }
    co_await abort_signal().wait(); // for the drain, which never comes
}

class rule_r2 : public row_test {
protected:
    // A client that reads nothing, and leaves when nothing has moved for a while.
    std::string with_a_client_that_stalls(task<> (*flow)(database*, socket, std::size_t*)) {
        database db;
        nursery server;
        std::size_t queued = 0;
        ends e = run(connected(true));
        server.spawn(flow(&db, std::move(e.server), &queued));
        until([&, last = std::size_t(0), still = 0]() mutable {
            still = db.rows == last ? still + 1 : 0;
            last = db.rows;
            return still > some;
        });
        std::string problem;
        if (db.rows == many_rows) problem += "the source was never paused; ";
        if (queued > 64 * 1024) problem += "more was queued than any limit; ";
        e.client.reset();
        turns(some);
        if (!server.empty()) problem += "it waits for room though the client has left; ";
        return problem;
    }
};

TEST_F(rule_r2, WritingWaitsForRoomAndEndsWithTheClient) { EXPECT_EQ(with_a_client_that_stalls(send_in_step), ""); }
TEST_F(rule_r2, Control) {
    EXPECT_EQ(
        with_a_client_that_stalls(send_queued),
        "the source was never paused; more was queued than any limit; it waits for room though the client has left; ");
}

// ---- R3: destroy what you create

struct broken_recipe {
    stream<chunk> operator()(stream<chunk>) const { throw std::invalid_argument("no such level"); }
};
// The source holds an open file and the sink a connection when the stage between them cannot be made.
task<outcome> half_built(stream<chunk> file, socket client) {
    return pipeline(std::move(file), broken_recipe{}, response(std::move(client)));
}
// What the naive flow leaks, for the test to release.
std::unique_ptr<stream<chunk>> kept_source;
std::unique_ptr<response> kept_sink;

task<outcome> half_built_naively(stream<chunk> file, socket client) {
    auto* source = new stream<chunk>(std::move(file));
    auto* sink = new response(std::move(client));
    try {
        const gzip compressor({.level = 99}); // throws
        (void)co_await pipeline(compressor(std::move(*source)), std::move(*sink));
    } catch (const std::invalid_argument& e) { // and nobody remembers `source` and `sink`
        kept_source.reset(source);
        kept_sink.reset(sink);
        co_return std::unexpected(flow_error{errc::failed, side::stage, 1, e.what()});
    }
    co_return transfer{};
}

class rule_r3 : public row_test {
protected:
    stream<chunk> opened_file() {
        const std::string path = folder.write("in", noise(100'000));
        stream<chunk> file = files::read(path, chunk_small);
        run(first_of(&file));
        return file;
    }
    static task<> first_of(stream<chunk>* of) {
        if (!co_await of->next()) throw std::runtime_error("an empty file");
    }
    std::string of_half_built(task<outcome> (*flow)(stream<chunk>, socket)) {
        ends e = run(connected(false));
        const outcome end = run(flow(opened_file(), std::move(e.server)));
        turns(5);
        std::string problem = end ? "it was built; " : "";
        if (open_at(folder / "in") != 0) problem += "the source is alive; ";
        if (!e.client.state().peer_closed) problem += "the sink is alive; ";
        return problem;
    }
};

TEST_F(rule_r3, AConstructionThatFailsHalfWayLeavesNothing) { EXPECT_EQ(of_half_built(half_built), ""); }
TEST_F(rule_r3, Control) {
    EXPECT_EQ(of_half_built(half_built_naively), "the source is alive; the sink is alive; ");
    kept_source.reset();
    kept_sink.reset();
}
TEST_F(rule_r3, AnAbortAndADeadlineEndAChainFromOutside) {
    for (const bool deadline : {false, true}) {
        abort_source abort;
        if (deadline) abort.abort_after(20ms);
        database db;
        std::optional<outcome> end;
        nursery server;
        ends e = run(connected(true));
        server.spawn(keep(pipeline({.abort = abort.signal()}, query(&db, many_rows), &format_csv, gzip(),
                                   response(std::move(e.server))),
                          &end));
        turns(20);
        EXPECT_EQ(db.leased, 1u);
        if (!deadline) abort.abort();
        until([&] { return end.has_value(); });
        EXPECT_EQ(db.leased, 0u);
        ASSERT_FALSE(*end);
        EXPECT_EQ(end->error().code, deadline ? errc::timed_out : errc::aborted);
        turns(5);
        EXPECT_TRUE(e.client.state().broken) << "a response that was ended from outside must not look whole";
    }
}

// ---- R4: profile before production

constexpr std::size_t ahead = 32 * 1024;

task<> send_seen(database* db, socket client, list_node* watchers) {
    (void)co_await pipeline({.watchers = watchers}, query(db, many_rows), &format_csv, buffered(ahead),
                            response(std::move(client)));
}
task<> send_unseen(database* db, socket client, list_node*) {
    stream<chunk> lines = buffered(ahead)(format_csv(query(db, many_rows)));
    while (auto line = co_await lines.next()) (void)co_await client.write_all(line->text());
}

class rule_r4 : public row_test {
protected:
    // What a snapshot shows of a flow that stands still before a slow client.
    std::string snapshot(task<> (*flow)(database*, socket, list_node*)) {
        database db;
        list_node watchers;
        nursery server;
        ends e = run(connected(true));
        server.spawn(flow(&db, std::move(e.server), &watchers));
        until([&, last = std::size_t(0), still = 0]() mutable {
            still = db.rows == last ? still + 1 : 0;
            last = db.rows;
            return still > some;
        });
        if (!watchers.linked()) return "nothing shows it";
        const auto& live = static_cast<live_pipeline&>(*watchers.next);
        std::string shown;
        for (const stage_report& stage : live.report(home.now())) {
            shown += stage.name;
            if (stage.limit != 0) {
                EXPECT_LE(stage.held_max, stage.limit);
                EXPECT_GT(stage.held, stage.limit - 2 * row_bytes) << "it is full at this moment";
                shown += " holds up to " + std::to_string(stage.limit);
            }
            shown += "; ";
        }
        const std::vector<stage_report> parts = live.report(home.now());
        shown += "bottleneck: " + std::string(parts[live.bottleneck(home.now())].name);
        server.clear();
        EXPECT_FALSE(watchers.linked()) << "a flow that is gone is not shown";
        return shown;
    }
};

TEST_F(rule_r4, EveryStageShowsWhatItHoldsAndWhoIsTheBottleneck) {
    EXPECT_EQ(snapshot(send_seen), "source; stage; buffered holds up to 32768; response; bottleneck: response");
}
TEST_F(rule_r4, Control) { EXPECT_EQ(snapshot(send_unseen), "nothing shows it"); }

// ---- R5: test the backpressure

constexpr std::size_t kit_items = 200;
constexpr std::size_t kit_limit = 4 * sizeof(std::size_t);

// Two producers under test: one keeps to its limit, the other reads ahead without any.
stream<std::size_t> bounded(stream<std::size_t> in) { return buffered(kit_limit)(std::move(in)); }
task<> hoard(stream<std::size_t> in, std::deque<std::size_t>* items, bool* ended, place* at) {
    while (auto item = co_await in.next()) {
        items->push_back(*item);
        hold(*at, items->size() * sizeof(std::size_t), kit_limit);
        co_await next_turn();
    }
    *ended = true;
}
stream<std::size_t> unbounded(stream<std::size_t> in) {
    place& at = co_await here();
    std::deque<std::size_t> items;
    bool ended = false;
    strand reading;
    reading.start(hoard(std::move(in), &items, &ended, &at), at);
    while (!ended || !items.empty()) {
        if (items.empty()) {
            co_await next_turn();
            continue;
        }
        const std::size_t item = items.front();
        items.pop_front();
        co_yield item;
    }
}
// What the stage below has left behind, for the test to release.
std::vector<chunk*> forgotten;

// And one that leaves something behind when it is dropped at the wrong moment.
stream<std::size_t> forgetful(stream<std::size_t> in) {
    while (auto item = co_await in.next()) {
        auto* block = new chunk(chunk_small);
        forgotten.push_back(block);
        co_await sleep_for(1ms);
        delete block;
        forgotten.pop_back();
        co_yield *item;
    }
}

using stage_under_test = stream<std::size_t> (*)(stream<std::size_t>);

task<> chain_of(stage_under_test stage, list_node* watchers) {
    const outcome end = co_await pipeline({.watchers = watchers}, testing::counting_source(kit_items), stage,
                                          testing::slow_sink<std::size_t>(sizeof(std::size_t), 10ms));
    if (!end || end->items != kit_items) throw std::runtime_error("not all items arrived");
}

// What the kit finds wrong with a stage: in virtual time, before a sink that takes one item in 10 ms.
std::string backpressure_of(stage_under_test stage) {
    testing::simulation sim;
    list_node watchers;
    nursery n;
    n.spawn(chain_of(stage, &watchers));
    sim.advance(100ms);
    std::string problem;
    if (!watchers.linked()) return "it has ended; ";
    const auto parts = static_cast<live_pipeline&>(*watchers.next).report(sim.os.now());
    if (parts[1].held_max > kit_limit) problem += "it kept more than its limit; ";
    if (parts[0].items == kit_items) problem += "its source was never paused; ";
    if (parts[0].items < parts[2].items) problem += "it invents items; ";
    sim.advance(10s);
    if (!n.empty()) problem += "it does not end; ";
    n.clear();
    return problem + sim.leftovers();
}
std::string drops_of(stage_under_test stage) {
    const testing::drop_report report =
        testing::drop_at_every_turn([stage](testing::simulation&) { return chain_of(stage, nullptr); });
    for (chunk* block : std::exchange(forgotten, {})) delete block;
    return report.problem;
}

TEST(rule_r5, TheKitPassesAStageThatKeepsToItsLimit) {
    EXPECT_EQ(backpressure_of(bounded), "");
    EXPECT_EQ(drops_of(bounded), "");
}
TEST(rule_r5, Control) {
    EXPECT_EQ(backpressure_of(unbounded), "it kept more than its limit; its source was never paused; ");
    EXPECT_THAT(drops_of(forgetful), HasSubstr("chunk byte(s) more"));
}

} // namespace
} // namespace headgate::rows
