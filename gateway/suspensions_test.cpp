#include <headgate/core/race.hpp>
#include <headgate/core/sleep.hpp>
#include <headgate/io/listener.hpp>
#include <headgate/testing/suspensions.hpp>
#include <headgate/testing/temporary_folder.hpp>
#include <headgate/testing/tools.hpp>

#include <gtest/gtest.h>

#include <gateway/proxy.hpp>
#include <gateway/tunnel.hpp>

// The proxy's exchange and the tunnel, ended in every way at every point: see testing/suspensions.hpp. The client and
// the origin are the surroundings; what is dropped is the coroutine that serves the client.
namespace headgate::gateway {
namespace {

using testing::at_every_suspension;
using testing::trial;

server_options quiet() {
    server_options o;
    o.access_log.enabled = false;
    o.stream_buffer = 4096;
    return o;
}

// What one run needs beside the connection that is served; made afresh for each, and owned by the flow.
struct stage {
    explicit stage(trial& t) : on(t.sim.home, quiet(), nullptr) {
        t.special("client resets", [this] { client_resets.abort(); });
        t.special("client ends", [this] { client_ends.abort(); });
        t.special("origin resets", [this] { origin_resets.abort(); });
        t.special("origin ends", [this] { origin_ends.abort(); });
        t.special("shut down", [this] { on.abort(); });
    }

