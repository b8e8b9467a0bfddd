#include <headgate/http/parser.hpp>

#include <set>
#include <string>

#include <gtest/gtest.h>

#include <gateway/trace/context.hpp>

namespace headgate::gateway {
namespace {

constexpr std::string_view right = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

std::string_view view(const auto& text) { return {text.data(), text.size()}; }

TEST(TraceContext, ReadsAndWritesTheSame) {
    const auto c = parse_traceparent(right);
    ASSERT_TRUE(c);
    EXPECT_EQ(c->trace_high, 0x4bf92f3577b34da6u);
    EXPECT_EQ(c->trace_low, 0xa3ce929d0e0e4736u);
    EXPECT_EQ(c->span, 0x00f067aa0ba902b7u);
    EXPECT_TRUE(c->sampled);
    EXPECT_EQ(view(format_traceparent(*c)), right);
    EXPECT_EQ(view(format_trace_id(*c)), right.substr(3, 32));
    EXPECT_EQ(view(format_span_id(c->span)), right.substr(traceparent_span_at, 16));
}

TEST(TraceContext, FlagsThatAreNotKnownAreNotPassedOn) {
    const auto c = parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-fe");
    ASSERT_TRUE(c);
    EXPECT_FALSE(c->sampled);
    EXPECT_TRUE(view(format_traceparent(*c)).ends_with("-00"));
}

TEST(TraceContext, LaterVersionsAreReadAsTheFirst) {
    for (const std::string_view tail : {"", "-", "-what-the-future-brings"}) {
        const auto c = parse_traceparent("cc" + std::string(right.substr(2)) + std::string(tail));
        ASSERT_TRUE(c) << tail;
        EXPECT_EQ(view(format_traceparent(*c)), right);
    }
    EXPECT_FALSE(parse_traceparent("cc" + std::string(right.substr(2)) + "x"));
}

TEST(TraceContext, RefusesWhatIsMalformed) {
    const std::string text(right);
    EXPECT_FALSE(parse_traceparent(""));
    EXPECT_FALSE(parse_traceparent(text.substr(0, 54)));
    EXPECT_FALSE(parse_traceparent(text + "-"));
    EXPECT_FALSE(parse_traceparent(text + "-00"));
    EXPECT_FALSE(parse_traceparent("ff" + text.substr(2)));
    EXPECT_FALSE(parse_traceparent("00-00000000000000000000000000000000-00f067aa0ba902b7-01"));
    EXPECT_FALSE(parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"));
    for (std::size_t i = 0; i < text.size(); ++i)
        for (const char c : {'G', 'F', ' ', '\0', '-'}) {
            std::string wrong = text;
            if (wrong[i] == c) continue;
            wrong[i] = c;
            EXPECT_FALSE(parse_traceparent(wrong)) << wrong;
        }
}

class head {
public:
    explicit head(const std::string& fields) : text_("GET / HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n") {
        EXPECT_EQ(parser_.parse(text_).state, http::parse_state::complete) << text_;
    }
    const http::message_head& get() const { return parser_.head(); }

private:
    std::string text_;
    http::request_parser parser_;
};

TEST(TraceContext, ThereMustBeOne) {
    const std::string field = "TraceParent: " + std::string(right) + "\r\n";
    EXPECT_TRUE(trace_context_of(head(field).get()));
    EXPECT_FALSE(trace_context_of(head("").get()));
    EXPECT_FALSE(trace_context_of(head(field + field).get()));
    EXPECT_FALSE(trace_context_of(head("trace-parent: " + std::string(right) + "\r\n").get()));
}

TEST(TraceContext, StateIsAListOfAtMost32Members) {
    const auto usable = [](const std::string& value) {
        return usable_tracestate(head("tracestate: " + value + "\r\n").get());
    };
    EXPECT_TRUE(usable(""));
    EXPECT_TRUE(usable("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"));
    EXPECT_TRUE(usable("foo=1 , \t bar=2,,0a_-*/@b= x !"));
    for (const char* wrong : {"foo", "=1", "foo=", "Foo=1", "foo=1=2", "_foo=1", "foo =1", "foo=\x80"})
        EXPECT_FALSE(usable(wrong)) << wrong;
    EXPECT_TRUE(usable(std::string(256, 'a') + "=" + std::string(256, 'b')));
    EXPECT_FALSE(usable(std::string(257, 'a') + "=b"));
    EXPECT_FALSE(usable("a=" + std::string(257, 'b')));
    std::string many;
    for (int i = 0; i < 32; ++i) many += "k" + std::to_string(i) + "=v,";
    EXPECT_TRUE(usable(many));
    EXPECT_FALSE(usable(many + "one=more"));
    EXPECT_FALSE(usable_tracestate(head("tracestate: " + many + "\r\nTraceState: one=more\r\n").get()));
}

TEST(TraceContext, IdsDiffer) {
    trace_ids a;
    trace_ids b;
    std::set<std::uint64_t> seen;
    for (int i = 0; i < 1000; ++i) seen.insert({a.next(), b.next()});
    EXPECT_EQ(seen.size(), 2000u);
    EXPECT_FALSE(seen.contains(0));
}

} // namespace
} // namespace headgate::gateway
