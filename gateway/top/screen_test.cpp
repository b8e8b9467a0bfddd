#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <gateway/top/query.hpp>
#include <gateway/top/screen.hpp>
#include <gateway/top/terminal.hpp>
#include <gateway/top/words.hpp>

namespace headgate::gateway::top {

namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

constexpr std::string_view one_stalled =
    R"({"time": "2026-11-22T23:59:59.123Z", "total": 7, "matched": 1, "routes": [], "flows": [
  {"id": "w0-7", "request_id": "abc", "kind": "export", "route": "reports", "client": "192.0.2.7", "upstream": null, "source": "shop",
   "method": "GET", "target": "/a\u001b[2Jb", "status": 200, "age_ms": 13000.5, "phase": "body", "waiting_for": "client",
   "waiting_ms": 12400, "stalled_ms": 12400, "stalled_by": "client", "up_bytes": 0, "down_bytes": 6000000, "held_bytes": 65536, "held_limit_bytes": 131072, "hold_ms": 400,
   "holding": false, "lanes": [{"direction": "down", "verdict": {"stage": "client", "index": 1, "party": "client", "share": 0.97, "stalled_ms": 12400},
     "stages": [{"name": "database", "side": "source", "bytes": 6000000, "held_bytes": 0, "limit_bytes": 65536, "state": "done"},
                {"name": "client", "side": "sink", "bytes": 6000000, "held_bytes": 65536, "limit_bytes": 65536, "state": "working"}]}],
   "verdict": {"stage": "client", "index": 1, "party": "client", "share": 0.97, "stalled_ms": 12400}}]})";

constexpr std::string_view some_overview =
    R"({"version": "0.1.0", "pid": 1, "ready": true, "workers": 2, "flows": 7, "uptime_s": 61,
  "memory": {"used_bytes": 65536, "limit_bytes": 1048576}, "spool": null, "descriptors": {"used": 9, "limit": 1024},
  "routes": [{"route": "reports", "flows": 7, "stalled": 1, "held_bytes": 65536, "bottlenecks": {"client": 1}}]})";

state a_state() {
    state s;
    s.where = "127.0.0.1:9909";
    s.all = *read_overview(some_overview);
    s.list = *read_flows(one_stalled);
    s.colours = false;
    return s;
}

