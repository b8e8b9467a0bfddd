#include <headgate/http/parser.hpp>

#include <string>

#include <fuzz/check.hpp>
#include <fuzz/target.hpp>
#include <gateway/policy/provenance.hpp>

// The input is the value of a field that a trusted proxy has sent, one per line; and each line is a network, too.
using namespace headgate;
using namespace headgate::fuzz;
using namespace headgate::gateway;

namespace {

void check_network(std::string_view text) {
    if (!network_set::is_network(text)) return;
    const std::vector<std::string> one = {std::string(text)};
    const network_set set(one);
    check(!set.empty(), "a network is a set");
    const auto ip = parse_ip(text.substr(0, text.find('/')));
    in6_addr none{};
    if (!ip)
        check(text == "unix" && set.contains(none), "unix is the address of nobody");
    else if (!IN6_IS_ADDR_UNSPECIFIED(&*ip))
        check(set.contains(*ip), "a network has its first address");
    else
        check(!set.contains(none), "no network has who comes by a Unix socket");
}

void check_said(const http::request_head& head, std::string_view all, forwarded_fields which) {
    const std::vector<std::string> networks = {"10.0.0.0/8", "::1"};
    const network_set trusted(networks);
    const peer_address peer = *parse_node("10.0.0.1:80");
    const auto from = provenance_of(head, peer, trusted, which);
    if (!from) return check(which == forwarded_fields::forwarded, "only Forwarded can be malformed");
    check(inside(from->host, all), "the host is the request's");
    check(from->scheme.empty() || from->scheme == "http" || from->scheme == "https", "the scheme is one of HTTP");
    check(!IN6_IS_ADDR_UNSPECIFIED(&from->client.ip), "the client has an address");
    // What is sent on is understood by the next one as it was here.
    char text[48];
    const std::string_view address(text, from->client.write_host(text));
    check(parse_node(address).has_value(), "an address that is written is read");
    const std::string next =
        "GET / HTTP/1.1\r\nHost: h\r\nForwarded: " + forwarded_element(address, from->host, "https") + "\r\n\r\n";
    http::request_parser again;
    check(again.parse(next).state == http::parse_state::complete, "what is appended is a value");
    const auto there = provenance_of(again.head(), peer, trusted, forwarded_fields::forwarded);
    check(there && IN6_ARE_ADDR_EQUAL(&there->client.ip, &from->client.ip), "the client is the same there");
    check_equal(there->host, from->host, "and so is the host");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const exact_bytes bytes(data, size);
    for (const auto& [name, which] : {std::pair("X-Forwarded-For", forwarded_fields::x_forwarded),
                                      std::pair("X-Forwarded-Host", forwarded_fields::x_forwarded),
                                      std::pair("Forwarded", forwarded_fields::forwarded)}) {
        std::string text = "GET / HTTP/1.1\r\nHost: h\r\n";
        for (std::string_view rest = bytes.text(); !rest.empty();) {
            const std::string_view line = rest.substr(0, rest.find('\n'));
            rest.remove_prefix(std::min(line.size() + 1, rest.size()));
            text.append(name).append(": ").append(line).append("\r\n");
            check_network(line);
        }
        text += "\r\n";
        const exact_bytes head(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
        http::request_parser p;
        if (p.parse(head.text()).state == http::parse_state::complete) check_said(p.head(), head.text(), which);
    }
    return 0;
}

std::string headgate::fuzz::after_corpus() { return {}; }
