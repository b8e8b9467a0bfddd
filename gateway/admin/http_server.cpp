#include <headgate/core/race.hpp>
#include <headgate/core/sleep.hpp>
#include <headgate/http/authority.hpp>
#include <headgate/http/token.hpp>
#include <headgate/io/networks.hpp>

#include <algorithm>

#include <openssl/crypto.h>

#include <gateway/admin/http_server.hpp>
#include <gateway/problem.hpp>

namespace headgate::gateway::admin {

namespace {

// What a client still sends is read for as long, so that closing does not become a reset that takes the answer with it.
constexpr duration linger_time_max = std::chrono::milliseconds(500);
constexpr duration accept_pause = std::chrono::milliseconds(100);

// Why the request is not one of those who look after the gateway; empty if it may be. A page that has been led here
// has no token: then the name does not matter.
std::string_view suspicious(const http::request_head& head, bool token) {
    const std::string_view host = head.authority.host;
    if (!token && !host.empty() && !parse_ip(host) && !http::same_token(host, "localhost"))
        return "the Host must be an IP address or localhost: a name may have been made to lead here";
    if (head.method == http::method::get || head.method == http::method::head) return {};
    const std::string_view origin = head.value(http::field::origin);
    const std::size_t scheme = origin.find("://");
    if (!origin.empty() && (scheme == std::string_view::npos || origin.substr(scheme + 3) != head.authority.text))
        return "pages of other origins may not do this";
    return {};
}

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const char low = static_cast<char>(c | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

// What is percent-encoded as itself, `plus` for a plus. What is not an encoding stays.
std::string decoded(std::string_view text, char plus) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const int high = text[i] == '%' && i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
        const int low = high < 0 ? -1 : hex_digit(text[i + 2]);
        if (low >= 0) {
            out += static_cast<char>(high * 16 + low);
            i += 2;
        } else {
            out += text[i] == '+' ? plus : text[i];
        }
    }
    return out;
}

// Whether the path is one of this form; `segments` gets those that stand for names in braces.
bool fits(std::string_view form, std::string_view path, std::vector<std::string>& segments) {
    while (!form.empty() && !path.empty()) {
        if (form.front() != '{') {
            if (form.front() != path.front()) return false;
            form.remove_prefix(1);
            path.remove_prefix(1);
            continue;
        }
        const std::size_t end = std::min(path.find('/'), path.size());
        if (end == 0) return false;
        segments.push_back(decoded(path.substr(0, end), '+'));
        path.remove_prefix(end);
        form.remove_prefix(form.find('}') + 1);
    }
    return form.empty() && path.empty();
}

bool wants_text(const http::request_head& head) { return head.value(http::field::accept).starts_with("text/plain"); }

} // namespace

void http_server::start(listener l) {
    listening_.emplace(std::move(l));
    open_ = true;
    accepting_.spawn(accept_connections());
}

