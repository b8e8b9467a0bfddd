#include <headgate/core/race.hpp>
#include <headgate/core/sleep.hpp>
#include <headgate/http/inbound.hpp>
#include <headgate/http/parser.hpp>

#include <memory>
#include <new>

#include <gateway/cause.hpp>
#include <gateway/endpoint_pool.hpp>
#include <gateway/health_check.hpp>

namespace headgate::gateway {

namespace {

finding found(std::error_code e) { return out_of_resources(e) ? finding::unknown : finding::down; }

// The answer's head is enough: its body is not waited for.
task<finding> answer(socket& s, const health_check_options& o) {
    http::inbound in;
    const auto parser = std::make_unique<http::response_parser>();
    for (;;) {
        const auto n = co_await s.read_some(in.room(http::head_limits{}.head_bytes_max + 1));
        if (!n || *n == 0) co_return finding::down;
        in.received(*n);
        for (;;) {
            const http::parse_result p = parser->parse(in.bytes());
            if (p.state == http::parse_state::error) co_return finding::down;
            if (p.state == http::parse_state::need_more) break;
            if (!parser->head().informational())
                co_return o.expected_statuses.contains(parser->head().status) ? finding::up : finding::down;
            in.consume(parser->head().head_bytes);
            parser->reset(http::method::get);
            if (in.empty()) break;
        }
    }
}

task<finding> probe(endpoint_pool& to, const health_check_options& o, std::string request) {
    auto s = co_await to.open();
    if (!s) co_return found(s.error());
    if (o.type == health_check_type::tcp) co_return finding::up;
    if (const auto sent = co_await s->write_all(request); !sent) co_return found(sent.error());
    co_return co_await answer(*s, o);
}

task<> time_out(duration d) { co_await sleep_for(d); }

std::string request_of(const endpoint_pool& to, const health_check_options& o) {
    return "GET " + o.path + " HTTP/1.1\r\nHost: " + (o.host.empty() ? std::string(to.authority()) : o.host) +
           "\r\nUser-Agent: headgate\r\nConnection: close\r\n\r\n";
}

} // namespace

task<finding> check_endpoint(endpoint_pool& to, const health_check_options& o, std::string request) {
    const auto first = co_await race(probe(to, o, std::move(request)), time_out(o.timeout));
    co_return first.index() == 0 ? std::get<0>(first) : finding::down;
}

bool check_row::count(finding f) noexcept {
    if (f == finding::unknown) return up_;
    against_ = (f == finding::up) == up_ ? 0 : against_ + 1;
    if (against_ >= (up_ ? unhealthy_threshold_ : healthy_threshold_)) {
        up_ = !up_;
        against_ = 0;
    }
    return up_;
}

// It goes on whatever happens to one check, which fails or throws for want of memory only.
task<> keep_checking(endpoint_pool& to, const health_check_options& o, upstream_health& health, duration first) {
    const std::string request = request_of(to, o);
    check_row row(o);
    co_await sleep_for(first);
    for (;;) {
        finding f = finding::unknown;
        try {
            f = (co_await attempt(check_endpoint(to, o, request))).value_or(finding::unknown);
        } catch (const std::bad_alloc&) {
            f = finding::unknown;
        }
        health.checked(to.place(), row.count(f), executor::current().turn_time());
        co_await sleep_for(o.interval);
    }
}

} // namespace headgate::gateway
