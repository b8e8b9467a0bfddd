#include <headgate/core/race.hpp>
#include <headgate/core/sleep.hpp>

#include <charconv>
#include <deque>

#include <gateway/proxy.hpp>
#include <simulation/scenarios.hpp>
#include <simulation/world.hpp>

namespace headgate::simulation_test {

namespace {

using http::body_framing;

// How an origin treats a request.
enum class manner : std::uint8_t {
    good,
    early,     // answers before it has read the body
    cut,       // ends its connection in the midst of the response
    cut_reset, // the same, with a reset
    mute,      // closes without an answer
    stalls,    // says nothing for long, in the midst of the response
    garbled,   // sends what is not HTTP
    surplus,   // sends more than the response
    sorry,     // answers 503; only if there are retries
};

// One time that a request was served.
struct serving {
    std::uint64_t sent = 0; // of the response's body
    bool whole = false;     // or ended in the only way in which its framing can end
};

// One request, what is to be answered, and how far both have come.
struct exchange {
    std::uint64_t id = 0;
    http::method verb = http::method::get;
    std::uint64_t request_bytes = 0;
    bool request_chunked = false;
    bool request_sent = false; // to its last byte
    std::uint32_t arrived = 0; // how often at the origin

    manner how = manner::good;
    int interim = 0;
    body_framing::kind framing = body_framing::kind::length;
    std::uint64_t response_bytes = 0;
    std::deque<serving> served{}; // by its arrivals
};

std::string framed(bool chunked, std::string body, exploration& x) {
    if (!chunked) return body;
    std::string out;
    for (std::size_t at = 0; at < body.size();) {
        const std::size_t n = 1 + x.size_up_to(body.size() - at - 1);
        char size[20];
        out.append(size, std::to_chars(size, size + sizeof size, n, 16).ptr);
        out += "\r\n" + body.substr(at, n) + "\r\n";
        at += n;
    }
    return out;
}

class proxy_world final : public world {
public:
    explicit proxy_world(exploration& x) : proxy_world(x, limits(x)) {}
    proxy_world(exploration& x, const gateway::proxy_options& o)
        : world(x, 8000), retries_(o.route.retries), proxy_(worker_, o) {
        if (retries_.enabled()) replay_bytes_max_ = 2 * retries_.replay_buffer + chunk_large + chunk_medium;
        if (const gateway::response_options& s = o.route.response; s.buffering == gateway::response_buffering::spool)
            replay_bytes_max_ += 3 * s.spool_memory + 2 * chunk_large;
        random_source r(x.seed ^ 0xfa11); // of its own, as below
        if (r.below(3) == 0) apply_more(o, r);
        start(proxy_);
        for (std::size_t n = x.between(1, 10); n != 0; --n) x.actor(visit());
    }
    ~proxy_world() override {
        worker_.close();
        servers_.clear();
    }

private:
    static gateway::proxy_options limits(exploration& x) {
        gateway::proxy_options o;
        o.to = {"127.0.0.1", 8000};
        const auto some = [&] { return x.one_in(3) ? 200ms + x.up_to(3s) : duration(60s); };
        o.http.header_timeout = some();
        o.http.keep_alive_timeout = some();
        o.route.client_idle_timeout = some();
        o.route.first_byte_timeout = some();
        o.route.upstream_idle_timeout = some();
        o.upstream = {.connect_timeout = 3s, .keep_alive_timeout = some(), .idle_max = x.below(4)};
        random_source r(x.seed ^ 0x1eaf); // of its own: what a seed did before these limits, it does still
        if (r.below(2)) o.upstream.connections_max = 1 + r.below(3);
        o.upstream.queue_max = r.below(5);
        if (r.below(3) == 0) o.upstream.connection_lifetime_max = 1s;
        if (r.below(3) == 0) o.upstream.requests_per_connection_max = 1 + r.below(3);
        if (r.below(3) == 0) o.route.retries = some_retries(r);
        random_source s(x.seed ^ 0x5b001);
        if (s.below(3) == 0)
            o.route.response = {.buffering = gateway::response_buffering::spool,
                                .spool_memory = 16 * 1024 + s.below(100'000),
                                .spool_disk = s.below(2) ? s.below(300'000) : 1'000'000};
        return o;
    }

    // Several endpoints, one of which nobody serves; perhaps a circuit breaker, and an upstream to fall back to.
    void apply_more(const gateway::proxy_options& o, random_source& r) {
        gateway::config c;
        c.server = worker_.options();
        c.listeners.push_back({.name = "proxy", .listen = worker_.options().listen, .http = o.http});
        gateway::upstream_config u{.name = "x", .options = o.upstream};
        for (std::uint64_t port = 8000; port < 8001 + r.below(3); ++port)
            u.endpoints.push_back({.where = {"127.0.0.1", static_cast<std::uint16_t>(port)}});
        constexpr gateway::balancing_policy policies[] = {gateway::balancing_policy::least_request,
                                                          gateway::balancing_policy::round_robin,
                                                          gateway::balancing_policy::consistent_hash};
        u.options.balancing.policy = policies[r.below(3)];
        u.options.ejection.consecutive_failures = static_cast<std::uint32_t>(1 + r.below(3));
        u.options.ejection.base_ejection_time = 500ms;
        if (r.below(2))
            u.options.circuit_breaker = {.failure_percent = 50,
                                         .consecutive_failures = static_cast<std::uint32_t>(r.below(4)),
                                         .min_requests = 3,
                                         .open_time = 100ms + r.below(20) * 100ms,
                                         .half_open_probes = static_cast<std::uint32_t>(1 + r.below(2))};
        also_serve(8001);
        gateway::proxy_action a{.upstreams = {{.upstream = "x"}}, .options = o.route};
        if (r.below(2)) {
            a.fallback = "y";
            also_serve(8009);
            fallback_ = true;
        }
        c.upstreams = {std::move(u),
                       {.name = "y", .endpoints = {{.where = {"127.0.0.1", 8009}}}, .options = o.upstream}};
        c.routes.push_back({.name = "proxy", .action = std::move(a)});
        worker_.config().apply(std::make_shared<gateway::snapshot>(std::move(c)));
    }

    static gateway::retry_options some_retries(random_source& r) {
        gateway::retry_options o;
        o.retry_on = {.connect_failure = r.below(2) == 0, .reset = r.below(2) == 0, .timeout = r.below(2) == 0};
        if (r.below(2)) o.retry_on.statuses = {{503, 503}};
        o.num_retries = 1 + static_cast<std::uint32_t>(r.below(4));
        if (r.below(2)) o.per_try_timeout = 100ms + r.below(20) * 100ms;
        o.replay_buffer = std::size_t{1} << r.below(17);
        return o;
    }

    exchange& invent() {
        exchange& e = exchanges_.emplace_back();
        e.id = exchanges_.size() - 1;
        constexpr http::method verbs[] = {http::method::get, http::method::get, http::method::head, http::method::post,
                                          http::method::put};
        e.verb = verbs[x_.below(std::size(verbs))];
        if (e.verb == http::method::post || e.verb == http::method::put) e.request_bytes = x_.size_up_to(400'000);
        e.request_chunked = e.request_bytes != 0 && x_.one_in(2);
        e.how = x_.one_in(2) ? manner::good : static_cast<manner>(x_.below(8));
        e.interim = x_.one_in(5) ? static_cast<int>(x_.below(4)) : 0;
        e.framing = static_cast<body_framing::kind>(x_.between(1, 3));
        e.response_bytes = x_.size_up_to(600'000);
        if (retries_.enabled() && x_.one_in(4)) e.how = manner::sorry;
        return e;
    }

    // --- clients

    task<> visit() {
        co_await sleep_for(x_.up_to(5s));
        auto s = co_await connect(*gate_, 10s);
        if (!s) co_return;
        peer p{x_, std::move(*s)};
        if (!x_.one_in(3)) co_return co_await ask(&p);
        const auto first = co_await race(ask(&p), leave_after(x_.up_to(8s)));
        if (first.index() == 1 && x_.one_in(2)) p.s.reset();
    }
    static task<> leave_after(duration d) { co_await sleep_for(d); }

    task<> ask(peer* p) {
        for (std::size_t n = x_.between(1, 5); n != 0; --n) {
            exchange& e = invent();
            const bool last = n == 1 || x_.one_in(6);
            strand sending;
            sending.start(request(p, &e, last && x_.one_in(2)), co_await here());
            if (!co_await response(p, &e) || !e.request_sent || last) co_return;
            if (x_.one_in(2)) co_await sleep_for(x_.up_to(2s));
        }
    }

    task<> request(peer* p, exchange* e, bool close) {
        std::string head =
            std::string(http::method_name(e->verb)) + " /" + std::to_string(e->id) + " HTTP/1.1\r\nHost: x\r\n";
        if (close) head += "Connection: close\r\n";
        if (e->request_chunked)
            head += "Transfer-Encoding: chunked\r\n";
        else if (e->request_bytes != 0)
            head += "Content-Length: " + std::to_string(e->request_bytes) + "\r\n";
        if (e->request_bytes == 0) e->request_sent = true;
        if (!co_await p->send(head + "\r\n", 300ms)) co_return;
        std::uint64_t at = 0;
        while (at < e->request_bytes) {
            const std::size_t n = 1 + x_.size_up_to(static_cast<std::size_t>(e->request_bytes - at) - 1);
            std::string piece = framed(e->request_chunked, testing::body_bytes(2 * e->id, at, n), x_);
            at += n;
            if (at == e->request_bytes && e->request_chunked) piece += "0\r\n\r\n";
            if (at == e->request_bytes) e->request_sent = true;
            if (!co_await p->send(std::move(piece), 30ms)) co_return;
            if (x_.one_in(6)) co_await sleep_for(x_.up_to(2s));
        }
    }

    // Gives whether the connection can carry another request.
    task<bool> response(peer* p, exchange* e) {
        http::response_parser parser(e->verb);
        for (;;) {
            parser.reset(e->verb);
            const http::parse_result r = parser.parse(p->in);
            if (r.state == http::parse_state::error) {
                x_.problem("a malformed response head: " + std::string(r.error.reason));
                co_return false;
            }
            if (r.state == http::parse_state::complete) {
                const std::size_t used = parser.head().head_bytes;
                if (!parser.head().informational()) break;
                p->in.erase(0, used);
                continue;
            }
            const auto n = co_await p->more(200ms);
            if (!n || *n == 0) co_return false;
        }
        const http::response_head& head = parser.head();
        const http::header* plan = head.find("X-Plan");
        const body_framing framing = head.framing;
        const bool keep = head.keep_alive;
        const bool ours = plan != nullptr;
        if (!ours && head.status < 400)
            x_.problem("a response that the origin did not give: " + std::to_string(head.status));
        // What an origin sends unasked, and so late that its connection carries the next request already, is the answer
        // to that one: HTTP/1.1 cannot tell. The connection ends with it, so nothing more is mixed up.
        if (ours && plan->value == "unasked") co_return false;
        const std::string_view value = ours ? plan->value : std::string_view();
        const std::string_view id = value.substr(0, value.find('.'));
        if (ours && id != std::to_string(e->id))
            x_.problem("the response of " + std::string(value) + " to the request " + std::to_string(e->id));
        if (!ours) co_return false; // its body is the gateway's own
        std::size_t arrival = 0;
        std::from_chars(value.data() + id.size() + 1, value.data() + value.size(), arrival);
        if (arrival >= e->served.size()) {
            x_.problem("a response to a request that has not arrived");
            co_return false;
        }
        const serving& answer = e->served[arrival];
        p->in.erase(0, head.head_bytes);
        std::uint64_t got = 0;
        const body_end end = co_await receive_body(p, framing, 2 * e->id + 1, &got, 100ms);
        if (end == body_end::wrong) x_.problem("a wrong byte in a response");
        if (end == body_end::malformed) x_.problem("a malformed chunk in a response");
        if (end != body_end::whole || p->broken) co_return false;
        const std::uint64_t all = e->verb == http::method::head ? 0 : e->response_bytes;
        const bool until_close = e->framing == body_framing::kind::until_close;
        if (!answer.whole || got != (until_close && all != 0 ? answer.sent : all))
            x_.problem("a response looks whole after " + std::to_string(got) + " of " + std::to_string(all) + " bytes");
        co_return keep;
    }

    // --- the origin

    task<> serve_one(socket s) override {
        peer p{x_, std::move(s)};
        for (;;) {
            http::request_parser parser;
            for (;;) {
                parser.reset();
                const http::parse_result r = parser.parse(p.in);
                if (r.state == http::parse_state::error)
                    co_return x_.problem("a malformed request head: " + std::string(r.error.reason));
                if (r.state == http::parse_state::complete) break;
                const auto n = co_await p.more(100ms);
                if (!n || *n == 0) co_return;
            }
            std::uint64_t id = 0;
            const std::string_view path = parser.head().path;
            std::from_chars(path.data() + 1, path.data() + path.size(), id);
            if (id >= exchanges_.size()) co_return x_.problem("a request that nobody has made");
            exchange& e = exchanges_[id];
            const body_framing framing = parser.head().framing;
            p.in.erase(0, parser.head().head_bytes);
            // Idempotent ones: once more after a stale connection, at each upstream.
            const std::uint32_t again = (fallback_ ? 3 : 1) + (retries_.enabled() ? retries_.num_retries : 0);
            if (++e.arrived > (e.verb == http::method::post ? 1 : 1 + again))
                co_return x_.problem("a request that arrived once too often");
            if (e.arrived > 1 && retries_.enabled() && x_.one_in(2)) e.how = manner::good;
            if (!co_await serve_exchange(&p, &e, &e.served.emplace_back(), framing)) co_return;
        }
    }

    task<bool> read_request(peer* p, exchange* e, body_framing framing) {
        std::uint64_t got = 0;
        const body_end end = co_await receive_body(p, framing, 2 * e->id, &got, 100ms);
        if (end == body_end::wrong) x_.problem("a wrong byte in a request");
        if (end == body_end::malformed) x_.problem("a malformed chunk in a request");
        if (end == body_end::whole && (!e->request_sent || got != e->request_bytes))
            x_.problem("a request looks whole after " + std::to_string(got) + " of " +
                       std::to_string(e->request_bytes) + " bytes");
        co_return end == body_end::whole;
    }

    // Gives whether the connection goes on.
    task<bool> serve_exchange(peer* p, exchange* e, serving* as, body_framing framing) {
        const std::size_t arrival = e->served.size() - 1;
        const manner how = e->how;
        if (how != manner::early && !co_await read_request(p, e, framing)) co_return false;
        if (how == manner::mute) co_return false;
        if (x_.one_in(4)) co_await sleep_for(x_.up_to(4s));
        if (how == manner::garbled) {
            co_await p->send("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", 10ms);
            co_return false;
        }
        const bool chunked = e->framing == body_framing::kind::chunked;
        const bool until_close = e->framing == body_framing::kind::until_close;
        const bool body = e->verb != http::method::head;
        std::string head;
        for (int i = 0; i < e->interim; ++i) head += "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
        head += how == manner::sorry ? "HTTP/1.1 503 Service Unavailable\r\n" : "HTTP/1.1 200 OK\r\n";
        head += "X-Plan: " + std::to_string(e->id) + "." + std::to_string(arrival) + "\r\n";
        if (chunked) head += "Transfer-Encoding: chunked\r\n";
        if (!chunked && !until_close) head += "Content-Length: " + std::to_string(e->response_bytes) + "\r\n";
        const std::uint64_t all = body ? e->response_bytes : 0;
        const bool cut = how == manner::cut || how == manner::cut_reset;
        const std::uint64_t until = cut ? x_.size_up_to(static_cast<std::size_t>(all)) : all;
        if (!body || (all == 0 && !chunked && !until_close)) as->whole = !cut || !body || all == 0;
        if (!co_await p->send(head + "\r\n", 300ms)) co_return false;
        if (body && !co_await send_body(p, e, as, how, until, chunked)) co_return false;
        if (cut) {
            if (how == manner::cut_reset) {
                p->s.reset();
            } else if (until_close) {
                as->whole = true; // as far as anyone can see
            }
            co_return false;
        }
        if (body && until_close) {
            as->whole = true;
            static_cast<void>(p->s.end());
            co_await sleep_for(x_.up_to(1s));
            co_return false;
        }
        if (body && chunked) {
            as->whole = true;
            if (!co_await p->send("0\r\n\r\n", 30ms)) co_return false;
        }
        if (how == manner::surplus) {
            co_await p->send("HTTP/1.1 200 OK\r\nX-Plan: unasked\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
                             10ms);
            co_return false;
        }
        if (how == manner::early && !co_await read_request(p, e, framing)) co_return false;
        co_return !until_close && !x_.one_in(4);
    }

    task<bool> send_body(peer* p, exchange* e, serving* as, manner how, std::uint64_t until, bool chunked) {
        while (as->sent < until) {
            const std::size_t n = 1 + x_.size_up_to(static_cast<std::size_t>(until - as->sent) - 1);
            std::string piece = framed(chunked, testing::body_bytes(2 * e->id + 1, as->sent, n), x_);
            as->sent += n;
            if (!chunked && e->framing == body_framing::kind::length && as->sent == e->response_bytes) as->whole = true;
            if (!co_await p->send(std::move(piece), 30ms)) co_return false;
            if (how == manner::stalls && x_.one_in(3)) co_await sleep_for(70s);
            if (x_.one_in(6)) co_await sleep_for(x_.up_to(2s));
        }
        co_return true;
    }

    const gateway::retry_options retries_;
    bool fallback_ = false;
    gateway::proxy proxy_;
    std::deque<exchange> exchanges_;
};

} // namespace

testing::exploration_report explore_proxy(std::uint64_t seed) {
    return testing::explore(seed, [](exploration& x) { return std::make_unique<proxy_world>(x); });
}

} // namespace headgate::simulation_test
