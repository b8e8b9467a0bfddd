#include <vector>

#include <gtest/gtest.h>

#include <gateway/config/suggest.hpp>

namespace headgate::gateway {
namespace {

TEST(Suggest, FindsWhatWasMeantOrListsWhatThereIs) {
    const std::string_view keys[] = {"upstream", "upstreams", "connect_timeout", "idle_max"};
    const std::pair<std::string_view, std::string_view> cases[] = {
        {"upstrem", "did you mean 'upstream'?"},
        {"upstraems", "did you mean 'upstreams'?"},
        {"Connect-Timeout", "did you mean 'connect_timeout'?"},
        {"connecttimeout", "did you mean 'connect_timeout'?"},
        {"max_idle", "there are 'upstream', 'upstreams', 'connect_timeout' and 'idle_max'"},
        {"", "there are 'upstream', 'upstreams', 'connect_timeout' and 'idle_max'"},
        {std::string_view("upstream\0x", 10), "did you mean 'upstream'?"},
    };
    for (const auto& [word, answer] : cases) EXPECT_EQ(suggest(word, keys), answer) << word;
    EXPECT_EQ(suggest("x", {}), "there is none");
    EXPECT_EQ(suggest("xyz", std::span(keys).first(1)), "there is 'upstream'");
    EXPECT_EQ(suggest(std::string(100'000, 'u'), keys), suggest("", keys));
}

TEST(Suggest, ListsNoMoreThanOneCanRead) {
    const std::vector<std::string_view> many(100, "aaaaaaaaaa");
    EXPECT_TRUE(suggest("b", many).ends_with(" and 76 more"));
}

} // namespace
} // namespace headgate::gateway
