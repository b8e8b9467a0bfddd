#include <vector>

#include <fuzz/head_checks.hpp>
#include <fuzz/target.hpp>

using namespace headgate;
using namespace headgate::fuzz;

namespace {

void check_rewritten(const http::response_parser& parsed, http::method request_method) {
    const http::response_head& head = parsed.head();
    std::vector<char> out(head.head_bytes + 8 + 4 * head.headers.size());
    http::head_writer writer{out};
    writer.status_line(head.status, head.reason);
    for (const http::header& h : head.headers) writer.add(h);
    const std::size_t size = writer.end();
    check(size != 0, "what was parsed can be written");
    if (head.minor_version == 0) return; // written as HTTP/1.1, which has other rules
    http::response_parser again{request_method,
                                {.head_bytes_max = 1 << 20, .request_line_max = 1 << 20, .headers_max = 128}};
    const auto result = again.parse({out.data(), size});
    check_equal(result.error.reason, "", "what was written is valid");
    check(result.state == http::parse_state::complete && again.head().head_bytes == size, "and complete");
    http::response_head first = head;
    const std::string before = without_size(first, [&] { return describe(first); });
    const std::string after = without_size(again.head(), [&] { return describe(again.head()); });
    check_equal(before, after, "and the same message");
}

void check_body(const http::response_head& head, http::method request_method) {
    const bool none = request_method == http::method::head || head.status < 200 || head.status == 204 ||
                      head.status == 304 || (request_method == http::method::connect && head.status < 300);
    check((head.framing.how == http::body_framing::kind::none) == none,
          "a body is there exactly when RFC 9112 6.3 says so");
    check(head.status >= 100 && head.status <= 599, "the status is one");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const head_input input{data, size};
    const auto request_method = static_cast<http::method>((input.variant & 0x7f) % 10);
    http::response_parser parser{request_method, input.limits()};
    const auto result = parser.parse(input.text());
    const std::string whole = describe(parser, result);
    if (result.state == http::parse_state::complete) {
        check(inside(parser.head().reason, input.text()), "views lie inside the input");
        check_common(parser.head(), input.text());
        check_body(parser.head(), request_method);
        check_rewritten(parser, request_method);
    }
    if (result.state == http::parse_state::error)
        check(result.error.status == 502 && result.error.offset <= input.text().size(),
              "errors are 502 and have a place");
    http::response_parser other{request_method, input.limits()};
    check_split(other, input.text(), input.cut, whole);
    other.reset(request_method);
    check_dribble(other, input.text(), whole);
    return 0;
}

std::string headgate::fuzz::after_corpus() { return {}; }
