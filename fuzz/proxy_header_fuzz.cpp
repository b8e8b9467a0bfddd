#include <headgate/io/proxy_header.hpp>

#include <fuzz/check.hpp>
#include <fuzz/target.hpp>

// The input is what comes on a connection that is to begin with a PROXY header.
using namespace headgate;
using namespace headgate::fuzz;

namespace {

using kind = proxy_header_result::kind;

bool same(const peer_address& a, const peer_address& b) { return IN6_ARE_ADDR_EQUAL(&a.ip, &b.ip) && a.port == b.port; }

// What is sent on is understood by the next one as it was here.
void check_written(const proxy_header& h) {
    for (const proxy_protocol version : {proxy_protocol::v1, proxy_protocol::v2}) {
        const std::string text = make_proxy_header(version, h);
        const auto again = parse_proxy_header(text);
        check(again.state == kind::complete, "what is written is a header");
        const bool known = !h.local && !IN6_IS_ADDR_UNSPECIFIED(&h.destination.ip);
        check(again.header.local != known, "it says so if it has no addresses");
        check(!known || (same(again.header.source, h.source) && same(again.header.destination, h.destination)),
              "the addresses are the same there");
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const exact_bytes bytes(data, size);
    std::size_t have = 0;
    proxy_header_result r;
    for (;;) {
        const exact_bytes part(data, have);
        r = parse_proxy_header(part.text());
        if (r.state != kind::more) break;
        check(r.more > 0 && have + r.more <= proxy_header_max, "it asks for something, and never for more than may be");
        if (have + r.more > size) return 0;
        have += r.more;
    }
    // However it came: the verdict is the same, and before the end there is none but that it is malformed.
    for (std::size_t cut = 0; cut < have; ++cut) {
        const auto part = parse_proxy_header(bytes.text().substr(0, cut));
        check(part.state == kind::more || (part.state == kind::malformed && r.state == kind::malformed),
              "a part of a header is a part of it");
        check(part.state != kind::more || r.state != kind::complete || cut + part.more <= have,
              "it never asks for what is behind the header");
    }
    if (r.state == kind::malformed) {
        check(r.reason != nullptr, "it says what is wrong");
        return 0;
    }
    check(r.header.local || !IN6_IS_ADDR_UNSPECIFIED(&r.header.source.ip), "the client has an address");
    check_written(r.header);
    return 0;
}

std::string headgate::fuzz::after_corpus() { return {}; }
