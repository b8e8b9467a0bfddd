#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gateway/machine_memory.hpp>

namespace headgate::gateway {
namespace {

namespace fs = std::filesystem;

bool put(const fs::path& file, const std::string& text) {
    std::ofstream out(file);
    out << text << std::flush;
    return out.good();
}

// A control group for this test, with a limit. Null if none can be made.
class memory_group {
public:
    explicit memory_group(std::size_t limit) {
        const bool v1 = fs::exists("/sys/fs/cgroup/memory");
        path_ =
            fs::path(v1 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup") / ("headgate-test-" + std::to_string(getpid()));
        std::error_code wrong;
        made_ = fs::create_directory(path_, wrong) &&
                put(path_ / (v1 ? "memory.limit_in_bytes" : "memory.max"), std::to_string(limit));
    }
    memory_group(const memory_group&) = delete;
    memory_group& operator=(const memory_group&) = delete;
    ~memory_group() {
        std::error_code ignored;
        fs::remove(path_, ignored);
    }
    explicit operator bool() const noexcept { return made_; }
    bool join() const { return put(path_ / "cgroup.procs", std::to_string(getpid())); }

private:
    fs::path path_;
    bool made_;
};

TEST(machine_memory_test, IsNoMoreThanTheMachineHas) {
    EXPECT_GT(machine_memory(), 0u);
    EXPECT_LE(machine_memory(), static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE)));
}

TEST(machine_memory_test, IsNoMoreThanTheControlGroupMayHave) {
    constexpr std::size_t limit = 512 * 1024 * 1024;
    const memory_group group(limit);
    if (!group) GTEST_SKIP() << "no control group can be made";
    const pid_t child = fork();
    if (child == 0) _exit(group.join() && machine_memory() == limit ? 0 : 1);
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

} // namespace
} // namespace headgate::gateway
