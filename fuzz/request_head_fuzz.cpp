#include <vector>

#include <fuzz/head_checks.hpp>
#include <fuzz/target.hpp>

using namespace headgate;
using namespace headgate::fuzz;

namespace {

void check_target(const http::request_head& head, std::string_view text) {
    for (const std::string_view view : {head.method_text, head.target, head.query, head.scheme, head.authority.text})
        check(inside(view, text), "views lie inside the input");
    check(head.minor_version == 0 || head.find(http::field::host) != nullptr, "HTTP/1.1 has Host");
    if (head.minor_version == 1) check(!head.authority.host.empty(), "HTTP/1.1 says whom it is for");
    const bool connect = head.method == http::method::connect;
    check((head.form == http::target_form::authority) == connect, "authority-form belongs to CONNECT");
    check(connect == head.path.empty(), "there is a path, but for CONNECT");
    if (head.form == http::target_form::origin)
        check_equal(std::string(head.path).append(head.query), head.target, "origin-form is path and query");
}

// What was parsed, written and parsed again, is the same message.
void check_rewritten(const http::request_parser& parsed) {
    const http::request_head& head = parsed.head();
    std::vector<char> out(head.head_bytes + 8 + 4 * head.headers.size());
    http::head_writer writer{out};
    writer.request_line(head.method_text, head.target);
    for (const http::header& h : head.headers) writer.add(h);
    const std::size_t size = writer.end();
    check(size != 0, "what was parsed can be written");
    http::request_parser again{{.head_bytes_max = 1 << 20, .request_line_max = 1 << 20, .headers_max = 128}};
    const auto result = again.parse({out.data(), size});
    if (head.minor_version == 0) return; // written as HTTP/1.1, which has other rules
    check_equal(result.error.reason, "", "what was written is valid");
    check(result.state == http::parse_state::complete && again.head().head_bytes == size, "and complete");
    http::request_head first = head;
    const std::string before = without_size(first, [&] { return describe(first); });
    const std::string after = without_size(again.head(), [&] { return describe(again.head()); });
    check_equal(before, after, "and the same message");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const head_input input{data, size};
    http::request_parser parser{input.limits()};
    const auto result = parser.parse(input.text());
    const std::string whole = describe(parser, result);
    if (result.state == http::parse_state::complete) {
        check_common(parser.head(), input.text());
        check_target(parser.head(), input.text());
        check_rewritten(parser);
    }
    if (result.state == http::parse_state::error)
        check(result.error.status >= 400 && result.error.offset <= input.text().size(),
              "errors have a status and a place");
    http::request_parser other{input.limits()};
    check_split(other, input.text(), input.cut, whole);
    other.reset();
    check_dribble(other, input.text(), whole);
    return 0;
}

std::string headgate::fuzz::after_corpus() { return {}; }
