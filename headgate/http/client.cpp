#include <headgate/http/authority.hpp>
#include <headgate/http/body.hpp>
#include <headgate/http/client.hpp>
#include <headgate/http/parser.hpp>
#include <headgate/io/resolver.hpp>
#include <headgate/io/tls.hpp>

#include <array>
#include <optional>

namespace headgate::http {

namespace {

struct target {
    bool tls;
    std::string host;
    std::uint16_t port;
    std::string authority;
    std::string path;
};

constexpr std::string_view cannot_be_fetched = "' is not a URL that can be fetched; write http://host:port/path";

std::optional<target> parse_url(std::string_view url, const get_options& o) {
    constexpr std::string_view schemes[] = {"http://", "https://"};
    const bool tls = o.tls && url.starts_with(schemes[1]);
    const std::string_view scheme = schemes[tls ? 1 : 0];
    if (!url.starts_with(scheme)) return std::nullopt;
    url.remove_prefix(scheme.size());
    url = url.substr(0, url.find('#'));
    const std::size_t slash = std::min(url.find_first_of("/?"), url.size());
    const auto a = parse_authority(url.substr(0, slash));
    if (!a) return std::nullopt;
    std::string path(url.substr(slash));
    if (!path.starts_with('/')) path.insert(0, "/");
    for (const char c : path)
        if (static_cast<unsigned char>(c) <= ' ' || c == '\x7f') return std::nullopt;
    std::string_view host = a->host;
    if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
    const std::uint16_t port = tls ? 443 : 80;
    return target{tls, std::string(host), a->port == 0 ? port : a->port, std::string(a->text), path};
}

// Of a request, less its last empty line.
std::string make_head(std::string_view method, const target& to) {
    std::string head(method);
    head.append(" ").append(to.path).append(" HTTP/1.1\r\nHost: ").append(to.authority);
    return head.append("\r\nUser-Agent: headgate\r\nAccept: */*\r\nConnection: close\r\n");
}

task<> begin_tls(socket& s, const target& to, const get_options& o) {
    const auto shaken =
        co_await connect_tls(s, *o.tls, o.server_name.empty() ? to.host : o.server_name, o.connect_timeout);
    if (!shaken) co_await fail(shaken.error(), "TLS with " + to.host);
}

task<socket> connect_to(target to, get_options o) {
    const duration limit = o.connect_timeout;
    resolver names;
    const auto addresses = co_await names.resolve(to.host, to.port, limit);
    if (!addresses) co_await fail(addresses.error(), to.host);
    std::error_code last;
    for (const address& a : *addresses) {
        auto s = co_await headgate::connect(a, limit);
        if (s && to.tls) co_await begin_tls(*s, to, o);
        if (s) co_return std::move(*s);
        last = s.error();
    }
    co_await fail(last, "cannot connect to " + to.host);
}

// Reads until the final response's head is there.
task<> read_head(socket& s, inbound& in, response_parser& parser, get_options o) {
    const time_point deadline = executor::current().turn_time() + o.first_byte_timeout;
    const std::size_t room = head_limits{}.head_bytes_max + 1;
    for (;;) {
        while (!in.empty()) {
            const parse_result p = parser.parse(in.bytes());
            if (p.state == parse_state::error) co_await fail(errc::protocol, p.error.reason);
            if (p.state == parse_state::need_more) break;
            if (!parser.head().informational()) co_return;
            in.consume(parser.head().head_bytes);
            in.make_contiguous(room);
            parser.reset(method::get);
        }
        const duration left = std::max(deadline - executor::current().turn_time(), duration::zero());
        const auto n = co_await s.read_some(in.room(room), left);
        if (!n) co_await fail(n.error(), "waiting for the response");
        if (*n == 0) co_await fail(errc::premature_close, "the connection was closed before the response's head");
        in.received(*n);
    }
}

// The body of the response whose head has been read, which is gone then.
stream<chunk> take_body(socket& s, inbound& in, std::unique_ptr<response_parser> parser, chunked_decoder& decoder,
                        const get_options& o) {
    const response_head& head = parser->head();
    in.consume(head.head_bytes);
    return body_source{.from = &s,
                       .in = &in,
                       .framing = head.framing,
                       .decoder = &decoder,
                       .limits = {.buffer_bytes = o.buffer_bytes, .source = {.idle = o.idle_timeout}}}
        .into_stream();
}

} // namespace

stream<chunk> get(std::string url, get_options o) {
    std::optional<target> to = parse_url(url, o);
    if (!to) co_await fail(errc::protocol, "'" + url + std::string(cannot_be_fetched));
    const std::string request = make_head("GET", *to) + "\r\n";
    socket s = co_await connect_to(std::move(*to), o);
    if (const auto sent = co_await s.write_all(request, o.idle_timeout); !sent) co_await fail(sent.error());
    inbound in;
    auto parser = std::make_unique<response_parser>();
    co_await read_head(s, in, *parser, o);
    const response_head& head = parser->head();
    if (head.status < 200 || head.status > 299)
        co_await fail(errc::refused, std::to_string(head.status) + " " + std::string(head.reason) + " for " + url);
    chunked_decoder decoder;
    stream<chunk> body = take_body(s, in, std::move(parser), decoder, o);
    while (auto piece = co_await body.next()) co_yield std::move(*piece);
}

task<post_answer> post(post_request rq, get_options o) {
    std::optional<target> to = parse_url(rq.url, o);
    if (!to) co_await fail(errc::protocol, "'" + rq.url + std::string(cannot_be_fetched));
    std::string request = make_head("POST", *to);
    request.append("Content-Type: ").append(rq.content_type);
    request.append("\r\nContent-Length: ").append(std::to_string(rq.body.size())).append("\r\n");
    for (const auto& [name, value] : rq.headers) request.append(name).append(": ").append(value).append("\r\n");
    request.append("\r\n");
    socket s = co_await connect_to(std::move(*to), o);
    std::array<iovec, 2> parts{{{request.data(), request.size()}, {rq.body.data(), rq.body.size()}}};
    const auto sent = co_await s.write_all(std::span(parts.data(), rq.body.empty() ? 1 : 2), o.idle_timeout);
    // It may have answered before it has read all.
    if (!sent && sent.error() == errc::timed_out) co_await fail(sent.error());
    inbound in;
    auto parser = std::make_unique<response_parser>();
    co_await read_head(s, in, *parser, o);
    const response_head& head = parser->head();
    post_answer answer{.status = head.status, .retry_after = std::string(head.value(field::retry_after))};
    chunked_decoder decoder;
    stream<chunk> body = take_body(s, in, std::move(parser), decoder, o);
    while (auto piece = co_await body.next()) {
        answer.body.append(piece->text().substr(0, post_answer_max - answer.body.size()));
        if (answer.body.size() == post_answer_max) break;
    }
    co_return answer;
}

} // namespace headgate::http
