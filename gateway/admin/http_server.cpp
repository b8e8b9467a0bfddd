#include <headgate/core/sleep.hpp>
#include <headgate/http/authority.hpp>
#include <headgate/http/token.hpp>

#include <algorithm>

#include <arpa/inet.h>

#include <gateway/admin/http_server.hpp>
#include <gateway/problem.hpp>

namespace headgate::gateway::admin {

namespace {

// What a client still sends is read for as long, so that closing does not become a reset that takes the answer with it.
constexpr duration linger_time_max = std::chrono::milliseconds(500);
constexpr duration accept_pause = std::chrono::milliseconds(100);

bool is_address(std::string_view host) {
    if (host.starts_with('[')) return true; // an IPv6 address, or it would not be an authority
    in_addr v4{};
    return ::inet_pton(AF_INET, std::string(host).c_str(), &v4) == 1;
}

// Why the request is not one of those who look after the gateway; empty if it may be.
std::string_view suspicious(const http::request_head& head) {
    const std::string_view host = head.authority.host;
    if (!host.empty() && !is_address(host) && !http::same_token(host, "localhost"))
        return "the Host must be an IP address or localhost: a name may have been made to lead here";
    if (head.method == http::method::get || head.method == http::method::head) return {};
    const std::string_view origin = head.value(http::field::origin);
    const std::size_t scheme = origin.find("://");
    if (!origin.empty() && (scheme == std::string_view::npos || origin.substr(scheme + 3) != head.authority.text))
        return "pages of other origins may not do this";
    return {};
}

bool wants_text(const http::request_head& head) { return head.value(http::field::accept).starts_with("text/plain"); }

} // namespace

void http_server::start(listener l) {
    listening_.emplace(std::move(l));
    accepting_.spawn(accept_connections());
}

void http_server::stop() noexcept {
    accepting_.clear();
    listening_.reset();
}

task<> http_server::accept_connections() {
    for (;;) {
        auto a = co_await listening_->accept();
        if (!a) {
            co_await sleep_for(accept_pause);
        } else if (connections_.size() >= connections_max) {
            const chunk busy =
                make_response(problem{.status = 503, .detail = "too many connections", .request_id = {}});
            const iovec bytes{const_cast<char*>(busy.data()), busy.size()};
            loop::current().os().write(a->connection.fd(), &bytes, 1);
            a->connection.close();
        } else {
            connections_.spawn(serve(std::move(a->connection)));
        }
    }
}

task<> http_server::serve(socket client) {
    http::inbound in;
    const auto parser = std::make_unique<http::request_parser>(limits);
    for (bool more = true; more;) {
        if (in.empty() && !co_await client.readable(keep_alive_timeout)) co_return;
        parser->reset();
        if (!co_await read_head(client, in, *parser)) break;
        const http::request_head& head = parser->head();
        more = head.keep_alive && !head.framing.has_body() && listening_;
        std::string allow;
        answer a = co_await find(head, allow);
        if (!co_await say(client, std::move(a), &head, more, std::move(allow))) co_return;
        in.consume(head.head_bytes);
    }
    if (client.end()) co_return;
    const time_point until = executor::current().turn_time() + linger_time_max;
    std::array<char, 4096> unread;
    while (executor::current().turn_time() < until) {
        const auto n = co_await client.read_some(unread, linger_time_max);
        if (!n || *n == 0) break;
    }
}

// Gives false at the client's end, or when it was told what is wrong.
task<bool> http_server::read_head(socket& client, http::inbound& in, http::request_parser& parser) {
    const time_point deadline = executor::current().turn_time() + head_timeout;
    constexpr std::size_t room = limits.head_bytes_max + 1;
    if (!in.empty()) in.make_contiguous(room);
    for (;;) {
        if (!in.empty()) {
            const http::parse_result p = parser.parse(in.bytes());
            if (p.state == http::parse_state::complete) co_return true;
            if (p.state == http::parse_state::error) {
                co_await say(client, {.status = p.error.status, .text = p.error.reason}, nullptr, false);
                co_return false;
            }
        }
        const duration left = std::max(deadline - executor::current().turn_time(), duration::zero());
        const auto n = co_await client.read_some(in.room(room), left);
        if (!n && n.error() == errc::timed_out)
            co_await say(client, {.status = 408, .text = "the request's head was not complete in time"}, nullptr,
                         false);
        if (!n || *n == 0) co_return false;
        in.received(*n);
    }
}

task<answer> http_server::find(const http::request_head& head, std::string& allow) {
    if (const std::string_view why = suspicious(head); !why.empty())
        co_return answer{.status = 403, .text = std::string(why)};
    const std::string_view method = head.method == http::method::head ? "GET" : head.method_text;
    for (const endpoint& e : endpoints_) {
        if (e.path != head.path) continue;
        if (e.method == method) co_return co_await e.make();
        allow += (allow.empty() ? "" : ", ") + std::string(e.method);
        if (e.method == "GET") allow += ", HEAD";
    }
    if (!allow.empty()) co_return answer{.status = 405, .text = "this method is not served here"};
    co_return answer{.status = 404, .text = "there is nothing at this path"};
}

task<bool> http_server::say(socket& client, answer a, const http::request_head* to, bool keep_alive,
                            std::string allow) {
    const bool head_only = to && to->method == http::method::head;
    const bool as_text = to && wants_text(*to);
    chunk out;
    if (a.status >= 400 && !as_text) {
        const std::pair<std::string, std::string> allowed("Allow", std::move(allow));
        const std::span fields(&allowed, allowed.second.empty() ? 0 : 1);
        out = make_response(problem{.status = a.status,
                                    .detail = a.text,
                                    .request_id = {},
                                    .keep_alive = keep_alive,
                                    .head_only = head_only,
                                    .fields = fields});
    } else {
        const bool json = !as_text && !a.json.empty();
        out = make_response(own_answer{.status = a.status,
                                       .body = json ? a.json : a.text,
                                       .content_type = json ? "application/json" : "text/plain; charset=utf-8",
                                       .fields = {{"Cache-Control", "no-store"}},
                                       .keep_alive = keep_alive,
                                       .head_only = head_only});
    }
    co_return static_cast<bool>(co_await client.write_all(out.text(), write_timeout));
}

} // namespace headgate::gateway::admin
