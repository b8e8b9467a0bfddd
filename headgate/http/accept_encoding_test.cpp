#include <headgate/http/accept_encoding.hpp>

#include <array>

#include <gtest/gtest.h>

namespace headgate::http {
namespace {

constexpr std::array<std::string_view, 3> codings{"zstd", "gzip", "br"};

std::string_view chosen(std::string_view accepted) {
    header_list rq;
    rq.emplace_back("Accept-Encoding", accepted, field::accept_encoding);
    const auto i = choose_coding(rq, codings);
    return i ? codings[*i] : "identity";
}

TEST(accept_encoding_test, TheClientsWeightDecidesThenTheOrder) {
    EXPECT_EQ(chosen("gzip, br"), "gzip");
    EXPECT_EQ(chosen("gzip;q=0.5, br;q=0.501"), "br");
    EXPECT_EQ(chosen("*"), "zstd");
    EXPECT_EQ(chosen("*;q=0.1, br;q=0.2"), "br");
    EXPECT_EQ(chosen("zstd;q=0, *"), "gzip");
    EXPECT_EQ(chosen("X-GZIP"), "gzip");
    EXPECT_EQ(chosen("deflate, gzip ; Q=1.000"), "gzip");
}

TEST(accept_encoding_test, PlainIfNothingElseIsWanted) {
    EXPECT_EQ(chosen(""), "identity");
    EXPECT_EQ(chosen("deflate"), "identity");
    EXPECT_EQ(chosen("gzip;q=0"), "identity");
    EXPECT_EQ(chosen("gzip;q=0.000, identity"), "identity");
    EXPECT_EQ(chosen("gzip;q=0.5, identity;q=0.6"), "identity");
    EXPECT_EQ(chosen("gzip;q=0.5, identity;q=0.5"), "gzip");
    EXPECT_EQ(chosen("*;q=0"), "identity");
    EXPECT_FALSE(choose_coding(header_list(), codings));
}

TEST(accept_encoding_test, AWeightThatIsNoneRefuses) {
    for (const char* q : {"2", "1.1", "0.1234", "", "x", ".5", "1.", "-1", "0,5"}) {
        const std::string text = std::string("gzip;q=") + q;
        EXPECT_EQ(chosen(text), std::string(q) == "1." ? "gzip" : "identity") << text;
    }
    EXPECT_EQ(chosen("gzip;level=1"), "identity");
}

TEST(accept_encoding_test, SeveralFieldsAreOne) {
    header_list rq;
    rq.emplace_back("Accept-Encoding", "gzip;q=0.1", field::accept_encoding);
    rq.emplace_back("Accept-Encoding", "br", field::accept_encoding);
    EXPECT_EQ(choose_coding(rq, codings), 2u);
    EXPECT_EQ(coding_weight(rq, "gzip"), 100);
}

} // namespace
} // namespace headgate::http
