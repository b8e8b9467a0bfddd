#include <headgate/http/chunked.hpp>
#include <headgate/http/parser.hpp>
#include <headgate/http/writer.hpp>

#include <array>
#include <string>
#include <string_view>

#include <benchmark/benchmark.h>

using namespace headgate::http;

namespace {

constexpr std::string_view browser_request =
    "GET /static/js/app.3f9c1d.chunk.js?v=20240611&lang=en HTTP/1.1\r\n"
    "Host: www.example.com\r\n"
    "Connection: keep-alive\r\n"
    "sec-ch-ua: \"Chromium\";v=\"124\", \"Google Chrome\";v=\"124\", \"Not-A.Brand\";v=\"99\"\r\n"
    "sec-ch-ua-mobile: ?0\r\n"
    "sec-ch-ua-platform: \"Linux\"\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 "
    "Safari/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Sec-Fetch-Mode: no-cors\r\n"
    "Sec-Fetch-Dest: script\r\n"
    "Referer: https://www.example.com/products/overview\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"
    "Cookie: session=5b1f0c2e9d8a47f6b3c1; theme=dark; _ga=GA1.2.1234567890.1700000000; consent=yes\r\n"
    "If-None-Match: \"3f9c1d-5e2a\"\r\n"
    "\r\n";

constexpr std::string_view short_request =
    "GET / HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";

constexpr std::string_view typical_response = "HTTP/1.1 200 OK\r\n"
                                              "Server: nginx/1.24.0\r\n"
                                              "Date: Tue, 11 Jun 2024 09:12:44 GMT\r\n"
                                              "Content-Type: application/javascript; charset=utf-8\r\n"
                                              "Content-Length: 48213\r\n"
                                              "Last-Modified: Mon, 10 Jun 2024 16:20:00 GMT\r\n"
                                              "Connection: keep-alive\r\n"
                                              "ETag: \"3f9c1d-5e2a\"\r\n"
                                              "Cache-Control: public, max-age=31536000, immutable\r\n"
                                              "Accept-Ranges: bytes\r\n"
                                              "\r\n";

void parse_request(benchmark::State& state, std::string_view text) {
    const std::string bytes{text};
    request_parser parser;
    for (auto _ : state) {
        parser.reset();
        benchmark::DoNotOptimize(bytes.data());
        if (parser.parse(bytes).state != parse_state::complete) state.SkipWithError("not parsed");
        benchmark::DoNotOptimize(parser.head());
    }
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * text.size()));
}

void parse_response(benchmark::State& state, std::string_view text) {
    const std::string bytes{text};
    response_parser parser;
    for (auto _ : state) {
        parser.reset(method::get);
        benchmark::DoNotOptimize(bytes.data());
        if (parser.parse(bytes).state != parse_state::complete) state.SkipWithError("not parsed");
        benchmark::DoNotOptimize(parser.head());
    }
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * text.size()));
}

// What a proxy does with a parsed head: everything but the hop-by-hop fields, and two of its own.
void write_request(benchmark::State& state, std::string_view text) {
    const std::string bytes{text};
    request_parser parser;
    parser.parse(bytes);
    const request_head& head = parser.head();
    std::array<char, 4096> out;
    std::size_t size = 0;
    for (auto _ : state) {
        head_writer writer{out};
        writer.request_line(head.method_text, head.path, head.query);
        for (std::size_t i = 0; i < head.headers.size(); ++i) {
            if (!head.hop_by_hop(i)) writer.add(head.headers[i]);
        }
        writer.add(field::x_forwarded_for, "192.0.2.7");
        writer.add(field::via, "1.1 headgate");
        size = writer.end();
        benchmark::DoNotOptimize(size);
        benchmark::ClobberMemory();
    }
    if (size == 0) state.SkipWithError("not written");
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * size));
}

void decode_chunks(benchmark::State& state, std::size_t chunk) {
    std::string body;
    std::array<char, chunk_header_max> header;
    for (int i = 0; i < 64; ++i)
        body.append(header.data(), write_chunk_header(header, chunk)).append(chunk, 'x').append(chunk_end);
    body.append(last_chunk);
    chunked_decoder decoder;
    for (auto _ : state) {
        decoder.reset();
        std::string_view in = body;
        decode_result r;
        while ((r = decoder.decode(in)).state == decode_state::payload) in.remove_prefix(r.consumed);
        if (r.state != decode_state::end) state.SkipWithError("not decoded");
    }
    state.SetItemsProcessed(state.iterations() * 64);
}

} // namespace

BENCHMARK_CAPTURE(parse_request, browser, browser_request);
BENCHMARK_CAPTURE(parse_request, short, short_request);
BENCHMARK_CAPTURE(parse_response, typical, typical_response);
BENCHMARK_CAPTURE(write_request, browser, browser_request);
BENCHMARK_CAPTURE(write_request, short, short_request);
BENCHMARK_CAPTURE(decode_chunks, of_16_bytes, 16);
BENCHMARK_CAPTURE(decode_chunks, of_16_KiB, 16384);
