#include <headgate/core/sleep.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/tls_files.hpp>
#include <headgate/testing/tools.hpp>

#include <gateway/proxy.hpp>

// The proxy with clients that speak TLS: how messages end. The handshake is over when it gets the connection.
namespace headgate::gateway {
namespace {

using testing::body_bytes;
using testing::tls_ends;

struct contexts {
    testing::tls_files files;
    tls_server_context server = files.server();
    tls_client_context client = files.client();
};
const contexts& made() {
    static const contexts all;
    return all;
}

// What an origin does with one connection, once it has read `request_bytes`.
struct origin_plan {
    std::size_t request_bytes = 1;
    std::string answer{};
    bool resets = false;
    bool stays = false; // until the other side ends
};
struct origin_log {
    std::string request;
    std::string end; // how the connection ended
};

task<> play_origin(listener* l, origin_plan plan, origin_log* log) {
    auto a = co_await l->accept();
    if (!a) co_await fail(a.error());
    socket s = std::move(a->connection);
    std::vector<char> buffer(20'000);
    while (log->request.size() < plan.request_bytes) {
        const auto n = co_await s.read_some(buffer);
        if (!n || *n == 0) {
            log->end = n ? "end" : n.error().message();
            co_return;
        }
        log->request.append(buffer.data(), *n);
    }
    static_cast<void>(co_await s.write_all(plan.answer));
    if (plan.resets) s.reset();
    if (!plan.stays) co_return;
    const auto n = co_await s.read_some(buffer);
    log->end = n ? (*n == 0 ? "end" : "more") : n.error().message();
}

class gateway_tls_test : public testing::simulated_test {
protected:
    // Serves one client. `visit` is the client.
    task<std::string> serve(task<std::string> (*visit)(socket*), origin_plan plan) {
        worker on(sim().home, quiet(), nullptr);
        proxy_options o;
        o.to = {"127.0.0.1", 9000};
        proxy p(on, o);
        auto l = listener::open(*address::parse("127.0.0.1:9000"));
        if (!l) co_await fail(l.error());
        tls_ends e = co_await testing::connect_with_tls(made().server, made().client);
        nursery work;
        work.spawn(play_origin(&*l, std::move(plan), &origin));
        work.spawn(p.serve(std::move(e.server), client_peer(peer_address(), nullptr)));
        std::string seen = co_await visit(&e.client);
        e.client.close();
        l = std::unexpected(std::error_code());
        co_await sleep_for(1s);
        co_return seen;
    }
    static server_options quiet() {
        server_options o;
        o.access_log.enabled = false;
        return o;
    }

    origin_log origin;
};

task<std::string> read_to_end(socket* s) {
    std::string got;
    std::vector<char> buffer(10'000);
    for (;;) {
        const auto n = co_await s->read_some(buffer, 10s);
        if (!n) co_return got + "|" + n.error().message();
        if (*n == 0) co_return got + "|end";
        got.append(buffer.data(), *n);
    }
}
task<std::string> ask(socket* s, std::string request) {
    if (!co_await s->write_all(request)) co_return "no request";
    co_return co_await read_to_end(s);
}
std::string body_of(std::string_view message) {
    const std::size_t at = message.find("\r\n\r\n");
    return at == std::string_view::npos ? std::string(message) : std::string(message.substr(at + 4));
}

task<std::string> ask_twice(socket* s) {
    std::string log;
    char buffer[1000];
    if (!co_await s->write_all("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")) co_return "no request";
    const auto n = co_await s->read_some(buffer, 10s);
    if (!n) co_return n.error().message();
    log = body_of({buffer, *n});
    co_return log + ", " + body_of(co_await ask(s, "GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
}
TEST_F(gateway_tls_test, AConnectionIsKept) {
    const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    EXPECT_EQ(run(serve(ask_twice, {.request_bytes = 60, .answer = answer})).substr(0, 4), "hi, ");
    EXPECT_TRUE(origin.request.starts_with("GET /a HTTP/1.1\r\n")) << origin.request;
}

constexpr std::size_t much = 400'000;
task<std::string> old_client(socket* s) { return ask(s, "GET / HTTP/1.0\r\nHost: x\r\n\r\n"); }
task<std::string> slow_client(socket* s) {
    if (!co_await s->write_all("GET / HTTP/1.0\r\nHost: x\r\n\r\n")) co_return "no request";
    co_await sleep_for(5s);
    co_return co_await read_to_end(s);
}
task<std::string> new_client(socket* s) { return ask(s, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); }

// The answer's body ends with the connection.
TEST_F(gateway_tls_test, AnAnswerThatEndsWithTheConnectionIsSaidToEnd) {
    const std::string answer = "HTTP/1.1 200 OK\r\n\r\n" + body_bytes(1, 0, much);
    EXPECT_EQ(body_of(run(serve(old_client, {.answer = answer}))), body_bytes(1, 0, much) + "|end");
}

// Where the socket is full to the last byte after the answer, the goodbye has to wait until the client has read.
TEST_F(gateway_tls_test, TheGoodbyeWaitsForRoom) {
    for (std::size_t bytes = 14'500; bytes < 16'200; bytes += 12) {
        restart({.send_buffer = 8'000, .receive_buffer = 8'000});
        origin = {};
        const std::string body = body_bytes(1, 0, bytes);
        ASSERT_EQ(body_of(run(serve(slow_client, {.answer = "HTTP/1.1 200 OK\r\n\r\n" + body}))), body + "|end")
            << bytes;
    }
}

TEST_F(gateway_tls_test, AnAnswerThatWasCutHasNoEnd) {
    const std::string begun = "HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + body_bytes(1, 0, much);
    EXPECT_TRUE(run(serve(new_client, {.answer = begun})).ends_with("|Connection reset by peer"));
    const std::string open = "HTTP/1.1 200 OK\r\n\r\n" + body_bytes(1, 0, much);
    EXPECT_TRUE(run(serve(old_client, {.answer = open, .resets = true})).ends_with("|Connection reset by peer"));
}

task<std::string> upload(socket* s) {
    return ask(s, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 400000\r\n\r\n" +
                      body_bytes(2, 0, much));
}
TEST_F(gateway_tls_test, UploadsGoThrough) {
    const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    EXPECT_EQ(body_of(run(serve(upload, {.request_bytes = much, .answer = answer, .stays = true}))), "hi|end");
    EXPECT_TRUE(body_of(origin.request) == body_bytes(2, 0, body_of(origin.request).size()));
}

task<std::string> leave(socket* s) {
    if (!co_await s->write_all("GET / HTTP/1.1\r\nHost: x\r\n\r\n")) co_return "no request";
    co_await sleep_for(100ms);
    s->close();
    co_return "left";
}
TEST_F(gateway_tls_test, AClientThatLeavesEndsItsExchange) {
    EXPECT_EQ(run(serve(leave, {.stays = true})), "left");
    EXPECT_EQ(origin.end, "Connection reset by peer");
    EXPECT_LT(sim().elapsed(), 2s);
}

} // namespace
} // namespace headgate::gateway
