#include <headgate/testing/temporary_folder.hpp>

#include <array>
#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <gateway/access_log.hpp>

namespace headgate::gateway {
namespace {

std::string line(std::size_t n) { return "line " + std::to_string(n) + std::string(90, 'x') + "\n"; }

// The writer is a thread: what it does can only be waited for.
template <class Condition>
void wait_until(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
        ASSERT_LT(std::chrono::steady_clock::now(), deadline);
        std::this_thread::yield();
    }
}

std::vector<std::string> lines_of(const std::string& file) {
    std::ifstream in(file);
    std::vector<std::string> all;
    for (std::string l; std::getline(in, l);) all.push_back(l);
    return all;
}

class access_log_test : public ::testing::Test {
protected:
    std::string path(const char* name) const { return folder / name; }
    access_log_options to(const std::string& file) const { return {.format = log_format::json, .path = file}; }

    testing::temporary_folder folder;
};

TEST_F(access_log_test, AppendsToAFile) {
    std::ofstream(path("log")) << "before\n";
    {
        access_log log(to(path("log")));
        for (std::size_t n = 0; n < 1000; ++n) log.append(line(n));
    }
    const auto all = lines_of(path("log"));
    ASSERT_EQ(all.size(), 1001u);
    EXPECT_EQ(all[0], "before");
    EXPECT_EQ(all[1000] + "\n", line(999));
}

TEST_F(access_log_test, AFileThatCannotBeOpenedIsAnError) {
    EXPECT_THROW(access_log(to(path("no/such/folder"))), std::system_error);
}

TEST_F(access_log_test, TheFormatIsThatOfWhatItWritesTo) {
    EXPECT_EQ(access_log({.path = path("log")}).format(), log_format::json);
    EXPECT_EQ(access_log({.format = log_format::text, .path = path("log")}).format(), log_format::text);
    const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
    ASSERT_GE(terminal, 0);
    EXPECT_EQ(access_log(terminal, log_format::automatic).format(), log_format::text);
    ::close(terminal);
}

TEST_F(access_log_test, AFullPipeDropsAndCountsAndHoldsUpNobody) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    constexpr std::size_t written = 30'000; // 3 MB
    std::string read;
    {
        access_log log(ends[1], log_format::json);
        for (std::size_t n = 0; n < written; n += 2) log.append(line(n) + line(n + 1));
        EXPECT_GT(log.dropped(), 10'000u);
        EXPECT_EQ(log.dropped() % 2, 0u);
        const std::size_t dropped = log.dropped();
        std::array<char, 65536> buffer;
        const std::string note = "\"event\":\"dropped\",\"lines\":" + std::to_string(dropped) + "}\n";
        while (!read.contains(note)) {
            const ssize_t n = ::read(ends[0], buffer.data(), buffer.size());
            ASSERT_GT(n, 0);
            read.append(buffer.data(), static_cast<std::size_t>(n));
        }
        EXPECT_EQ(static_cast<std::size_t>(std::ranges::count(read, '\n')) + dropped, written + 1);
    }
    ::close(ends[0]);
    ::close(ends[1]);
}

TEST_F(access_log_test, AFullDiskDropsAndCounts) {
    access_log log(to("/dev/full"));
    for (std::size_t n = 0; n < 100; ++n) log.append(line(n));
    wait_until([&] { return log.dropped() >= 100; });
    EXPECT_GE(log.dropped(), 100u); // and what could not be said of them
}

TEST_F(access_log_test, HalfALineStandsAlone) {
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    rlimit small = before;
    small.rlim_cur = 1000;
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    {
        access_log log(to(path("log")));
        std::string all;
        for (std::size_t n = 0; n < 20; ++n) all += line(n);
        log.append(all);
        wait_until([&] { return log.dropped() != 0; });
        EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
        log.append("after\n");
    }
    std::signal(SIGXFSZ, handler);
    const auto all = lines_of(path("log"));
    const std::size_t whole = 1000 / line(0).size();
    ASSERT_EQ(all.size(), whole + 3);
    EXPECT_EQ(all[whole - 1] + "\n", line(whole - 1));
    EXPECT_TRUE(line(whole).starts_with(all[whole]));
    EXPECT_EQ(all[whole + 1], "after");
    EXPECT_TRUE(all[whole + 2].contains("\"lines\":" + std::to_string(20 - whole) + "}")) << all[whole + 2];
}

TEST_F(access_log_test, OpenedAgainUnderLoadItLosesNoLine) {
    constexpr std::size_t turns = 20;
    constexpr std::size_t each = 500;
    {
        access_log log(to(path("log")));
        for (std::size_t t = 0; t < turns; ++t) {
            for (std::size_t n = 0; n < each; ++n) log.append(line(t * each + n));
            std::filesystem::rename(path("log"), path(("log." + std::to_string(t)).c_str()));
            log.reopen();
            wait_until([&] { return std::filesystem::exists(path("log")); });
        }
        EXPECT_EQ(log.dropped(), 0u);
    }
    std::vector<std::string> all;
    for (std::size_t t = 0; t < turns; ++t)
        for (std::string& l : lines_of(path(("log." + std::to_string(t)).c_str()))) all.push_back(std::move(l));
    for (std::string& l : lines_of(path("log"))) all.push_back(std::move(l));
    ASSERT_EQ(all.size(), turns * each);
    for (std::size_t n = 0; n < all.size(); ++n) ASSERT_EQ(all[n] + "\n", line(n));
}

TEST_F(access_log_test, AFileThatCannotBeOpenedAgainIsWrittenOn) {
    const std::string inside = path("folder");
    std::filesystem::create_directory(inside);
    {
        access_log log(to(inside + "/log"));
        log.append("one\n");
        wait_until([&] { return !lines_of(inside + "/log").empty(); });
        std::filesystem::rename(inside, path("elsewhere"));
        log.reopen();
        log.append("two\n");
        wait_until([&] { return lines_of(path("elsewhere/log")).size() == 2; });
    }
    EXPECT_EQ(lines_of(path("elsewhere/log")), (std::vector<std::string>{"one", "two"}));
}

} // namespace
} // namespace headgate::gateway
