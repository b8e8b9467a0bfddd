// The rules of the mission about failures, R1 and R3, each with a control: the same flow written naively, for which the
// same check must report what is wrong.

#include <headgate/io/files.hpp>
#include <headgate/stages/gzip.hpp>
#include <headgate/testing/limits.hpp>

#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <tests/rows/support.hpp>

namespace headgate::rows {
namespace {

using namespace std::chrono_literals;

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
    if (how == compressor::failing)
        return pipeline(files::read(std::move(from)), &failing_gzip, files::create(std::move(to)));
    return pipeline(files::read(std::move(from)), gzip(), files::create(std::move(to)));
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
        const outcome end = run(flow(std::move(from), folder / "out.gz", how));
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
        const testing::file_size_limit full(100'000);
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

} // namespace
} // namespace headgate::rows
