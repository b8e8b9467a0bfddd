#pragma once

#include <headgate/testing/live_counts.hpp>

#include <gtest/gtest.h>

namespace headgate::testing {

// For GoogleTest: the test fails if at the end of the scope more is alive than at its beginning: frames and chunk bytes
// of the thread; with a loop also its descriptors, waits and timers.
class leak_check {
public:
    leak_check() : before_(live_counts::now()) {}
    // `l` must outlive the check.
    explicit leak_check(const loop& l) : loop_(&l), before_(live_counts::now(&l)) {}
    leak_check(const leak_check&) = delete;
    leak_check& operator=(const leak_check&) = delete;
    ~leak_check() { check("at the end of the scope"); }

    // Looks now. `when` is for the message.
    void check(const char* when) const {
        const std::string difference = live_counts::now(loop_).difference(before_);
        EXPECT_TRUE(difference.empty()) << "left over " << when << ": " << difference;
    }

private:
    const loop* loop_ = nullptr;
    live_counts before_;
};

} // namespace headgate::testing
