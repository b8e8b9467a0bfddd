#include <headgate/http/describe.hpp>

#include <algorithm>
#include <array>
#include <memory>
#include <string>

#include <gtest/gtest.h>

namespace headgate::http {
namespace {

decoded_body decoded(std::string_view text, chunked_limits limits = {}) {
    const auto bytes = std::make_unique<char[]>(text.size());
    std::ranges::copy(text, bytes.get());
    chunked_decoder decoder{limits};
    decoded_body body;
    decode_into(body, decoder, {bytes.get(), text.size()});
    return body;
}

// Cut in two everywhere, and byte by byte: the same payload, trailers, end and error.
void expect_same_when_split(std::string_view text, chunked_limits limits = {}) {
    const decoded_body whole = decoded(text, limits);
    chunked_decoder decoder{limits};
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
        decoder.reset();
        decoded_body body;
        decode_into(body, decoder, text.substr(0, cut));
        decode_into(body, decoder, text.substr(cut));
        ASSERT_EQ(body, whole) << "cut at " << cut << " of " << text;
    }
    decoder.reset();
    decoded_body body;
    for (const char& c : text) decode_into(body, decoder, {&c, 1});
    ASSERT_EQ(body, whole) << text;
}

struct good {
    std::string_view text;
    std::string_view payload;
    std::string_view trailers = "";
    std::size_t dropped = 0;
};

TEST(Chunked, ValidBodies) { // RFC 9112, section 7.1
    for (const good& row : {
             good{"0\r\n\r\n", ""},
             {"000\r\n\r\n", ""},
             {"5\r\nhello\r\n0\r\n\r\n", "hello"},
             {"1\r\n0\r\n00002\r\n\r\n\r\n0\r\n\r\n", "0\r\n"},
             {"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"},
             {"0000000000000001\r\nx\r\n0\r\n\r\n", "x"},
             {"1;a\r\nx\r\n0;b=c\r\n\r\n", "x"},
             {"1 ; a = b ; c=\"d;\\\"e\xe9\"\r\nx\r\n0\t;z\r\n\r\n", "x"},
             {"0\r\nX-Sum: 1\r\n\r\n", "", "X-Sum: 1\r\n"},
             {"1\r\nx\r\n0\r\nx-sum:\t1 \r\nETag:\"a\"\r\nEmpty:\r\n\r\n", "x",
              "x-sum: 1\r\nETag: \"a\"\r\nEmpty: \r\n"},
             {"0\r\nContent-Length: 5\r\nX: y\r\nhost: a\r\nTransfer-Encoding: chunked\r\nAuthorization: b\r\n\r\n", "",
              "X: y\r\n", 4}, // RFC 9110, section 6.5.1
         }) {
        const decoded_body body = decoded(row.text);
        EXPECT_EQ(body.state, decode_state::end) << row.text << body.error;
        EXPECT_EQ(body.payload, row.payload) << row.text;
        EXPECT_EQ(body.trailers, row.trailers) << row.text;
        EXPECT_EQ(body.dropped, row.dropped) << row.text;
        EXPECT_EQ(body.consumed, row.text.size());
        expect_same_when_split(row.text);
        const std::string more = std::string(row.text) + "GET / HTTP/1.1\r\n";
        EXPECT_EQ(decoded(more).consumed, row.text.size()) << "what follows the body is not ours";
        for (std::size_t size = 0; size < row.text.size(); ++size)
            EXPECT_EQ(decoded(row.text.substr(0, size)).state, decode_state::need_more) << row.text.substr(0, size);
    }
}

TEST(Chunked, InvalidBodies) {
    for (const std::string& text : {
             std::string("\r\n"),
             std::string(" 1\r\n"),
             std::string("+1\r\n"),
             std::string("-1\r\n"),
             std::string("0x1\r\n"),
             std::string("g\r\n"),
             std::string(";a\r\n"),
             std::string("1_0\r\n"),
             std::string("1,\r\n"),
             std::string("\n"),
             std::string("1\n"),
             std::string("1\r"
                         "x"),
             std::string("1\r\r\n"),
             std::string("1 \r\n"),
             std::string("1\t\r\n"),
             std::string("1 1\r\n"),
             std::string("1\0\r\n", 4),
             std::string("\0"
                         "1\r\n",
                         4),
             std::string("00000000000000001\r\n"),
             std::string("10000000000000000\r\n"),
             std::string("fffffffffffffffff\r\n"),
             std::string("1\r\nxy\r\n"),
             std::string("1\r\nx\n"),
             std::string("1\r\nx\ry"),
             std::string("1\r\nx0\r\n"),
             std::string("2\r\nx\r\n0\r\n\r\n"),
             std::string("1\r\nx\r\n\r\n"),
             std::string("1\r\nx\r\n0\n\r\n"),
             // extensions: every parser must see the same end of line
             std::string("1;a\n"),
             std::string("1;a\rb"),
             std::string("1;a=\"b\r\n\"\r\n"),
             std::string("1;a=\"\\\r\n"),
             std::string("1;a\0\r\n", 6),
             std::string("1;\x7f\r\n"),
             std::string("1;a=b,c\r\n"),
             std::string("1;\xe9\r\n"),
             // trailers
             std::string("0\r\n\n"),
             std::string("0\r\n\rx"),
             std::string("0\r\nX : y\r\n\r\n"),
             std::string("0\r\n X: y\r\n\r\n"),
             std::string("0\r\nX: y\r\n z\r\n\r\n"),
             std::string("0\r\nX: y\n\r\n"),
             std::string("0\r\nX\r\n\r\n"),
             std::string("0\r\n: y\r\n\r\n"),
             std::string("0\r\nX: \x01\r\n\r\n"),
             std::string("0\r\nX: a\rb\r\n\r\n"),
         }) {
        const decoded_body body = decoded(text);
        EXPECT_EQ(body.state, decode_state::error) << text;
        EXPECT_FALSE(body.error.empty());
        expect_same_when_split(text);
    }
}

TEST(Chunked, PayloadIsASliceOfTheInput) {
    const std::string_view text = "5\r\nhello\r\n0\r\n\r\n";
    chunked_decoder decoder;
    const decode_result r = decoder.decode(text);
    ASSERT_EQ(r.state, decode_state::payload);
    EXPECT_EQ(r.payload.data(), text.data() + 3);
    EXPECT_EQ(r.payload.size(), 5u);
    EXPECT_EQ(r.consumed, 8u);
    EXPECT_EQ(decoder.payload_remaining(), 0u);
}

TEST(Chunked, TheLargestSize) {
    chunked_decoder decoder;
    EXPECT_EQ(decoder.payload_remaining(), 0u);
    EXPECT_EQ(decoder.decode("fff").state, decode_state::need_more);
    EXPECT_EQ(decoder.payload_remaining(), 0u) << "the size is not known yet";
    EXPECT_EQ(decoder.decode("fffffffffffff\r\n").state, decode_state::need_more);
    EXPECT_EQ(decoder.payload_remaining(), ~std::uint64_t{0});
    EXPECT_EQ(decoder.decode("x").payload, "x");
    EXPECT_EQ(decoder.payload_remaining(), ~std::uint64_t{0} - 1);
}

TEST(Chunked, PayloadMovedByTheCaller) {
    chunked_decoder decoder;
    EXPECT_EQ(decoder.decode("64\r\nab").payload, "ab");
    EXPECT_EQ(decoder.payload_remaining(), 98u);
    decoder.skip_payload(97);
    EXPECT_EQ(decoder.payload_remaining(), 1u);
    EXPECT_EQ(decoder.decode("c\r\n").payload, "c");
    EXPECT_EQ(decoder.decode("\r\n2\r\n").state, decode_state::need_more);
    decoder.skip_payload(2);
    EXPECT_EQ(decoder.decode("\r\n0\r\n\r\nx").consumed, 7u);
    EXPECT_EQ(decoder.decode("x").state, decode_state::end);
    EXPECT_EQ(decoder.decode("x").consumed, 0u);
}

TEST(Chunked, Trailers) {
    chunked_decoder decoder;
    ASSERT_EQ(decoder.decode("0\r\nDate: x\r\nX-A: 1\r\netag: 2\r\n\r\n").state, decode_state::end);
    ASSERT_EQ(decoder.trailer_count(), 2u);
    EXPECT_EQ(decoder.trailers_dropped(), 1u);
    EXPECT_EQ(decoder.trailer(0).name, "X-A");
    EXPECT_EQ(decoder.trailer(0).value, "1");
    EXPECT_EQ(decoder.trailer(1).name, "etag");
    EXPECT_EQ(decoder.trailer(1).id, field::etag);
    decoder.reset();
    ASSERT_EQ(decoder.decode("0\r\n\r\n").state, decode_state::end);
    EXPECT_EQ(decoder.trailer_count(), 0u);
    EXPECT_EQ(decoder.trailers(), "");
}

TEST(Chunked, Limits) {
    const auto state = [](std::string_view text, chunked_limits limits) {
        expect_same_when_split(text, limits);
        return decoded(text, limits).state;
    };
    EXPECT_EQ(state("1;ab\r\n", {.line_bytes_max = 5}), decode_state::need_more);
    EXPECT_EQ(state("1;abc\r\n", {.line_bytes_max = 5}), decode_state::error);
    EXPECT_EQ(state("1;\"bc\r\n", {.line_bytes_max = 4}), decode_state::error);
    EXPECT_EQ(state("0\r\nA: b\r\n\r\n", {.trailer_bytes_max = 8}), decode_state::end);
    EXPECT_EQ(state("0\r\nA: b\r\n\r\n", {.trailer_bytes_max = 7}), decode_state::error);
    EXPECT_EQ(state("0\r\nA: b\r\nDate: x\r\n\r\n", {.trailers_max = 2}), decode_state::end);
    EXPECT_EQ(state("0\r\nA: b\r\nDate: x\r\nB: c\r\n\r\n", {.trailers_max = 2}), decode_state::error);
}

TEST(Chunked, ExtensionsMayNotOutweighThePayload) {
    std::string costly;
    for (int i = 0; i < 100; ++i) costly += "1;" + std::string(500, 'e') + "\r\nx\r\n";
    EXPECT_EQ(decoded(costly).state, decode_state::error);
    std::string signed_chunks;
    for (int i = 0; i < 100; ++i)
        signed_chunks += "400;sig=" + std::string(64, 'e') + "\r\n" + std::string(1024, 'x') + "\r\n";
    EXPECT_EQ(decoded(signed_chunks + "0\r\n\r\n").state, decode_state::end);
    std::string tiny;
    for (int i = 0; i < 20000; ++i) tiny += "1\r\nx\r\n";
    EXPECT_EQ(decoded(tiny + "0\r\n\r\n").payload.size(), 20000u);
}

TEST(Chunked, WriteChunkHeader) {
    std::array<char, chunk_header_max> out;
    const auto written = [&out](std::uint64_t size) {
        return std::string_view{out.data(), write_chunk_header(out, size)};
    };
    EXPECT_EQ(written(1), "1\r\n");
    EXPECT_EQ(written(15), "f\r\n");
    EXPECT_EQ(written(16), "10\r\n");
    EXPECT_EQ(written(0xabcdef), "abcdef\r\n");
    EXPECT_EQ(written(~std::uint64_t{0}), "ffffffffffffffff\r\n");
    EXPECT_EQ(written(0), "") << "a chunk of nothing would end the body";
    EXPECT_EQ(write_chunk_header(std::span{out}.first(3), 16), 0u);
    EXPECT_EQ(write_chunk_header(std::span{out}.first(4), 16), 4u);
}

TEST(Chunked, WriteLastChunk) {
    std::array<char, 64> out;
    const auto written = [&out](std::string_view trailers) {
        return std::string_view{out.data(), write_last_chunk(out, trailers)};
    };
    EXPECT_EQ(written(""), last_chunk);
    EXPECT_EQ(written("A: b\r\nC: d\r\n"), "0\r\nA: b\r\nC: d\r\n\r\n");
    for (const std::string_view bad :
         {"A: b", "A: b\r", "A: b\n", "\r\n", "A: b\r\n\r\n", "A: b\r\n\r\nX: y\r\n", "A b\r\n", ": b\r\n"})
        EXPECT_EQ(written(bad), "") << bad;
    EXPECT_EQ(write_last_chunk(std::span{out}.first(4)), 0u);
    EXPECT_EQ(write_last_chunk(std::span{out}.first(5)), 5u);
}

} // namespace
} // namespace headgate::http
