#include <headgate/core/sleep.hpp>
#include <headgate/io/linux_kernel.hpp>
#include <headgate/io/peer_watch.hpp>
#include <headgate/io/relay.hpp>
#include <headgate/io/tls.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/leak_check.hpp>
#include <headgate/testing/raw_tls_client.hpp>
#include <headgate/testing/suspensions.hpp>
#include <headgate/testing/tls_files.hpp>
#include <headgate/testing/tools.hpp>

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <malloc.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

namespace headgate {
namespace {

using namespace std::chrono_literals;
using testing::body_byte;
using ::testing::Each;
using ::testing::Ge;
using ::testing::Le;
using testing::tls_ends;

// What all tests connect with, made once.
struct contexts {
    testing::tls_files files;
    tls_server_context server = files.server();
    tls_client_context client = files.client({.protocols = {"http/1.1"}});
};
const contexts& made() {
    static const contexts all;
    return all;
}

// The client has read what belongs to the handshake: closed with tickets unread, a connection is reset.
task<tls_ends> connected() {
    tls_ends e = co_await testing::connect_with_tls(made().server, made().client);
    if (const auto w = co_await e.server.write_all("."); !w) co_await fail(w.error());
    char first;
    const auto n = co_await e.client.read_some({&first, 1});
    if (!n || *n != 1) co_await fail(n ? make_error_code(errc::premature_close) : n.error());
    co_return std::move(e);
}

// Writes the body `id` of `bytes` bytes, and the end.
task<> write_body(socket* to, std::uint64_t id, std::size_t bytes, std::size_t piece = 100'000) {
    for (std::size_t at = 0; at < bytes; at += piece) {
        const std::string text = testing::body_bytes(id, at, std::min(piece, bytes - at));
        if (const auto w = co_await to->write_all(text); !w) co_await fail(w.error(), side::sink);
    }
    if (const auto e = co_await finish(*to); !e) co_await fail(e.error(), side::sink);
}
// Reads to the end; gives how many right bytes there were, or 0 if one was wrong.
task<std::size_t> read_body(socket* from, std::uint64_t id, std::size_t piece = 30'000) {
    std::vector<char> buffer(piece);
    std::size_t at = 0;
    for (;;) {
        if (const auto ready = co_await from->readable(); !ready) co_await fail(ready.error(), side::source);
        const auto n = co_await from->read_some(buffer);
        if (!n) co_await fail(n.error(), side::source);
        if (*n == 0) co_return at;
        for (std::size_t i = 0; i < *n; ++i, ++at)
            if (buffer[i] != body_byte(id, at)) co_return 0;
    }
}
task<std::string> read_once(socket* from, duration limit = 10s) {
    char buffer[1000];
    const auto n = co_await from->read_some(buffer, limit);
    if (!n) co_return n.error().message();
    co_return *n == 0 ? "end" : std::string(buffer, *n);
}

// --- the same over the real kernel and the simulated one

struct tls_on_both_kernels : ::testing::TestWithParam<bool> {
    template <class T>
    T run(task<T> (*make)()) {
        std::unique_ptr<kernel> os;
        if (GetParam())
            os = std::make_unique<linux_kernel>();
        else
            os = std::make_unique<simulated_kernel>();
        loop l(*os);
        const testing::leak_check leaks(l);
        auto end = l.run(make());
        if (!end) throw std::runtime_error(end.error().message());
        return std::move(*end);
    }
};

task<std::string> settled() {
    tls_ends e = co_await connected();
    EXPECT_FALSE(e.client.plain());
    EXPECT_FALSE(e.server.plain());
    const auto c = tls_facts_of(e.client);
    const auto s = tls_facts_of(e.server);
    EXPECT_EQ(c->version, s->version);
    EXPECT_EQ(c->cipher, s->cipher);
    EXPECT_EQ(c->peer->subject, "CN=test");
    EXPECT_FALSE(s->peer);
    const tls_ends plain = co_await testing::connect_tcp();
    EXPECT_FALSE(tls_facts_of(plain.client));
    co_return std::string(s->version) + " " + s->protocol + " " + s->server_name;
}
TEST_P(tls_on_both_kernels, AHandshakeSettlesWhatIsSpoken) { EXPECT_EQ(run(settled), "TLSv1.3 http/1.1 example.org"); }

// 20 MB each way on the real kernel.
template <std::size_t Bytes>
task<bool> bulk() {
    tls_ends e = co_await connected();
    const auto [a, up, b, down] = co_await all(write_body(&e.client, 1, Bytes), read_body(&e.server, 1),
                                               write_body(&e.server, 2, Bytes), read_body(&e.client, 2));
    co_return up == Bytes&& down == Bytes;
}
TEST_P(tls_on_both_kernels, MovesMuchBothWaysAtOnce) {
    EXPECT_TRUE(run(GetParam() ? bulk<20'000'000> : bulk<2'000'000>));
}

task<bool> half_closed() {
    tls_ends e = co_await connected();
    co_await write_body(&e.client, 1, 10);
    bool right = co_await read_body(&e.server, 1) == 10;
    right &= co_await read_once(&e.server) == "end"; // again
    const auto [nothing, back] = co_await all(write_body(&e.server, 2, 1'000'000), read_body(&e.client, 2));
    co_await e.client.broken(); // ended both ways
    co_return right&& back == 1'000'000;
}
TEST_P(tls_on_both_kernels, HalfOfAConnectionStays) { EXPECT_TRUE(run(half_closed)); }

// What the server reads when the client has written "x" and then does `what`.
template <class What>
task<std::string> end_seen(What what) {
    tls_ends e = co_await connected();
    if (!co_await e.client.write_all("x")) co_await fail(errc::failed);
    what(e.client);
    std::string seen = co_await read_once(&e.server);
    seen += ", " + co_await read_once(&e.server);
    co_return seen + ", " + co_await read_once(&e.server);
}
task<std::string> ends_seen() {
    kernel& os = loop::current().os();
    std::string log = "end: " + co_await end_seen([](socket& s) { static_cast<void>(s.end()); });
    log += "\nclose: " + co_await end_seen([](socket& s) { s.close(); });
    log += "\ndestroyed: " + co_await end_seen([](socket& s) { s = socket(); });
    log += "\nFIN: " + co_await end_seen([&os](socket& s) { os.shutdown(s.fd(), SHUT_WR); });
    co_return log;
}
TEST_P(tls_on_both_kernels, OnlyAGoodbyeIsAnEnd) {
    EXPECT_EQ(run(ends_seen), "end: x, end, end\n"
                              "close: x, end, end\n"
                              "destroyed: x, premature close, premature close\n"
                              "FIN: x, premature close, premature close");
}

// As a server does that drains: nothing more is read, and the client is told.
task<std::string> ended_by_us() {
    tls_ends e = co_await connected();
    loop::current().os().shutdown(e.server.fd(), SHUT_RD);
    std::string log = co_await read_once(&e.server);
    if (!co_await e.server.write_all("last words")) co_await fail(errc::failed);
    e.server.close();
    log += ", " + co_await read_once(&e.client);
    co_return log + ", " + co_await read_once(&e.client);
}
TEST_P(tls_on_both_kernels, WhoReadsNoMoreMayStillWriteAndEnd) {
    EXPECT_EQ(run(ended_by_us), "premature close, last words, end");
}

task<std::string> reset_seen() {
    tls_ends e = co_await connected();
    e.client.reset();
    co_await e.server.broken();
    std::string seen = co_await read_once(&e.server);
    const auto w = co_await e.server.write_all("x");
    co_return seen + ", " + (w ? "?" : w.error().message());
}
TEST_P(tls_on_both_kernels, AResetIsSeen) { EXPECT_EQ(run(reset_seen), "Connection reset by peer, Broken pipe"); }

// Two tunnels: plain -> TLS on the way there, TLS -> plain on the way back.
task<> tunnel(socket* from, socket* to, pipe_pool* pipes) {
    const outcome o = co_await pipeline(tunnel_source{from, {.pipes = pipes}}, tunnel_sink{to});
    if (!o) co_await fail(o.error().code, o.error().message());
}
task<bool> relayed() {
    constexpr std::size_t bytes = 3'000'000;
    pipe_pool pipes(loop::current().os());
    tls_ends plain = co_await testing::connect_tcp();
    tls_ends tls = co_await connected();
    const auto [a, b, c, d, there, back] =
        co_await all(write_body(&plain.client, 1, bytes, bytes), tunnel(&plain.server, &tls.client, &pipes),
                     tunnel(&tls.client, &plain.server, &pipes), write_body(&tls.server, 2, bytes, bytes),
                     read_body(&tls.server, 1), read_body(&plain.client, 2));
    co_return there == bytes&& back == bytes;
}
TEST_P(tls_on_both_kernels, IsRelayedToAPlainSocketAndBack) { EXPECT_TRUE(run(relayed)); }

INSTANTIATE_TEST_SUITE_P(tls, tls_on_both_kernels, ::testing::Values(true, false),
                         [](const auto& info) { return info.param ? "linux" : "simulated"; });

// --- in virtual time only

class tls_test : public testing::simulated_test {
protected:
    simulated_kernel& os() { return sim().os; }
};

task<std::string> silent(duration limit) {
    tls_ends e = co_await testing::connect_tcp();
    const auto r = co_await accept_tls(e.server, made().server, limit);
    EXPECT_TRUE(e.server.plain()) << "nothing is allocated before the first byte";
    co_return r ? "ok" : r.error().message();
}
task<std::string> half_silent(duration limit) {
    tls_ends e = co_await testing::connect_tcp();
    static_cast<void>(co_await e.client.write_all("\x16\x03\x01"));
    const auto r = co_await accept_tls(e.server, made().server, limit);
    co_return r ? "ok" : r.error().message();
}
task<> drip(socket* to, std::string bytes) {
    for (const char& c : bytes) {
        co_await sleep_for(1s);
        static_cast<void>(co_await to->write_all(std::string_view(&c, 1)));
    }
}
task<std::string> dripping(duration limit) {
    tls_ends e = co_await testing::connect_tcp();
    strand writing;
    writing.start(drip(&e.client, std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11)), co_await here());
    const auto r = co_await accept_tls(e.server, made().server, limit);
    co_return r ? "ok" : r.error().message();
}
task<std::string> mute_server(duration limit) {
    tls_ends e = co_await testing::connect_tcp();
    const auto r = co_await connect_tls(e.client, made().client, "example.org", limit);
    co_return r ? "ok" : r.error().message();
}

TEST_F(tls_test, AHandshakeTimesOut) {
    EXPECT_EQ(run(silent(3s)), "timed out");
    EXPECT_EQ(sim().elapsed(), 3s);
    EXPECT_EQ(run(half_silent(3s)), "timed out");
    EXPECT_EQ(sim().elapsed(), 6s);
    EXPECT_EQ(run(mute_server(3s)), "timed out");
    EXPECT_EQ(sim().elapsed(), 9s);
    EXPECT_EQ(run(dripping(4500ms)), "timed out") << "the limit is for all of it";
    EXPECT_EQ(sim().elapsed(), 13500ms);
}

task<std::string> garbage(std::string text) {
    tls_ends e = co_await testing::connect_tcp();
    static_cast<void>(co_await e.client.write_all(text));
    const auto r = co_await accept_tls(e.server, made().server, 5s);
    EXPECT_TRUE(!r && is_tls_error(r.error()));
    co_return r ? "ok" : r.error().message();
}
task<std::string> leaves_in_handshake(std::string text) {
    tls_ends e = co_await testing::connect_tcp();
    static_cast<void>(co_await e.client.write_all(text));
    e.client.close();
    const auto r = co_await accept_tls(e.server, made().server, 5s);
    co_return r ? "ok" : r.error().message();
}

task<> forget(task<bool> work) { static_cast<void>(co_await std::move(work)); }
// A goodbye in the midst of the handshake, on a connection that stays.
task<std::string> says_goodbye_in_handshake() {
    tls_ends e = co_await testing::connect_tcp();
    testing::raw_tls_client c;
    SSL_CTX_set_max_proto_version(c.context(), TLS1_2_VERSION);
    strand client;
    client.start(forget(c.shake_hands(&e.client)), co_await here());
    const std::string goodbye("\x15\x03\x03\x00\x02\x01\x00", 7);
    static_cast<void>(co_await e.client.write_all(goodbye));
    const auto r = co_await accept_tls(e.server, made().server, 5s);
    co_return r ? "ok" : r.error().message();
}

TEST_F(tls_test, WhatIsNoTlsIsRefused) {
    EXPECT_EQ(run(garbage("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n")), "http request");
    EXPECT_EQ(run(garbage(std::string(500, 'x'))), "wrong version number");
    EXPECT_EQ(run(leaves_in_handshake("")), "premature close");
    EXPECT_EQ(run(leaves_in_handshake("\x16\x03\x01")), "premature close");
    EXPECT_EQ(run(says_goodbye_in_handshake()), "premature close");
    EXPECT_LT(sim().elapsed(), 1s);
}

// --- readability

task<std::string> readable_when() {
    tls_ends e = co_await connected();
    std::string log;
    const auto look = [&](const char* when, const result<void>& r) {
        log += std::string(when) + (r ? ": yes\n" : ": no\n");
    };
    look("tickets only", co_await e.client.readable(10ms));
    if (!co_await e.server.write_all(testing::body_bytes(1, 0, 3000))) co_await fail(errc::failed);
    look("data", co_await e.client.readable(10ms));
    char buffer[100];
    std::size_t got = 0;
    while (got < 3000) {
        const auto ready = co_await e.client.readable(10ms);
        if (!ready) break;
        const auto n = co_await e.client.read_some(buffer, 10ms);
        if (!n || *n != 100) break;
        got += *n;
    }
    log += std::to_string(got) + " bytes\n";
    look("nothing left", co_await e.client.readable(10ms));
    char one;
    log += e.client.try_read({&one, 1}) ? "?\n" : "nothing to try\n";
    if (!co_await e.server.write_all("more")) co_await fail(errc::failed);
    co_await e.client.readable(10ms);
    const auto tried = e.client.try_read({&one, 1});
    log += tried && *tried && **tried == 1 ? std::string(1, one) : "?";
    co_return log;
}
TEST_F(tls_test, ReadableMeansThatThereAreBytes) {
    EXPECT_EQ(run(readable_when()), "tickets only: no\ndata: yes\n3000 bytes\nnothing left: no\nnothing to try\nm");
}

// A record of which only a part has come is nothing to read yet.
task<std::string> part_of_a_record() {
    tls_ends e = co_await testing::connect_tcp();
    testing::raw_tls_client c;
    const auto [r, done] = co_await all(accept_tls(e.server, made().server, 5s), c.shake_hands(&e.client));
    if (!r || !done) co_return "no handshake";
    const std::string record = c.encrypt("some text");
    std::string log;
    for (const std::string_view part : {std::string_view(record).substr(0, 3), std::string_view(record).substr(3, 9),
                                        std::string_view(record).substr(12)}) {
        if (!co_await e.client.write_all(part)) co_await fail(errc::failed);
        log += co_await e.server.readable(10ms) ? "yes, " : "no, ";
    }
    co_return log + co_await read_once(&e.server);
}
TEST_F(tls_test, APartOfARecordIsNothingToRead) { EXPECT_EQ(run(part_of_a_record()), "no, no, yes, some text"); }

// --- what only other clients do

task<std::string> says_all_at_once(int version) {
    tls_ends e = co_await testing::connect_tcp();
    testing::raw_tls_client c;
    SSL_CTX_set_max_proto_version(c.context(), version);
    c.first = "request";
    const auto [r, done] = co_await all(accept_tls(e.server, made().server, 5s), c.shake_hands(&e.client));
    if (!r || !done) co_return "no handshake";
    co_return (co_await e.server.readable(1s) ? "readable, " : "silent, ") + co_await read_once(&e.server, 1s);
}
TEST_F(tls_test, TheFirstBytesMayComeWithTheHandshake) {
    EXPECT_EQ(run(says_all_at_once(TLS1_3_VERSION)), "readable, request");
    EXPECT_EQ(run(says_all_at_once(TLS1_2_VERSION)), "readable, request");
}

// The client says goodbye and keeps the connection open, as TLS 1.3 allows: it wants its response.
task<std::string> goodbye_in_a_request() {
    tls_ends e = co_await testing::connect_tcp();
    testing::raw_tls_client c;
    const auto [r, done] = co_await all(accept_tls(e.server, made().server, 5s), c.shake_hands(&e.client));
    if (!r || !done) co_return "no handshake";
    const std::string request = c.encrypt("request");
    SSL_shutdown(c.ssl());
    if (!co_await e.client.write_all(request + c.encrypt(""))) co_await fail(errc::failed);
    std::string log = co_await read_once(&e.server);
    const peer_watch watch(e.server, co_await here(), side::sink);
    co_await sleep_for(1s);
    if (!co_await e.server.write_all("response")) co_await fail(errc::failed);
    log += ", " + co_await c.read(&e.client);
    co_return log + ", " + co_await read_once(&e.server);
}
TEST_F(tls_test, AGoodbyeAloneDoesNotEndARequest) { EXPECT_EQ(run(goodbye_in_a_request()), "request, response, end"); }

// New keys, in both directions at the client's wish, while the server has a write that waits for room.
task<std::string> new_keys() {
    tls_ends e = co_await testing::connect_tcp();
    testing::raw_tls_client c;
    const auto [r, done] = co_await all(accept_tls(e.server, made().server, 5s), c.shake_hands(&e.client));
    if (!r || !done) co_return "no handshake";
    struct side_of_server {
        static task<> write(socket* s) {
            static_cast<void>(co_await s->write_all(testing::body_bytes(1, 0, 500'000)));
            static_cast<void>(s->end());
        }
    };
    strand writing;
    writing.start(side_of_server::write(&e.server), co_await here());
    for (int i = 0; i < 5; ++i) {
        SSL_key_update(c.ssl(), SSL_KEY_UPDATE_REQUESTED);
        if (!co_await e.client.write_all(c.encrypt("new"))) co_await fail(errc::failed);
        if (const std::string got = co_await read_once(&e.server); got != "new") co_return got;
    }
    std::string body;
    for (std::string part; !(part = co_await c.read(&e.client)).empty();) body += part;
    const bool right = body == testing::body_bytes(1, 0, 500'000);
    co_return right&& SSL_get_shutdown(c.ssl()) == SSL_RECEIVED_SHUTDOWN ? "right" : "wrong";
}
TEST_F(tls_test, KeysMayChange) { EXPECT_EQ(run(new_keys()), "right"); }

// --- records

// The lengths of the records that lie in a socket's buffer.
std::vector<std::size_t> records_in(socket& s) {
    std::string all;
    std::vector<char> buffer(100'000);
    kernel& os = loop::current().os();
    for (ssize_t n; (n = os.read(s.fd(), buffer.data(), buffer.size())) > 0;)
        all.append(buffer.data(), static_cast<std::size_t>(n));
    std::vector<std::size_t> sizes;
    for (std::size_t at = 0; at + 5 <= all.size(); at += 5 + sizes.back())
        sizes.push_back(static_cast<std::size_t>(static_cast<unsigned char>(all[at + 3])) << 8 |
                        static_cast<unsigned char>(all[at + 4]));
    return sizes;
}
struct sizes_seen {
    std::vector<std::size_t> small, large, after_pause;
    std::size_t head_and_body = 0;
    std::uint64_t writes = 0; // for the first of these
};
task<sizes_seen> sizes_of_records() {
    auto& os = static_cast<simulated_kernel&>(loop::current().os());
    tls_ends e = co_await connected();
    co_await sleep_for(1ms);
    records_in(e.client); // tickets
    sizes_seen seen;
    const std::uint64_t writes = os.calls(call::write);
    if (!co_await e.server.write_all(std::string(64 * 1024, 'x'))) co_await fail(errc::failed);
    seen.writes = os.calls(call::write) - writes;
    co_await sleep_for(1ms);
    seen.small = records_in(e.client);
    if (!co_await e.server.write_all(std::string(160'000, 'x'))) co_await fail(errc::failed);
    co_await sleep_for(1ms);
    seen.large = records_in(e.client);
    seen.large.pop_back();
    co_await sleep_for(2s);
    if (!co_await e.server.write_all(std::string(10'000, 'x'))) co_await fail(errc::failed);
    co_await sleep_for(1ms);
    seen.after_pause = records_in(e.client);
    std::string head(300, 'h'), body(700, 'b'), nothing;
    std::array<iovec, 4> pieces{{{head.data(), 300}, {nothing.data(), 0}, {body.data(), 500}, {body.data(), 200}}};
    if (!co_await e.server.write_all(pieces)) co_await fail(errc::failed);
    co_await sleep_for(1ms);
    const auto one = records_in(e.client);
    seen.head_and_body = one.size() == 1 ? one.front() : 0;
    co_return seen;
}
TEST_F(tls_test, RecordsAreSmallAtFirstAndThenLarge) {
    restart({.send_buffer = 1'000'000, .receive_buffer = 1'000'000});
    const sizes_seen seen = run(sizes_of_records());
    EXPECT_THAT(seen.small, Each(Le(1'400u)));
    EXPECT_GE(seen.small.size(), 47u);
    EXPECT_LE(seen.writes, 6u) << "they go out together";
    EXPECT_THAT(seen.large, Each(Ge(16'000u)));
    EXPECT_THAT(seen.after_pause, Each(Le(1'400u)));
    EXPECT_EQ(seen.head_and_body, 1'017u) << "a head and a body are one record";
}

// --- writes that wait, and ends that do

task<> write_again_and_again(socket* to, std::span<iovec> pieces) {
    while (!co_await to->write_all(pieces, 10ms)) {
    }
    static_cast<void>(to->end());
}
task<bool> interrupted_write() {
    tls_ends e = co_await connected();
    std::array<std::string, 6> pieces;
    std::array<iovec, 6> parts{};
    std::string whole;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        pieces[i].assign(100'000 + i, static_cast<char>('a' + i));
        parts[i] = {pieces[i].data(), pieces[i].size()};
        whole += pieces[i];
    }
    strand writing;
    writing.start(write_again_and_again(&e.server, parts), co_await here());
    std::string got;
    while (got.size() < whole.size()) {
        std::array<char, 30'000> buffer;
        const auto n = co_await e.client.read_some(buffer);
        if (!n || *n == 0) break;
        got.append(buffer.data(), *n);
        co_await sleep_for(25ms);
    }
    co_return got == whole&& co_await read_once(&e.client) == "end";
}
TEST_F(tls_test, AWriteThatTimedOutMayBeBegunAgain) { EXPECT_TRUE(run(interrupted_write())); }

task<std::string> another_write() {
    tls_ends e = co_await connected();
    std::string much = testing::body_bytes(1, 0, 1'000'000);
    iovec rest{much.data(), much.size()};
    if (co_await e.server.write_all(std::span(&rest, 1), 10ms)) co_return "it has room";
    const std::size_t taken = much.size() - rest.iov_len;
    EXPECT_GT(e.server.unacknowledged(), 0u);
    strand writing; // something shorter, when nobody can know how far the first one came
    struct next {
        static task<> write(socket* s) {
            static_cast<void>(co_await s->write_all("the end"));
            static_cast<void>(s->end());
        }
    };
    writing.start(next::write(&e.server), co_await here());
    std::string got;
    std::array<char, 30'000> buffer;
    for (;;) {
        const auto n = co_await e.client.read_some(buffer);
        if (!n) co_return n.error().message();
        if (*n == 0) break;
        got.append(buffer.data(), *n);
    }
    co_return got == much.substr(0, taken) + "the end" ? "right" : "wrong";
}
TEST_F(tls_test, AnotherWriteMayFollowOneThatTimedOut) { EXPECT_EQ(run(another_write()), "right"); }

// Fills the socket to the last byte, and ends.
task<std::string> end_without_room(bool waits) {
    tls_ends e = co_await connected();
    std::string much(1'000'000, 'x');
    while (co_await e.server.write_all(much, 10ms)) {
    }
    EXPECT_EQ(e.server.end(), std::error_code());
    const auto told = co_await finish(e.server, 1s);
    EXPECT_EQ(told.error(), errc::timed_out) << "there is no room";
    strand waiting;
    struct later {
        static task<> finish_and_close(socket* s) {
            static_cast<void>(co_await finish(*s));
            s->close();
        }
    };
    if (waits) waiting.start(later::finish_and_close(&e.server), co_await here());
    std::array<char, 30'000> buffer;
    for (;;) {
        const auto n = co_await e.client.read_some(buffer, 5s);
        if (!n) co_return n.error().message();
        if (*n == 0) co_return "end";
    }
}
TEST_F(tls_test, AnEndGoesWhenThereIsRoom) {
    EXPECT_EQ(run(end_without_room(true)), "end");
    EXPECT_EQ(run(end_without_room(false)), "timed out") << "dropping finish() drops the wait";
}

// --- what the gateway's watch of a client sees

task<std::string> watched(bool leaves) {
    tls_ends e = co_await connected();
    struct work {
        static task<> exchange(socket* client) {
            const peer_watch watch(*client, co_await here(), side::sink);
            co_await sleep_for(10s);
            if (const auto w = co_await client->write_all("response"); !w) co_await fail(w.error());
        }
        static task<> leave(socket* client) {
            co_await sleep_for(1s);
            client->close();
        }
    };
    strand leaving;
    if (leaves) leaving.start(work::leave(&e.client), co_await here());
    const auto end = co_await attempt(work::exchange(&e.server));
    co_return end ? "complete" : end.error().code.message();
}
TEST_F(tls_test, AClientThatLeavesIsNoticed) {
    EXPECT_EQ(run(watched(true)), "premature close");
    EXPECT_LE(sim().elapsed(), 1100ms);
    EXPECT_EQ(run(watched(false)), "complete");
}

// --- what an idle connection costs

// Bytes of the heap per server connection that has served a request and waits for the next.
task<std::size_t> heap_of_idle(std::size_t connections, tls_server_context server, tls_client_context client) {
    std::vector<tls_ends> all;
    all.reserve(connections);
    std::size_t before = 0;
    for (std::size_t i = 0; i < connections + 1; ++i) {
        if (i == 1) before = ::mallinfo2().uordblks; // the first pays for what is made once
        tls_ends e = co_await testing::connect_with_tls(server, client);
        for (socket* s : {&e.client, &e.server}) {
            socket& other = s == &e.client ? e.server : e.client;
            if (!co_await s->write_all(std::string(30'000, 'x'))) co_await fail(errc::failed);
            std::string got(30'000, 0);
            for (std::size_t n = 0; n < got.size();) {
                const auto more = co_await other.read_some(std::span(got).subspan(n));
                if (!more || *more == 0) co_await fail(errc::failed);
                n += *more;
            }
        }
        EXPECT_FALSE(co_await e.server.readable(duration::zero()));
        e.client.state().layer.reset(); // measured is the server
        if (i != 0) all.push_back(std::move(e));
    }
    EXPECT_EQ(live_chunk_bytes(), 0u);
    co_return (::mallinfo2().uordblks - before) / connections;
}
TEST(tls_memory_test, AnIdleConnectionHoldsNoBuffers) {
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    GTEST_SKIP() << "the sanitizer's heap says nothing about ours";
#endif
#endif
    for (const int version : {TLS1_3_VERSION, TLS1_2_VERSION}) {
        linux_kernel os;
        loop l(os);
        const auto client = made().files.client();
        SSL_CTX_set_max_proto_version(client.native(), version);
        const auto bytes = l.run(heap_of_idle(100, made().server, client));
        ASSERT_TRUE(bytes);
        std::printf("%s: %zu bytes of heap per idle connection\n", version == TLS1_3_VERSION ? "TLS 1.3" : "TLS 1.2",
                    *bytes);
        EXPECT_LT(*bytes, 16'000u) << "less than the buffer for one record";
    }
}

// --- faults

task<> talk() {
    tls_ends e = co_await connected();
    const auto [a, up, b, down] = co_await all(write_body(&e.client, 1, 30'000), read_body(&e.server, 1),
                                               write_body(&e.server, 2, 30'000), read_body(&e.client, 2));
    EXPECT_EQ(up, 30'000u);
    EXPECT_EQ(down, 30'000u);
}

constexpr simulated_options small{
    .latency_to_listener = 1ms, .latency_to_connector = 2ms, .send_buffer = 4096, .receive_buffer = 8192};

TEST_F(tls_test, IsDroppedAtEveryTurn) {
    const auto report = testing::drop_at_every_turn([](testing::simulation&) { return talk(); }, small);
    EXPECT_EQ(report.problem, "");
    EXPECT_GT(report.turns, 30u);
}

// A source over TLS, from the handshake on.
stream<chunk> from_tls(socket* client) {
    if (const auto r = co_await connect_tls(*client, made().client, "example.org", 10s); !r) co_await fail(r.error());
    for (;;) {
        if (const auto ready = co_await client->readable(); !ready) co_await fail(ready.error());
        chunk piece(chunk_small);
        const auto n = co_await client->read_some(piece.bytes());
        if (!n) co_await fail(n.error());
        if (*n == 0) co_return;
        piece.truncate(*n);
        co_yield std::move(piece);
    }
}
task<> serve_body(socket s) {
    if (!co_await accept_tls(s, made().server, 10s)) co_return;
    co_await write_body(&s, 1, 50'000, 7'000);
}
task<outcome> flow_over_tls(testing::trial* t, abort_signal abort, duration timeout) {
    tls_ends e = co_await testing::connect_tcp();
    t->beside(serve_body(std::move(e.server)));
    testing::sink_log<chunk> log;
    co_return co_await pipeline({.abort = abort, .timeout = timeout}, t->source(from_tls(&e.client)), t->stage(),
                                t->sink(testing::recording_sink<chunk>(log)));
}
TEST_F(tls_test, LeavesNothingWhereverAFlowIsStopped) {
    const auto report =
        testing::at_every_suspension([](testing::trial& t) { return flow_over_tls(&t, t.abort(), t.timeout()); },
                                     {.simulated = small, .names_cause = false});
    EXPECT_TRUE(report.ok()) << report;
    EXPECT_GT(report.points, 15u);
}

TEST_F(tls_test, EveryCallMayFail) {
    for (const call c : {call::read, call::write, call::shutdown}) {
        for (unsigned spare = 0;; ++spare) {
            restart(small);
            os().fail(c, ENOBUFS, 1, spare);
            const auto end = try_run(talk());
            ASSERT_EQ(sim().leftovers(), "") << "call " << static_cast<int>(c) << " after " << spare;
            // The other side may be the one to say that the connection has ended.
            if (!end)
                EXPECT_TRUE(end.error().code.value() == ENOBUFS || end.error().code == errc::premature_close)
                    << end.error().message();
            if (os().calls(c) <= spare) break; // it was not reached
        }
    }
}

TEST_F(tls_test, EveryCallMayComeInVain) {
    for (const call c : {call::read, call::write}) {
        for (unsigned spare = 0;; ++spare) {
            restart(small);
            os().fail(c, EAGAIN, 2, spare);
            const auto end = try_run(talk());
            ASSERT_TRUE(end) << end.error().message() << ", call " << static_cast<int>(c) << " after " << spare;
            if (os().calls(c) <= spare) break;
        }
    }
}

TEST_F(tls_test, BytesArriveWholeWhateverChanceDoes) {
    for (std::uint64_t seed = 1; seed < 30; ++seed) {
        restart({.seed = seed,
                 .latency_to_listener = std::chrono::milliseconds(seed % 4),
                 .send_buffer = 3'000 + seed * 3'000,
                 .receive_buffer = 5'000 + seed % 5 * 30'000});
        EXPECT_TRUE(run(bulk<200'000>())) << "seed " << seed;
    }
}

} // namespace
} // namespace headgate