    worker on;
    listener gate = *listener::open(*address::parse("127.0.0.1:0"));
    listener origin = *listener::open(*address::parse("127.0.0.1:9000"));
    abort_source client_resets, client_ends, origin_resets, origin_ends;
};

// A peer's socket, which may be told to leave.
struct rude : socket {
    explicit rude(socket s) : socket(std::move(s)) {}
    rude(rude&&) = default;
    ~rude() { reset(); }
};
task<> leave_when(abort_signal told, socket* s, bool reset) {
    co_await told.wait();
    if (!*s) co_return;
    if (reset)
        co_await fail(errc::aborted); // drops the peer, whose socket says goodbye with a reset
    else
        static_cast<void>(s->end());
}

// Says what it has to say with pauses, and reads what comes.
task<> speak(socket* s, std::string text) {
    for (std::size_t at = 0; at < text.size(); at += 5000) {
        if (!co_await s->write_all(std::string_view(text).substr(at, 5000))) co_return;
        co_await sleep_for(1ms);
    }
}
// Gives how much it has heard when it has heard `enough`, or the end.
task<std::size_t> hear(socket* s, std::size_t enough) {
    std::array<char, 10'000> buffer;
    std::size_t heard = 0;
    while (heard < enough) {
        const auto n = co_await s->read_some(buffer);
        if (!n || *n == 0) break;
        heard += *n;
    }
    co_return heard;
}

task<> client(stage* at, std::string text, std::size_t enough) {
    auto s = co_await connect(at->gate.where());
    if (!s) co_return;
    rude own(std::move(*s));
    place& here_now = co_await here();
    strand resets, ends, speaks;
    resets.start(leave_when(at->client_resets.signal(), &own, true), here_now);
    ends.start(leave_when(at->client_ends.signal(), &own, false), here_now);
    speaks.start(speak(&own, std::move(text)), here_now);
    co_await hear(&own, enough);
    static_cast<void>(own.end());
    co_await hear(&own, SIZE_MAX);
}

// Gives one answer after the other, on one connection.
task<> answer_each(stage* at, std::size_t after, std::vector<std::string> texts) {
    auto a = co_await at->origin.accept();
    if (!a) co_return;
    rude s(std::move(a->connection));
    place& here_now = co_await here();
    strand resets, ends;
    resets.start(leave_when(at->origin_resets.signal(), &s, true), here_now);
    ends.start(leave_when(at->origin_ends.signal(), &s, false), here_now);
    for (const std::string& text : texts) {
        if (co_await hear(&s, after) < after) co_return;
        co_await speak(&s, text);
    }
    co_await hear(&s, SIZE_MAX);
}
task<> answer(stage* at, std::size_t after, const std::string& text, std::size_t times = 1) {
    return answer_each(at, after, std::vector(times, text));
}

task<std::optional<accepted>> first_client(stage* at) {
    auto a = co_await at->gate.accept();
    if (!a) co_return std::nullopt;
    co_return std::optional<accepted>(std::move(*a));
}
task<> patience() { co_await sleep_for(1min); }

template <class Service, class Options>
task<outcome> serve(std::unique_ptr<stage> at, Options o) {
    Service service(at->on, o);
    auto a = co_await race(first_client(at.get()), patience());
    if (a.index() == 1 || !std::get<0>(a)) co_return std::unexpected(flow_error{errc::refused, side::caller, 0, {}});
    accepted first = std::move(*std::get<0>(a));
    co_await service.serve(std::move(first.connection), client_peer(first.peer, nullptr));
    at->on.drain();
    if (at->on.live().upstream_busy != 0)
        co_return std::unexpected(flow_error{errc::failed, side::caller, 0, "a lease is left"});
    co_return transfer{};
}

// Serves two clients at a time.
task<outcome> serve_two(std::unique_ptr<stage> at, proxy_options o) {
    proxy service(at->on, o);
    std::vector<accepted> both;
    while (both.size() != 2) {
        auto a = co_await race(first_client(at.get()), patience());
        if (a.index() == 1 || !std::get<0>(a))
            co_return std::unexpected(flow_error{errc::refused, side::caller, 0, {}});
        both.push_back(std::move(*std::get<0>(a)));
    }
    co_await all(service.serve(std::move(both[0].connection), client_peer(both[0].peer, nullptr)),
                 service.serve(std::move(both[1].connection), client_peer(both[1].peer, nullptr)));
    const upstream& to = *at->on.config().now()->upstreams.front();
    if (to.busy() != 0 || to.limit().taken() != 0 || to.limit().waiting() != 0)
        co_return std::unexpected(flow_error{errc::failed, side::caller, 0, "a lease or a permit is left"});
    at->on.drain();
    co_return transfer{};
}

testing::suspension_options own_causes() {
    testing::suspension_options o;
    o.names_cause = false; // it says so in an answer
    return o;
}

std::string head(const std::string& first_line, const std::string& fields) {
    return first_line + "\r\n" + fields + "\r\n";
}

testing::suspension_report proxied(
    const std::string& request, std::size_t heard, const std::string& response, std::size_t enough,
    void (*with)(proxy_options&) = [](proxy_options&) {}) {
    return at_every_suspension(
        [=](trial& t) {
            auto at = std::make_unique<stage>(t);
            t.beside(client(at.get(), request, enough));
            t.beside(answer(at.get(), heard, response));
            proxy_options o;
            o.to = {"127.0.0.1", 9000};
            o.upstream.connect_timeout = 1s;
            with(o);
            return serve<proxy>(std::move(at), o);
        },
        own_causes());
}

TEST(gateway_suspensions_test, AProxiedGet) {
    const auto report =
        proxied(head("GET / HTTP/1.1", "Host: x\r\n"), 30,
                head("HTTP/1.1 200 OK", "Content-Length: 30000\r\n") + testing::body_bytes(1, 0, 30'000), 30'000);
    EXPECT_TRUE(report.ok()) << report;
    EXPECT_GT(report.points, 10u);
}

TEST(gateway_suspensions_test, AProxiedUploadWithAChunkedResponse) {
    const std::string chunk_of_4096 = "1000\r\n" + testing::body_bytes(1, 0, 4096) + "\r\n";
    const auto report = proxied(
        head("POST / HTTP/1.1", "Host: x\r\nTransfer-Encoding: chunked\r\n") + chunk_of_4096 + chunk_of_4096 +
            chunk_of_4096 + "0\r\n\r\n",
        12'300, head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked\r\n") + chunk_of_4096 + chunk_of_4096 + "0\r\n\r\n",
        8'200);
    EXPECT_TRUE(report.ok()) << report;
}

TEST(gateway_suspensions_test, ARequestThatWaitsForAConnection) {
    const auto report = at_every_suspension(
        [](trial& t) {
            auto at = std::make_unique<stage>(t);
            const std::string ask = head("GET / HTTP/1.1", "Host: x\r\nConnection: close\r\n");
            t.beside(client(at.get(), ask, 6000));
            t.beside(client(at.get(), ask, 6000));
            t.beside(answer(at.get(), 30,
                            head("HTTP/1.1 200 OK", "Content-Length: 6000\r\n") + testing::body_bytes(1, 0, 6000), 2));
            proxy_options o;
            o.to = {"127.0.0.1", 9000};
            o.upstream.connections_max = 1;
            return serve_two(std::move(at), o);
        },
        own_causes());
    EXPECT_TRUE(report.ok()) << report;
    EXPECT_GT(report.points, 20u);
}

TEST(gateway_suspensions_test, ARequestThatIsSentAgain) {
    const std::string body = testing::body_bytes(1, 0, 12'000);
    const auto report = at_every_suspension(
        [&](trial& t) {
            auto at = std::make_unique<stage>(t);
            t.beside(client(at.get(), head("PUT / HTTP/1.1", "Host: x\r\nContent-Length: 12000\r\n") + body, 6000));
            t.beside(
                answer_each(at.get(), 12'100,
                            {head("HTTP/1.1 503 Service Unavailable", "Content-Length: 0\r\n"),
                             head("HTTP/1.1 200 OK", "Content-Length: 6000\r\n") + testing::body_bytes(2, 0, 6000)}));
            proxy_options o;
            o.to = {"127.0.0.1", 9000};
            o.upstream.connect_timeout = 1s;
            o.route.retries.retry_on = {.connect_failure = true, .reset = true, .statuses = {{503, 503}}};
            o.route.retries.num_retries = 2;
            return serve<proxy>(std::move(at), o);
        },
        own_causes());
    EXPECT_TRUE(report.ok()) << report;
    EXPECT_GT(report.points, 10u);
}

TEST(gateway_suspensions_test, ASwitchOfProtocols) {
    const std::string ask = "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    const std::string agree = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    const auto report = proxied(head("GET / HTTP/1.1", ask) + testing::body_bytes(1, 0, 12'000), 30,
                                head("HTTP/1.1 101 Switching Protocols", agree) + testing::body_bytes(2, 0, 15'000),
                                15'000, [](proxy_options& o) { o.route.upgrades = {"websocket"}; });
    EXPECT_TRUE(report.ok()) << report;
    EXPECT_GT(report.points, 10u);
}

TEST(gateway_suspensions_test, AConnect) {
    const auto report =
        proxied(head("CONNECT x:1 HTTP/1.1", "Host: x:1\r\n") + testing::body_bytes(1, 0, 12'000), 12'000,
                testing::body_bytes(2, 0, 15'000), 15'000, [](proxy_options& o) { o.route.connect = true; });
    EXPECT_TRUE(report.ok()) << report;
    EXPECT_GT(report.points, 10u);
}

TEST(gateway_suspensions_test, AResponseThatIsCompressed) {
    const std::string chunk_of_4096 = "1000\r\n" + testing::body_bytes(1, 0, 4096) + "\r\n";
    const auto report = proxied(head("GET / HTTP/1.1", "Host: x\r\nAccept-Encoding: gzip\r\n"), 30,
                                head("HTTP/1.1 200 OK", "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n") +
                                    chunk_of_4096 + chunk_of_4096 + chunk_of_4096 + "0\r\n\r\n",
                                8'000, [](proxy_options& o) { o.route.compression.algorithms = {"gzip"}; });
    EXPECT_TRUE(report.ok()) << report;
    EXPECT_GT(report.points, 10u);
}

void spool(proxy_options& o) {
    o.route.response = {.buffering = response_buffering::spool, .spool_memory = 16 * 1024, .spool_disk = 20 * 1024};
}

TEST(gateway_suspensions_test, AResponseThatIsSpooled) {
    const auto report = proxied(
        head("GET / HTTP/1.1", "Host: x\r\n"), 30,
        head("HTTP/1.1 200 OK", "Content-Length: 50000\r\n") + testing::body_bytes(1, 0, 50'000), 50'000, spool);
    EXPECT_TRUE(report.ok()) << report;
    EXPECT_GT(report.points, 10u);
}

TEST(gateway_suspensions_test, AnUploadWhoseResponseIsSpooledAndCompressed) {
    const std::string chunk_of_4096 = "1000\r\n" + testing::body_bytes(1, 0, 4096) + "\r\n";
    const auto report =
        proxied(head("POST / HTTP/1.1", "Host: x\r\nAccept-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n") +
                    chunk_of_4096 + chunk_of_4096 + "0\r\n\r\n",
                8'200,
                head("HTTP/1.1 200 OK", "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n") + chunk_of_4096 +
                    chunk_of_4096 + chunk_of_4096 + "0\r\n\r\n",
                8'000, [](proxy_options& o) {
                    spool(o);
                    o.route.compression.algorithms = {"gzip"};
                });
    EXPECT_TRUE(report.ok()) << report;
    EXPECT_GT(report.points, 10u);
}

// Serves one client of a configuration with one listener.
template <class Service>
task<outcome> serve_one(std::unique_ptr<stage> at, config c) {
    at->on.config().apply(std::make_shared<snapshot>(std::move(c)));
    Service service(at->on, "127.0.0.1:0");
    auto a = co_await race(first_client(at.get()), patience());
    if (a.index() == 1 || !std::get<0>(a)) co_return std::unexpected(flow_error{errc::refused, side::caller, 0, {}});
    accepted first = std::move(*std::get<0>(a));
    co_await service.serve(std::move(first.connection), client_peer(first.peer, nullptr));
    co_return transfer{};
}

TEST(gateway_suspensions_test, AFile) {
    const testing::temporary_folder folder;
    folder.write("f", testing::body_bytes(1, 0, 400'000));
    const auto report = at_every_suspension(
        [&](trial& t) {
            auto at = std::make_unique<stage>(t);
            t.beside(client(at.get(), head("GET /f HTTP/1.1", "Host: x\r\n"), 400'000));
            config c;
            c.listeners.push_back({.name = "web", .listen = *address::parse("127.0.0.1:0")});
            c.routes.push_back({.name = "files", .action = static_action{.root = folder / "."}});
            return serve_one<proxy>(std::move(at), std::move(c));
        },
        own_causes());
    EXPECT_TRUE(report.ok()) << report;
    EXPECT_GT(report.points, 10u);
}

TEST(gateway_suspensions_test, ATunnel) {
    const auto report = at_every_suspension(
        [](trial& t) {
            auto at = std::make_unique<stage>(t);
            t.beside(client(at.get(), testing::body_bytes(1, 0, 20'000), 15'000));
            t.beside(answer(at.get(), 10'000, testing::body_bytes(2, 0, 15'000)));
            tunnel_options o;
            o.to = {"127.0.0.1", 9000};
            o.upstream.connect_timeout = 1s;
            return serve<tunnel>(std::move(at), o);
        },
        own_causes());
    EXPECT_TRUE(report.ok()) << report;
    EXPECT_GT(report.points, 10u);
}

// A ClientHello without a name, in two records.
TEST(gateway_suspensions_test, ATunnelThatIsChosenByName) {
    std::string body = "\x03\x03" + std::string(32, 'r') + std::string("\0\0\x02\x13\x01\x01\0\0\0", 9);
    body = std::string("\x01\0\0", 3) + static_cast<char>(body.size()) + body;
    const auto record = [](std::string_view part) {
        return std::string("\x16\x03\x01\0", 4) + static_cast<char>(part.size()) + std::string(part);
    };
    const std::string hello = record(std::string_view(body).substr(0, 9)) + record(std::string_view(body).substr(9));
    const auto report = at_every_suspension(
        [&](trial& t) {
            auto at = std::make_unique<stage>(t);
            t.beside(client(at.get(), hello + testing::body_bytes(1, 0, 10'000), 15'000));
            t.beside(answer(at.get(), 10'000, testing::body_bytes(2, 0, 15'000)));
            config c;
            c.listeners.push_back(
                {.name = "tcp", .listen = *address::parse("127.0.0.1:0"), .protocol = listener_protocol::tcp});
            const tcp_action action{.upstreams = {{.upstream = "u"}}};
            c.routes.push_back({.name = "one", .match = {.hosts = {"a.b"}}, .action = action});
            c.routes.push_back({.name = "any", .action = action});
            c.upstreams.push_back({.name = "u", .endpoints = {{.where = {"127.0.0.1", 9000}}}});
            return serve_one<tunnel>(std::move(at), std::move(c));
        },
        own_causes());
    EXPECT_TRUE(report.ok()) << report;
    EXPECT_GT(report.points, 10u);
}

// Gives whether it was answered.
task<bool> visit(address gate) {
    auto s = co_await connect(gate, 10s);
    if (!s) co_return false;
    if (!co_await s->write_all("GET / HTTP/1.1\r\nHost: x\r\n\r\n")) co_return false;
    co_return co_await hear(&*s, 12) >= 12;
}

task<> visit_unheard(address gate) { static_cast<void>(co_await visit(std::move(gate))); }

TEST(gateway_suspensions_test, AWorkerThatWasShortOfMemoryOnceGoesOn) {
    bool refused = true;
    for (std::size_t n = 0; refused; ++n) {
        testing::simulation sim;
        worker on(sim.home, quiet(), nullptr);
        proxy_options o;
        o.to = {"127.0.0.1", 9000}; // nobody is there
        proxy p(on, o);
        auto gate = listener::open(*address::parse("127.0.0.1:0"));
        ASSERT_TRUE(gate);
        const address where = gate->where();
        on.start(std::move(*gate), p);
        nursery clients;
        clients.spawn(visit_unheard(where));
        fail_frame_allocation_after(n);
        sim.advance(10s);
        refused = allow_frame_allocations() > n;
        const auto answered = sim.run(visit(where));
        EXPECT_TRUE(answered && *answered)
            << "after frame " << n << " was refused: " << (answered ? "no answer" : answered.error().message());
        on.close(); // before what serves its connections
        ASSERT_LT(n, 1000u);
    }
}

} // namespace
} // namespace headgate::gateway
