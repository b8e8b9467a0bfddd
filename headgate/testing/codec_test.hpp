#pragma once

#include <headgate/flow/pipeline.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/tools.hpp>

#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace headgate::testing {

inline stream<chunk> pieces(std::string text, std::size_t size) {
    for (std::size_t i = 0; i < text.size(); i += size) co_yield chunk(std::string_view(text).substr(i, size));
}

// For tests of stages that make bytes of bytes.
class codec_test : public simulated_test {
protected:
    // What comes out of a stage, in one string; the largest chunk is noted.
    template <class Stage>
    outcome through(const Stage& stage, std::string text, std::size_t piece, std::string& out) {
        sink_log<chunk> log;
        const outcome end = run(pipeline(pieces(std::move(text), piece), stage, recording_sink<chunk>(log)));
        for (const chunk& c : log.items) {
            EXPECT_FALSE(c.empty());
            EXPECT_LE(c.size(), chunk_large);
            out += c.text();
        }
        EXPECT_EQ(log.finished, end.has_value());
        return end;
    }
};

} // namespace headgate::testing