TEST(TopWords, Numbers) {
    EXPECT_EQ(bytes_text(0), "0 B");
    EXPECT_EQ(bytes_text(65536), "64 KiB");
    EXPECT_EQ(bytes_text(43'096'474), "41.1 MiB");
    EXPECT_EQ(bytes_text(~std::uint64_t{0}), "16 EiB");
    EXPECT_EQ(time_text(0), "0 ms");
    EXPECT_EQ(time_text(0.2), "1 ms");
    EXPECT_EQ(time_text(400), "0.4 s");
    EXPECT_EQ(time_text(59'999), "59 s");
    EXPECT_EQ(time_text(125'000), "2 min 5 s");
    EXPECT_EQ(time_text(86'400'000), "1 d 0 h");
    EXPECT_EQ(percent_encoded("w0-1 /ä"), "w0-1%20%2F%C3%A4");
    EXPECT_EQ((flow_query{.limit = 5, .search = "a&b"}.path()), "/api/v1/flows?sort=stalled&limit=5&search=a%26b");
}

TEST(TopAnswers, AFlowIsReadAndJudged) {
    const auto list = read_flows(one_stalled);
    ASSERT_TRUE(list.has_value());
    const flow_row& f = list->flows.at(0);
    EXPECT_EQ(f.what(), "GET /a?[2Jb") << "nothing that a client chose gives orders to the terminal";
    EXPECT_EQ(f.upstream, "");
    const judgement j = judge(f);
    EXPECT_EQ(j.how, judgement::level::stalled);
    EXPECT_EQ(j.text, "waits for the client: 12 s");
    EXPECT_EQ(stage_words(f, f.lanes[0], 0), "given back after 0.4 s");
    EXPECT_EQ(stage_words(f, f.lanes[0], 1), "takes nothing: 12 s");
}

TEST(TopAnswers, OnlyTheStalledOnes) {
    EXPECT_EQ(read_flows(only_stalled(one_stalled, 12'000))->flows.size(), 1U);
    EXPECT_EQ(read_flows(only_stalled(one_stalled, 13'000))->flows.size(), 0U);
}

TEST(TopAnswers, WhatIsNoneIsRefused) {
    for (const std::string_view text : {"", "[]", "{}", "{\"flows\"", "nonsense", "null"}) {
        EXPECT_FALSE(read_flows(text)) << text;
        EXPECT_FALSE(read_overview(text)) << text;
    }
    EXPECT_TRUE(read_flows(R"({"flows": [{}, 5, {"lanes": [{"stages": [null]}]}]})")) << "members may be missing";
    EXPECT_EQ(read_problem(R"({"detail": "gone"})"), "gone");
    EXPECT_EQ(read_problem("not json\x1b"), "not json?");
}

TEST(TopScreen, SaysWhoIsSlowAndWhatItCosts) {
    state s = a_state();
    const auto lines = draw(s, {120, 24});
    ASSERT_EQ(lines.size(), 24U);
    EXPECT_THAT(lines[0], HasSubstr("7 flows, 1 stalled"));
    EXPECT_EQ(lines[2], "The client 192.0.2.7 has taken nothing for 12 s, and 64 KiB are held for it.");
    EXPECT_THAT(lines[5], StartsWith("> client 12 s"));
    EXPECT_THAT(lines[5], HasSubstr("back 0.4 s"));
    EXPECT_THAT(lines.back(), HasSubstr("longest stalled"));
}

TEST(TopScreen, FitsEveryScreen) {
    for (const auto shows : {state::mode::list, state::mode::inspect, state::mode::help})
        for (std::size_t columns = 1; columns <= 200; columns += 7)
            for (const std::size_t rows : {1U, 2U, 5U, 6U, 24U}) {
                state s = a_state();
                s.shows = shows;
                s.chosen = "w0-7";
                const auto lines = draw(s, {columns, rows});
                EXPECT_LE(lines.size(), rows);
                if (shows == state::mode::help) continue;
                for (const std::string& l : lines) EXPECT_LE(l.size(), std::max<std::size_t>(columns, 1)) << l;
            }
}

TEST(TopScreen, ScrollsToTheChosenFlow) {
    state s = a_state();
    const flow_row f = s.list.flows[0];
    s.list.flows.clear();
    for (int i = 0; i < 40; ++i) {
        s.list.flows.push_back(f);
        s.list.flows.back().id = std::to_string(i);
    }
    s.move(30);
    EXPECT_EQ(s.chosen, "30");
    const auto lines = draw(s, {80, 16});
    EXPECT_EQ(std::ranges::count_if(lines, [](const std::string& l) { return l.starts_with("> "); }), 1);
    s.move(-100);
    EXPECT_EQ(s.chosen, "0");
    EXPECT_THAT(draw(s, {80, 16})[5], StartsWith("> "));
}

TEST(TopScreen, AFlowThatHasEndedIsNotTakenForAnother) {
    state s = a_state();
    s.shows = state::mode::inspect;
    s.chosen = "w0-6";
    EXPECT_EQ(s.chosen_flow(), nullptr);
    EXPECT_THAT(draw(s, {80, 24}), testing::Contains("this flow has ended"));
}

std::vector<key> keys_of(std::string_view bytes, std::size_t piece) {
    key_reader r;
    std::vector<key> out;
    for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size())))
        for (const pressed& p : r.feed(bytes.substr(0, piece))) out.push_back(p.what);
    for (const pressed& p : r.timed_out()) out.push_back(p.what);
    return out;
}

TEST(TopKeys, ComeInPieces) {
    for (const std::size_t piece : {1U, 2U, 100U})
        EXPECT_THAT(keys_of("a\x1b[A\x1bOB\x1b[6~\r\x7f\x1b[15~\x1b", piece),
                    ElementsAre(key::text, key::up, key::down, key::page_down, key::enter, key::erase, key::escape));
}

} // namespace

} // namespace headgate::gateway::top
