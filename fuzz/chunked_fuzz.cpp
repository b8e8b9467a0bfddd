#include <headgate/http/describe.hpp>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include <fuzz/check.hpp>
#include <fuzz/target.hpp>

using namespace headgate;
using namespace headgate::fuzz;

namespace {

std::string text_of(const http::decoded_body& body) {
    return "state " + std::to_string(static_cast<int>(body.state)) + ", consumed " + std::to_string(body.consumed) +
           ", dropped " + std::to_string(body.dropped) + ", error " + body.error + "\n" + body.trailers + "\n" +
           body.payload;
}

http::decoded_body decode_whole(http::chunked_decoder& decoder, std::string_view text) {
    http::decoded_body body;
    decoder.reset();
    http::decode_into(body, decoder, text);
    return body;
}

// Every payload is a slice of the input; what the decoder says is left is what it then gives.
void check_slices(http::chunked_decoder& decoder, std::string_view text) {
    decoder.reset();
    for (std::string_view in = text;;) {
        const std::uint64_t expected = decoder.payload_remaining();
        const auto r = decoder.decode(in);
        check(inside(r.payload, in) && r.consumed <= in.size(), "the payload lies inside the input");
        check(r.payload.empty() == (r.state != http::decode_state::payload), "payload comes with its state only");
        if (expected != 0 && !in.empty())
            check(!r.payload.empty() && r.payload.size() <= expected, "what was left comes next");
        in.remove_prefix(r.consumed);
        if (r.state == http::decode_state::need_more) check(in.empty(), "nothing is held back");
        if (r.state != http::decode_state::payload) return;
    }
}

// Skipping payload instead of decoding it leads to the same end.
void check_skipped(http::chunked_decoder& decoder, std::string_view text, const http::decoded_body& whole) {
    decoder.reset();
    std::string_view in = text;
    http::decoded_body body;
    while (!in.empty()) {
        if (const std::uint64_t left = decoder.payload_remaining(); left != 0) {
            const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left, in.size()));
            decoder.skip_payload(size);
            in.remove_prefix(size);
            continue;
        }
        const auto r = decoder.decode(in.substr(0, 1));
        in.remove_prefix(r.consumed);
        body.state = r.state;
        if (r.state == http::decode_state::end || r.state == http::decode_state::error) break;
    }
    if (whole.state == http::decode_state::end || whole.state == http::decode_state::error) {
        check(body.state == whole.state, "skipped payload leads to the same end");
        check(in.size() == text.size() - whole.consumed, "at the same place");
    }
}

// What came out, encoded again, decodes to the same.
void check_encoded(const http::decoded_body& whole, std::size_t piece) {
    std::string wire;
    std::array<char, http::chunk_header_max> header;
    for (std::string_view rest = whole.payload; !rest.empty();) {
        const std::string_view part = rest.substr(0, piece);
        wire.append(header.data(), http::write_chunk_header(header, part.size())).append(part).append(http::chunk_end);
        rest.remove_prefix(part.size());
    }
    std::vector<char> last(whole.trailers.size() + 8);
    const std::size_t size = http::write_last_chunk(last, whole.trailers);
    check(size != 0, "kept trailers can be written");
    wire.append(last.data(), size);
    http::chunked_decoder decoder{{.trailer_bytes_max = 1 << 20}};
    const http::decoded_body again = decode_whole(decoder, wire);
    check(again.state == http::decode_state::end && again.consumed == wire.size(), "what is encoded decodes");
    check_equal(again.payload, whole.payload, "to the same payload");
    check_equal(again.trailers, whole.trailers, "and trailers");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 3) return 0;
    const std::size_t length = size - 3;
    const auto bytes = std::make_unique<char[]>(length);
    for (std::size_t i = 0; i < length; ++i) bytes[i] = static_cast<char>(data[i + 3]);
    const std::string_view text{bytes.get(), length};
    const std::size_t cut = (data[1] | std::size_t{data[2]} << 8) % (length + 1);

    http::chunked_limits limits;
    if ((data[0] & 0x80) != 0)
        limits = {.line_bytes_max = 12, .overhead_bytes_max = 20, .trailer_bytes_max = 40, .trailers_max = 2};
    http::chunked_decoder decoder{limits};
    const http::decoded_body whole = decode_whole(decoder, text);

    decoder.reset();
    http::decoded_body split;
    http::decode_into(split, decoder, text.substr(0, cut));
    http::decode_into(split, decoder, text.substr(cut));
    check_equal(text_of(split), text_of(whole), "the verdict does not depend on how the input was cut");

    check_slices(decoder, text);
    check_skipped(decoder, text, whole);
    if (whole.state == http::decode_state::end) check_encoded(whole, 1 + (data[0] & 0x7f));
    return 0;
}

std::string headgate::fuzz::after_corpus() { return {}; }
