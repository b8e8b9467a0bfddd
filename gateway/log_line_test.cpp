#include <headgate/testing/fixture.hpp>

#include <gtest/gtest.h>

#include <gateway/log_line.hpp>
#include <gateway/observe/flow_registry.hpp>

namespace headgate::gateway {
namespace {

class log_line_test : public testing::simulated_test {
protected:
    static std::string json(const log_record& r, const std::vector<std::string>& redacted = {}) {
        std::string out;
        append_json_line(out, r, redacted);
        EXPECT_TRUE(out.starts_with("{\"time\":\"2"));
        EXPECT_TRUE(out.ends_with("}\n"));
        return out.substr(out.find(",\"event\"") + 1);
    }
    static std::string text(const log_record& r, const std::vector<std::string>& redacted = {}) {
        std::string out;
        append_text_line(out, r, redacted);
        return out.substr(out.find(' ') + 1);
    }

    const peer_address client{peer_address::of(*address::parse("[2001:db8::1]:80"))};
};

TEST_F(log_line_test, EachEndHasALevel) {
    const auto level = [](int status, std::optional<cause> why) {
        return level_of(flow_facts{.status = status, .why = why});
    };
    EXPECT_EQ(level(200, cause::complete), log_level::info);
    EXPECT_EQ(level(200, std::nullopt), log_level::info) << "it goes on";
    EXPECT_EQ(level(500, cause::complete), log_level::error) << "the upstream's own answer";
    EXPECT_EQ(level(200, cause::client_reset), log_level::warning);
    EXPECT_EQ(level(502, cause::upstream_refused), log_level::error);
    EXPECT_EQ(level(200, cause::upstream_reset), log_level::error);
}

TEST_F(log_line_test, WhatWasNoFlowYet) {
    const flow_facts is{.listener = "0.0.0.0:80", .client = &client, .why = cause::client_denied};
    EXPECT_EQ(text({.facts = is}),
              "- - - client=[2001:db8::1]:80 upstream=- up=0 down=0 ms=0.000 end=client_denied id=-\n");
    EXPECT_EQ(json({.facts = is}),
              "\"event\":\"end\",\"kind\":\"other\",\"id\":null,\"request_id\":null,\"trace_id\":null,\"route\":null,"
              "\"listener\":\"0.0.0.0:80\",\"client\":\"2001:db8::1\",\"client_port\":80,\"upstream\":null,"
              "\"source\":null,\"method\":null,\"target\":null,\"status\":null,\"up_bytes\":0,\"down_bytes\":0,"
              "\"age_ms\":0.000,\"cause\":\"client_denied\",\"side\":\"client\",\"phase\":null,\"attempts\":null,"
              "\"head_ms\":null,\"queue_ms\":null,\"connect_ms\":null,\"tls_ms\":null,\"send_ms\":null,"
              "\"wait_ms\":null,\"first_byte_ms\":null,\"client_ms\":null,\"hold_ms\":null,\"held_bytes\":null,"
              "\"held_max_bytes\":null,\"waits_ms\":null,\"stages\":null}\n");
}

TEST_F(log_line_test, EveryByteOfATargetIsToldInAscii) {
    std::string all;
    for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
    const flow_facts is{.method = "G\"T", .target = all, .why = cause::complete};
    const std::string line = json({.facts = is});
    EXPECT_TRUE(line.contains("\"method\":\"G\\\"T\"")) << line;
    EXPECT_TRUE(line.contains("\"target\":\"\\u0000\\u0001")) << line;
    EXPECT_TRUE(line.contains("\\u001f !\\\"#")) << line;
    EXPECT_TRUE(line.contains("[\\\\]^")) << line;
    EXPECT_TRUE(line.contains("~\\u007f\\u0080")) << line;
    EXPECT_TRUE(line.contains("\\u00ff\",\"status\"")) << line;
    EXPECT_EQ(std::ranges::count_if(line, [](char c) { return c < ' ' || c > '~'; }), 1) << "the newline";
}

TEST_F(log_line_test, ValuesOfTheQueryAreLeftOut) {
    const flow_facts is{.method = "GET", .target = "/a?token=1&b=2", .why = cause::complete};
    const std::vector<std::string> names = {"token"};
    EXPECT_TRUE(json({.facts = is}, names).contains("\"target\":\"/a?token=-&b=2\""));
    EXPECT_TRUE(text({.facts = is}, names).contains(" /a?token=-&b=2 "));
}

TEST_F(log_line_test, WhatGoesOnHasNoCause) {
    const flow_facts is{.method = "GET", .target = "/"};
    EXPECT_TRUE(json({.facts = is, .interim = true}).contains("\"cause\":null,\"side\":null"));
    EXPECT_TRUE(json({.facts = is, .interim = true}).starts_with("\"event\":\"interim\""));
    EXPECT_TRUE(text({.facts = is, .interim = true}).contains(" end=- "));
}

TEST_F(log_line_test, HowManyWereDropped) {
    std::array<char, 200> room;
    const auto said = [&room](log_format f) { return std::string(room.data(), write_dropped(room, f, 12)); };
    EXPECT_TRUE(said(log_format::json).ends_with("Z\",\"event\":\"dropped\",\"lines\":12}\n"));
    EXPECT_EQ(said(log_format::text), "headgate: 12 log lines dropped: the log was not written fast enough\n");
}

} // namespace
} // namespace headgate::gateway
