#pragma once

#include <headgate/testing/descriptor_origin.hpp>
#include <headgate/testing/live_counts.hpp>

#include <filesystem>
#include <map>
#include <string>

#include <gtest/gtest.h>

namespace headgate::testing {

// For GoogleTest: fails every test that ends with more than it began with: open descriptors of the process, by what
// they refer to and, in debug builds, where they were opened; coroutine frames and chunk bytes of the main thread; and,
// where a loop lives longer than a test, its descriptors, waits and timers. Install it once, in main:
// `testing::leak_listener::install()`; tests need no word of it. What a test suite keeps on purpose belongs in
// SetUpTestSuite, which is not looked at.
class leak_listener : public ::testing::EmptyTestEventListener {
public:
    // GoogleTest owns it from then on.
    static void install() { ::testing::UnitTest::GetInstance()->listeners().Append(new leak_listener); }

    // What is open in this process: by number, what the system says it is.
    static std::map<int, std::string> open_descriptors() {
        std::map<int, std::string> open;
        for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
            std::error_code gone; // the directory's own is closed by the time it is asked for
            const std::string what = std::filesystem::read_symlink(entry.path(), gone);
            if (!gone && !what.ends_with("/fd")) open.emplace(std::stoi(entry.path().filename()), what);
        }
        return open;
    }

    // Looks at what there is.
    void begin() {
        counts_ = live_counts::now(current_loop());
        open_ = open_descriptors();
    }
    // What there is now and was not at the last `begin`, in words; empty if nothing.
    std::string leaked() const {
        std::string out = live_counts::now(current_loop()).excess(counts_);
        for (const auto& [fd, what] : open_descriptors()) {
            if (open_.contains(fd)) continue;
            out += (out.empty() ? "" : ", ") + ("descriptor " + std::to_string(fd) + " (" + what + ")");
            if (const std::string where = descriptor_origin(fd); !where.empty()) out += ", opened at\n" + where;
        }
        return out;
    }

private:
    void OnTestStart(const ::testing::TestInfo&) override { begin(); }
    void OnTestEnd(const ::testing::TestInfo& test) override {
        const std::string left = leaked();
        if (!left.empty()) ADD_FAILURE() << test.test_suite_name() << '.' << test.name() << " leaked " << left;
    }
    static const loop* current_loop() noexcept {
        return executor::exists() ? dynamic_cast<const loop*>(&executor::current()) : nullptr;
    }

    live_counts counts_;
    std::map<int, std::string> open_;
};

} // namespace headgate::testing
