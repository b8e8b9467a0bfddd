#include <headgate/core/race.hpp>
#include <headgate/core/sleep.hpp>

#include <algorithm>
#include <array>

#include <fuzz/check.hpp>
#include <fuzz/proxied.hpp>

namespace headgate::fuzz {

using namespace std::chrono_literals;

namespace {

constexpr duration pause = 20ms;
constexpr duration rest = 10min; // longer than any limit of the proxy

gateway::server_options quiet(gateway::server_options o) {
    o.access_log.enabled = false;
    return o;
}

gateway::proxy_options to_origin(gateway::proxy_options o) {
    o.to = {"127.0.0.1", 9000};
    return o;
}

// Writes what stands between pauses in one piece.
task<bool> say_to(socket* s, std::string bytes, std::string* sent) {
    for (std::size_t at = 0; at <= bytes.size();) {
        const std::size_t end = std::min(bytes.find(pause_mark, at), bytes.size());
        if (at != 0) co_await sleep_for(pause);
        if (sent) sent->append(bytes, at, end - at);
        if (end != at && !co_await s->write_all(std::string_view(bytes).substr(at, end - at), 5min)) co_return false;
        at = end + 1;
    }
    co_return true;
}

task<> say_all(socket* s, std::string bytes, bool end) {
    if (co_await say_to(s, std::move(bytes), nullptr) && end) static_cast<void>(s->end());
}

// Reads more; false at the end, of whatever kind.
task<bool> hear(socket* s, heard* to) {
    std::array<char, 16 * 1024> buffer;
    const auto n = co_await s->read_some(buffer, rest);
    if (n) to->text.append(buffer.data(), *n);
    to->ended = n && *n == 0;
    co_return n && *n != 0;
}

task<> hear_all(socket* s, heard* to) {
    while (co_await hear(s, to)) {
    }
}

// Beyond what every message must be: what the gateway promises of each request that it sends.
void check_request(const strict::message& m) {
    check(m.minor_version == 1, "the origin gets HTTP/1.1");
    const auto host = m.all("host");
    check(host.size() == 1, "with one Host");
    for (const std::string_view hop : {"keep-alive", "proxy-connection", "upgrade", "proxy-authorization"})
        check(m.all(hop).empty(), "without fields that are for one connection");
    for (const std::string& option : m.all("connection")) check_equal(option, "TE", "Connection names what is ours");
    check(m.target.starts_with('/') || (m.target == "*" && m.method == "OPTIONS"), "its target is a path");
    check(m.method != "CONNECT", "it is not for tunnels");
}

} // namespace

proxied::proxied(testing::simulation& sim, const proxied_options& o)
    : sim_(sim), worker_(sim.home, quiet(o.server), nullptr), proxy_(worker_, to_origin(o.proxy)),
      gate_(*address::parse("127.0.0.1:0")), origin_(*listener::open(*address::parse("127.0.0.1:9000"))) {
    auto gate = listener::open(gate_);
    gate_ = gate->where();
    worker_.start(std::move(*gate), proxy_);
    servers_.spawn(accept());
}

proxied::~proxied() { worker_.close(); }

void proxied::run(script s) {
    const time_point limit = sim_.os.now() + 24h;
    clients_.spawn(visit(std::move(s)));
    while (!clients_.empty()) {
        check(!sim_.home.turn(), "something can still happen while the client is there");
        check(sim_.os.now() < limit, "the client is not kept for ever");
    }
    sim_.advance(rest);
    const gateway::live_counts left = worker_.live();
    check(left.connections == 0 && left.requests == 0, "no client and no request is left");
    check(left.upstream_busy == 0 && left.upstream_idle == 0, "no connection to the origin is left");
    check(left.buffer_bytes == 0 && left.pipes == 0, "no buffer and no pipe is left");
}

task<> proxied::visit(script what) {
    auto s = co_await connect(gate_, 10s);
    if (!s) co_return;
    if (what.how == leaving::resets) {
        co_await all(say_all(&*s, std::move(what.bytes), false));
        s->reset();
        co_return;
    }
    strand saying;
    saying.start(say_all(&*s, std::move(what.bytes), what.how == leaving::ends), co_await here());
    co_await hear_all(&*s, &client);
}

task<> proxied::accept() {
    for (;;) {
        auto a = co_await origin_.accept();
        if (!a) co_return;
        servers_.spawn(serve(&origins.emplace_back(std::move(a->connection))));
    }
}

// What has come of the next request.
strict::message proxied::next_request(origin_connection* c) {
    const std::string_view left = std::string_view(c->in.text).substr(c->used);
    check(!left.starts_with("\r\n"), "nothing stands between requests");
    strict::message m = strict::read_request(left, 0);
    if (m.how == strict::state::malformed) check_equal(left, m.why, "the origin gets what nobody can mistake");
    if (m.head_whole) check_request(m);
    c->begun.reset();
    if (m.head_whole) c->begun = m;
    return m;
}

task<const strict::message*> proxied::read_request(origin_connection* c) {
    for (;;) {
        strict::message m = next_request(c);
        if (m.how == strict::state::whole) {
            c->used += m.end;
            c->begun.reset();
            co_return &c->requests.emplace_back(std::move(m));
        }
        if (!co_await hear(&c->s, &c->in)) co_return nullptr;
    }
}

task<bool> proxied::read_head(origin_connection* c) {
    while (!next_request(c).head_whole)
        if (!co_await hear(&c->s, &c->in)) co_return false;
    co_return true;
}

task<bool> proxied::say(origin_connection* c, std::string bytes) {
    co_return co_await say_to(&c->s, std::move(bytes), &c->sent);
}

task<> proxied::part(origin_connection* c) {
    c->sent_end = !c->s.end();
    co_await hear_all(&c->s, &c->in);
}

} // namespace headgate::fuzz
