#include <headgate/http/inbound.hpp>
#include <headgate/http/parser.hpp>
#include <headgate/io/socket.hpp>

#include <cstdio>
#include <fstream>
#include <iterator>

#include <fmt/format.h>

#include <gateway/admin/ask.hpp>
#include <gateway/config/load.hpp>

namespace headgate::gateway::admin {

namespace {

constexpr duration connect_timeout = std::chrono::seconds(5);

std::unexpected<int> wrong(int status, const std::string& why) {
    fmt::print(stderr, "{}\n", why);
    return std::unexpected(status);
}

std::expected<admin_options, int> options_in(const std::string& file) {
    const auto c = load_config(file);
    if (!c) {
        fmt::print(stderr, "{}", format_errors(c.error()));
        return std::unexpected(1);
    }
    if (c->admin.enabled) return c->admin;
    return wrong(1, file + ": has no `admin`, so that there is no way to reach the gateway");
}

// The first line of a file. A token goes into a header's value, so that it must be visible characters.
std::expected<std::string, std::string> read_token(const std::string& file) {
    std::ifstream in(file);
    std::string line;
    if (!in || !std::getline(in, line)) return std::unexpected(file + ": no token can be read from it");
    if (line.ends_with('\r')) line.pop_back();
    for (const char c : line)
        if (c <= ' ' || c > '~') return std::unexpected(file + ": a token is one line of visible ASCII characters");
    if (line.empty() || line.size() > target_options::token_bytes_max)
        return std::unexpected(
            fmt::format("{}: a token has 1 to {} characters", file, target_options::token_bytes_max));
    return line;
}

} // namespace

void target_options::add(CLI::App& command) {
    auto* at = command.add_option("--admin", address_, "Where the gateway's admin server listens");
    at->type_name("ADDRESS");
    command.add_option("-c,--config", file_, "The gateway's configuration file, which says where")
        ->type_name("FILE")
        ->excludes(at);
    command.add_option("--token-file", token_file_, "A file whose first line is the token that it asks for")
        ->type_name("FILE");
}

std::expected<target, int> target_options::resolve() const {
    target to{.at = admin_options().listen};
    std::string token_file = token_file_;
    if (!file_.empty()) {
        const auto options = options_in(file_);
        if (!options) return std::unexpected(options.error());
        to.at = options->listen;
        if (token_file.empty()) token_file = options->token_file;
    } else if (!address_.empty()) {
        const auto at = address::parse(address_);
        if (!at) return wrong(2, "--admin: " + at.error());
        to.at = *at;
    }
    if (!token_file.empty()) {
        auto token = read_token(token_file);
        if (!token) return wrong(1, token.error());
        to.token = std::move(*token);
    }
    return to;
}

task<reply> ask(target to, std::string method, std::string path, std::string accept, duration wait) {
    auto s = co_await connect(to.at, connect_timeout);
    if (!s) co_await fail(s.error(), "cannot reach a gateway at " + to.at.text());
    const std::string host = to.at.family() == AF_UNIX ? "localhost" : to.at.text();
    std::string request = method + " " + path + " HTTP/1.1\r\nHost: " + host + "\r\nAccept: " + accept;
    if (!to.token.empty()) request += "\r\nAuthorization: Bearer " + to.token;
    if (method == "POST") request += "\r\nContent-Length: 0";
    request += "\r\nConnection: close\r\n\r\n";
    if (const auto sent = co_await s->write_all(request, wait); !sent)
        co_await fail(sent.error(), "asking the gateway");
    http::response_parser parser(http::method::get); // of the methods, only HEAD and CONNECT change what an answer has
    http::inbound in;
    in.make_contiguous(reply_bytes_max);
    bool ended = false;
    for (;;) {
        if (const auto p = parser.parse(in.bytes()); p.state == http::parse_state::error) {
            co_await fail(errc::protocol, "what answers at " + to.at.text() + " is no gateway");
        } else if (p.state == http::parse_state::complete) {
            const http::response_head& head = parser.head();
            const std::string_view body = in.bytes().substr(head.head_bytes);
            if (head.framing.how == http::body_framing::kind::length && body.size() >= head.framing.length)
                co_return reply{head.status, std::string(body.substr(0, head.framing.length))};
        }
        if (ended || in.bytes().size() >= reply_bytes_max)
            co_await fail(errc::premature_close, "the gateway's answer was cut");
        const auto n = co_await s->read_some(in.room(reply_bytes_max), wait);
        if (!n) co_await fail(n.error(), "waiting for the gateway");
        in.received(*n);
        ended = *n == 0;
    }
}

} // namespace headgate::gateway::admin
