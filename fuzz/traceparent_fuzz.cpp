#include <headgate/http/parser.hpp>

#include <algorithm>
#include <string>

#include <fuzz/check.hpp>
#include <fuzz/target.hpp>
#include <gateway/trace/context.hpp>

// The input is lines: the value of a traceparent, and then those of tracestate fields.
using namespace headgate;
using namespace headgate::fuzz;
using namespace headgate::gateway;

namespace {

void check_parent(std::string_view line) {
    const auto c = parse_traceparent(line);
    if (!c) return;
    const traceparent_text again = format_traceparent(*c);
    const std::string_view text(again.data(), again.size());
    check(parse_traceparent(text) == c, "what is written is read as the same");
    check_equal(text.substr(2, 51), line.substr(2, 51), "the ids stay as they came");
    check(c->span != 0 && (c->trace_high != 0 || c->trace_low != 0), "no id is 0");
    check(line.starts_with("00") ? line.size() == text.size() : !line.starts_with("ff"), "the version is one");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const exact_bytes bytes(data, size);
    std::string_view rest = bytes.text();
    const std::string_view first = rest.substr(0, rest.find('\n'));
    check_parent(first);
    std::string text = "GET / HTTP/1.1\r\nHost: h\r\n";
    for (bool parent = true; !rest.empty(); parent = false) {
        const std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(line.size() + 1, rest.size()));
        text.append(parent ? "traceparent: " : "tracestate: ").append(line).append("\r\n");
    }
    text += "\r\n";
    const exact_bytes whole(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
    http::request_parser p;
    if (p.parse(whole.text()).state != http::parse_state::complete) return 0;
    if (const auto c = trace_context_of(p.head())) {
        const traceparent_text again = format_traceparent(*c);
        check(parse_traceparent({again.data(), again.size()}) == c, "what goes on is read there as the same");
    }
    if (usable_tracestate(p.head()))
        for (const http::header& h : p.head().headers)
            if (h.id == http::field::tracestate)
                check(std::ranges::all_of(h.value, [](char c) { return c == '\t' || (c >= ' ' && c <= '~'); }),
                      "what goes on is text");
    return 0;
}

std::string headgate::fuzz::after_corpus() { return {}; }
