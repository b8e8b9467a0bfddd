#include <headgate/testing/fixture.hpp>

#include <gateway/compression.hpp>

namespace headgate::gateway {
namespace {

using http::field;

const compression_options on{.algorithms = {"zstd", "gzip"}};

http::response_head head(int status, std::string_view type, std::uint64_t length = 5000) {
    http::response_head h;
    h.status = status;
    h.framing = {http::body_framing::kind::length, length};
    h.headers.emplace_back("Content-Type", type, field::content_type);
    return h;
}
http::response_head with(http::response_head h, field name, std::string_view value) {
    h.headers.emplace_back(http::field_name(name), value, name);
    return h;
}

TEST(compression_test, TypesAreWholeOrAKind) {
    EXPECT_TRUE(may_compress(on, "text/html", 1024));
    EXPECT_TRUE(may_compress(on, "TEXT/anything ; charset=utf-8", 1024));
    EXPECT_TRUE(may_compress(on, "application/json;q", 1024));
    for (const char* type :
         {"", "text", "text/", "text/*x/", "texts/html", "image/png", "application/jsonx", "application/*"})
        EXPECT_EQ(may_compress(on, type, 1024), std::string_view(type) == "text/*x/") << type;
    EXPECT_FALSE(may_compress(on, "text/html", 1023));
    EXPECT_FALSE(may_compress({}, "text/html", 5000));
}

TEST(compression_test, OnlyAWholeBodyThatIsNotCoded) {
    EXPECT_TRUE(may_compress(on, head(200, "text/html")));
    EXPECT_TRUE(may_compress(on, head(500, "text/html")));
    EXPECT_FALSE(may_compress(on, head(206, "text/html")));
    EXPECT_FALSE(may_compress(on, head(200, "text/html", 10)));
    EXPECT_FALSE(may_compress(on, with(head(200, "text/html"), field::content_encoding, "br")));
    EXPECT_FALSE(may_compress(on, with(head(200, "text/html"), field::content_range, "bytes 0-1/2")));
    EXPECT_FALSE(may_compress(on, with(head(200, "text/html"), field::cache_control, "private, NO-transform")));
    http::response_head h = head(200, "text/event-stream");
    h.framing = {http::body_framing::kind::until_close};
    EXPECT_TRUE(may_compress(on, h));
    h.framing = {};
    EXPECT_FALSE(may_compress(on, h));
}

TEST(compression_test, TheClientAndTheOrderDecide) {
    const auto wanted = [](std::string_view accepted, std::string_view control = {}) {
        http::header_list rq;
        rq.emplace_back("Accept-Encoding", accepted, field::accept_encoding);
        if (!control.empty()) rq.emplace_back("Cache-Control", control, field::cache_control);
        return wanted_coding(on, rq);
    };
    EXPECT_EQ(wanted("gzip, zstd"), "zstd");
    EXPECT_EQ(wanted("gzip, zstd;q=0.5"), "gzip");
    EXPECT_EQ(wanted("br"), "");
    EXPECT_EQ(wanted("gzip", "no-transform"), "");
    EXPECT_EQ(wanted_coding(on, {}), "");
}

TEST(compression_test, VaryMayHaveSaidItAlready) {
    EXPECT_FALSE(varies_by_encoding(with(head(200, "a/b"), field::vary, "Origin").headers));
    EXPECT_TRUE(varies_by_encoding(with(head(200, "a/b"), field::vary, "Origin, accept-encoding").headers));
    EXPECT_TRUE(varies_by_encoding(with(head(200, "a/b"), field::vary, "*").headers));
}

} // namespace
} // namespace headgate::gateway