void http_server::stop() noexcept {
    open_ = false;
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

http_server::request_facts http_server::facts_of(const http::request_head& head) const {
    return {.verb = head.method,
            .method = std::string(head.method == http::method::head ? "GET" : head.method_text),
            .authorization = std::string(head.value(http::field::authorization)),
            .if_none_match = std::string(head.value(http::field::if_none_match)),
            .as_text = wants_text(head),
            .keep_alive = head.keep_alive,
            .framing = head.framing,
            .refused = std::string(suspicious(head, !token_.empty()))};
}

task<> http_server::serve(socket client) {
    http::inbound in;
    const auto parser = std::make_unique<http::request_parser>(limits);
    for (bool more = true; more;) {
        if (in.empty() && !co_await client.readable(keep_alive_timeout)) co_return;
        parser->reset();
        if (!co_await read_head(client, in, *parser)) break;
        const http::request_head& head = parser->head();
        request_facts f = facts_of(head);
        asked rq{.path = std::string(head.path),
                 .query = std::string(head.query),
                 .accept = std::string(head.value(http::field::accept))};
        in.consume(head.head_bytes); // the head is not looked at any more
        std::string allow;
        const asset* page = f.refused.empty() && f.method == "GET" ? find_asset(rq.path) : nullptr;
        if (page) {
            more = f.keep_alive && !f.framing.has_body() && open_;
            if (!co_await say_asset(client, *page, f, more)) co_return;
            continue;
        }
        answer a = co_await make(client, in, f, rq, allow);
        more = f.keep_alive && !f.framing.has_body() && open_ && !a.events;
        if (a.events && f.verb != http::method::head) {
            co_await stream_events(client, a);
            break;
        }
        if (!co_await say(client, std::move(a), f, more, std::move(allow))) co_return;
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
                co_await say(client, {.status = p.error.status, .text = p.error.reason}, {}, false);
                co_return false;
            }
        }
        const duration left = std::max(deadline - executor::current().turn_time(), duration::zero());
        const auto n = co_await client.read_some(in.room(room), left);
        if (!n && n.error() == errc::timed_out)
            co_await say(client, {.status = 408, .text = "the request's head was not complete in time"}, {}, false);
        if (!n || *n == 0) co_return false;
        in.received(*n);
    }
}

// The token is compared in a time that does not tell how much of it was right.
bool http_server::has_token(const request_facts& f) const noexcept {
    if (token_.empty()) return true;
    constexpr std::string_view scheme = "Bearer ";
    std::string_view given = f.authorization;
    if (given.size() < scheme.size() || !http::same_token(given.substr(0, scheme.size() - 1), "bearer")) return false;
    given.remove_prefix(scheme.size());
    return given.size() == token_.size() && CRYPTO_memcmp(given.data(), token_.data(), token_.size()) == 0;
}

const endpoint* http_server::find(const request_facts& f, asked& rq, std::string& allow) const {
    for (const endpoint& e : endpoints_) {
        std::vector<std::string> segments;
        if (!fits(e.path, rq.path, segments)) continue;
        if (e.method == f.method) {
            rq.segments = std::move(segments);
            return &e;
        }
        allow += (allow.empty() ? "" : ", ") + std::string(e.method);
        if (e.method == "GET") allow += ", HEAD";
    }
    return nullptr;
}

// Reads a body, and is done with the request's framing then.
task<bool> http_server::read_body(socket& client, http::inbound& in, std::size_t bytes, std::string& body) {
    const time_point deadline = executor::current().turn_time() + head_timeout;
    while (in.bytes().size() < bytes) {
        const duration left = std::max(deadline - executor::current().turn_time(), duration::zero());
        const auto n = co_await client.read_some(in.room(body_bytes_max), left);
        if (!n || *n == 0) co_return false;
        in.received(*n);
    }
    body = in.bytes().substr(0, bytes);
    in.consume(bytes);
    co_return true;
}

task<answer> http_server::make(socket& client, http::inbound& in, request_facts& f, asked& rq, std::string& allow) {
    if (!f.refused.empty()) co_return answer{.status = 403, .text = f.refused};
    const endpoint* e = find(f, rq, allow);
    if (!has_token(f) && !(e && e->open))
        co_return answer{.status = 401, .text = "this needs the token of the file that admin.token_file names"};
    if (!e && !allow.empty()) co_return answer{.status = 405, .text = "this method is not served here"};
    if (!e) co_return answer{.status = 404, .text = "there is nothing at this path"};
    if (f.method == "PUT") {
        if (f.framing.how != http::body_framing::kind::length)
            co_return answer{.status = 411, .text = "a body with Content-Length is needed"};
        if (f.framing.length > body_bytes_max) co_return answer{.status = 413, .text = "the body is too long"};
        if (!co_await read_body(client, in, static_cast<std::size_t>(f.framing.length), rq.body))
            co_return answer{.status = 408, .text = "the body was not complete in time"};
        f.framing = {};
    }
    co_return co_await e->make(std::move(rq));
}

