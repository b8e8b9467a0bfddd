#include <gmock/gmock.h>

#include <gateway/post_mortem/symbols.hpp>

namespace headgate::gateway {

// Not static: it has a name also where the optimiser is at work.
[[gnu::noinline]] const void* own_return_address() { return __builtin_return_address(0); }

namespace {

using ::testing::MatchesRegex;

TEST(symbols_test, NamesFunctionsAndTheLinesOfCalls) {
    const symbols s;
    EXPECT_THAT(s.function(reinterpret_cast<const void*>(&own_return_address)),
                MatchesRegex("own_return_address \\(symbols_test.cpp:[0-9]+\\)"));
    const std::string call = s.call(own_return_address()); // on this line
    EXPECT_THAT(call, MatchesRegex(".*TestBody \\(symbols_test.cpp:[0-9]+\\)"));
    EXPECT_THAT(call, ::testing::HasSubstr(":" + std::to_string(__LINE__ - 2) + ")"));
}

TEST(symbols_test, WhatHasNoNameIsAnAddress) {
    const symbols s;
    EXPECT_EQ(s.function(reinterpret_cast<const void*>(0x10)), "0x10");
}

TEST(symbols_test, NamesAreShort) {
    EXPECT_EQ(short_name("headgate::gateway::exchange(headgate::gateway::request&, headgate::gateway::route)"),
              "exchange");
    EXPECT_EQ(short_name("headgate::gateway::(anonymous namespace)::try_once(request&, std::vector<int, alloc>)"),
              "try_once");
    EXPECT_EQ(short_name("headgate::task<std::expected<int, x> > headgate::pipeline<headgate::stream<chunk>, "
                         "gzip>(headgate::pipe_options, stream<chunk>, gzip)"),
              "pipeline");
    EXPECT_EQ(short_name("headgate::gateway::proxy::serve(headgate::socket, headgate::gateway::client_peer)"),
              "proxy::serve");
    EXPECT_EQ(
        short_name("decltype ({parm#1}()) headgate::(anonymous namespace)::checked<headgate::kernel::read(int)::$_0>"
                   "(headgate::kernel::read(int)::$_0)"),
        "checked");
    EXPECT_EQ(short_name("main"), "main");
    EXPECT_EQ(short_name("foo::$_0::operator()(int) const"), "foo::$_0::operator()");
    EXPECT_EQ(short_name(""), "");
}

} // namespace
} // namespace headgate::gateway