task<bool> http_server::say(socket& client, answer a, const request_facts& to, bool keep_alive, std::string allow) {
    const bool head_only = to.verb == http::method::head;
    chunk out;
    if (a.status >= 400 && !to.as_text) {
        std::vector<std::pair<std::string, std::string>> fields;
        if (!allow.empty()) fields.emplace_back("Allow", std::move(allow));
        if (a.status == 401) fields.emplace_back("WWW-Authenticate", "Bearer realm=\"headgate\"");
        out = make_response(problem{.status = a.status,
                                    .detail = a.text,
                                    .request_id = {},
                                    .keep_alive = keep_alive,
                                    .head_only = head_only,
                                    .fields = fields});
    } else {
        const bool json = !to.as_text && !a.json.empty();
        out = make_response(own_answer{.status = a.status,
                                       .body = json ? a.json : a.text,
                                       .content_type = json ? "application/json" : a.text_type,
                                       .fields = {{"Cache-Control", "no-store"}},
                                       .keep_alive = keep_alive,
                                       .head_only = head_only});
    }
    co_return static_cast<bool>(co_await client.write_all(out.text(), write_timeout));
}

task<bool> http_server::say_asset(socket& client, const asset& a, const request_facts& to, bool keep_alive) {
    const bool same = to.if_none_match == a.etag;
    own_answer answer{.status = same ? 304 : 200,
                      .fields = {{"Cache-Control", "no-cache"},
                                 {"ETag", a.etag},
                                 {"Content-Security-Policy", page_policy},
                                 {"X-Content-Type-Options", "nosniff"}},
                      .keep_alive = keep_alive,
                      .head_only = to.verb == http::method::head};
    if (!same) {
        answer.body = a.bytes;
        answer.content_type = a.content_type;
    }
    const chunk out = make_response(answer);
    co_return static_cast<bool>(co_await client.write_all(out.text(), write_timeout));
}

namespace {

task<> until_gone(socket& client) { static_cast<void>(co_await client.peer_closed()); }

struct counted {
    explicit counted(std::size_t& n) noexcept : n_(n) { ++n_; }
    counted(const counted&) = delete;
    counted& operator=(const counted&) = delete;
    ~counted() { --n_; }

private:
    std::size_t& n_;
};

} // namespace

task<> http_server::stream_events(socket& client, const answer& a) {
    if (event_streams_ >= event_streams_max) {
        const chunk busy =
            make_response(problem{.status = 503, .detail = "too many streams of events", .request_id = {}});
        static_cast<void>(co_await client.write_all(busy.text(), write_timeout));
        co_return;
    }
    const counted one(event_streams_);
    constexpr std::string_view head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
        "Connection: close\r\n\r\n";
    if (!co_await client.write_all(head, write_timeout)) co_return;
    event_stream to(client, open_);
    co_await race(a.events(to), until_gone(client));
}

void event_stream::add(std::string_view event, std::string_view data) {
    pending_.append("event: ").append(event).append("\ndata: ").append(data).append("\n\n");
}

task<bool> event_stream::send() {
    const std::string text = std::exchange(pending_, {});
    co_return open_&& co_await client_.write_all(text, http_server::write_timeout);
}

std::optional<std::string> asked::parameter(std::string_view name) const {
    std::string_view rest = query;
    if (rest.starts_with('?')) rest.remove_prefix(1);
    while (!rest.empty()) {
        const std::size_t end = std::min(rest.find('&'), rest.size());
        const std::string_view pair = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        const std::size_t eq = std::min(pair.find('='), pair.size());
        if (decoded(pair.substr(0, eq), ' ') == name) return decoded(pair.substr(std::min(eq + 1, pair.size())), ' ');
    }
    return std::nullopt;
}

} // namespace headgate::gateway::admin
