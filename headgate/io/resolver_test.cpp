#include <headgate/core/nursery.hpp>
#include <headgate/io/linux_kernel.hpp>
#include <headgate/io/listener.hpp>
#include <headgate/io/resolver.hpp>
#include <headgate/testing/leftovers.hpp>

#include <map>
#include <optional>
#include <stdexcept>

#include <ares_nameser.h>
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headgate {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using testing::leftovers;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
using answer = result<std::vector<address>>;

// What the server says of one name.
struct zone_entry {
    int code = 0; // RCODE, RFC 1035 4.1.1
    std::vector<std::string> addresses{};
    bool silent = false;
    bool only_tcp = false;
};

// A DNS server with a few names, on the loop of the test: as much of RFC 1035 as c-ares asks for.
class dns_server {
public:
    explicit dns_server(loop& l) {
        for (int attempts = 0; !open(l); ++attempts)
            if (attempts == 100) throw std::runtime_error("no port for the server");
        serving_.spawn(serve_udp());
        serving_.spawn(serve_tcp());
    }

    std::map<std::string, zone_entry> names;
    address at;
    int queries = 0;

private:
    // The same port for both protocols. What the system gives out for one may be taken in the other.
    bool open(loop& l) {
        auto tcp = listener::open(*address::parse("127.0.0.1:0"));
        if (!tcp) return false;
        const int fd = l.os().socket(AF_INET, SOCK_DGRAM);
        if (fd < 0) return false;
        if (l.os().bind(fd, tcp->where().data(), tcp->where().size()) < 0) {
            l.os().close(fd);
            return false;
        }
        at = tcp->where();
        tcp_.emplace(std::move(*tcp));
        udp_ = socket(**l.open(fd));
        return true;
    }
    task<> serve_udp() {
        for (;;) {
            co_await udp_.readable();
            char query[512];
            sockaddr_storage from{};
            socklen_t size = sizeof from;
            const ssize_t n = ::recvfrom(udp_.fd(), query, sizeof query, 0, reinterpret_cast<sockaddr*>(&from), &size);
            if (n < 0) {
                udp_.state().readable = false;
                continue;
            }
            const std::string reply = reply_to({query, static_cast<std::size_t>(n)}, false);
            if (!reply.empty())
                ::sendto(udp_.fd(), reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
        }
    }
    task<> serve_tcp() {
        for (;;) {
            auto peer = co_await tcp_->accept();
            serving_.spawn(serve_connection(std::move(peer->connection)));
        }
    }
    // Replies in two pieces, so that the client has to read twice.
    task<> serve_connection(socket s) {
        std::string query;
        for (;;) {
            char more[512];
            const auto n = co_await s.read_some(more);
            if (!n || *n == 0) co_return;
            query.append(more, *n);
            while (query.size() >= 2 && query.size() >= 2 + number_at(query, 0)) {
                const std::string reply = reply_to(query.substr(2, number_at(query, 0)), true);
                query.erase(0, 2 + number_at(query, 0));
                const std::string framed = number(reply.size()) + reply;
                co_await s.write_all(std::string_view(framed).substr(0, 7));
                co_await s.write_all(std::string_view(framed).substr(7));
            }
        }
    }

    static std::string number(std::size_t n) { return {static_cast<char>(n >> 8), static_cast<char>(n & 0xff)}; }
    static std::size_t number_at(std::string_view s, std::size_t i) {
        return static_cast<std::size_t>(static_cast<unsigned char>(s[i])) << 8 | static_cast<unsigned char>(s[i + 1]);
    }

    std::string reply_to(std::string_view query, bool tcp) {
        ++queries;
        std::string name;
        std::size_t i = 12;
        for (; query[i] != 0; i += 1 + static_cast<std::size_t>(query[i]))
            name += (name.empty() ? "" : ".") + std::string(query.substr(i + 1, static_cast<std::size_t>(query[i])));
        const std::string_view question = query.substr(12, i + 5 - 12);
        const std::size_t type = number_at(query, i + 1);
        const auto found = names.find(name);
        const zone_entry entry = found == names.end() ? zone_entry{.code = 3} : found->second;
        if (entry.silent) return {};
        const bool cut = entry.only_tcp && !tcp;
        std::string records;
        std::size_t count = 0;
        for (const std::string& text : entry.addresses) {
            const bool v6 = text.find(':') != std::string::npos;
            if (cut || type != static_cast<std::size_t>(v6 ? ns_t_aaaa : ns_t_a)) continue;
            char bytes[16];
            ::inet_pton(v6 ? AF_INET6 : AF_INET, text.c_str(), bytes);
            records += number(0xc00c) + number(type) + number(1) + number(0) + number(60) + number(v6 ? 16 : 4);
            records.append(bytes, v6 ? 16 : 4);
            ++count;
        }
        const std::size_t flags = 0x8180u | (cut ? 0x0200u : 0u) | static_cast<std::size_t>(entry.code);
        return std::string(query.substr(0, 2)) + number(flags) + number(1) + number(count) + number(0) + number(0) +
               std::string(question) + records;
    }

    socket udp_;
    std::optional<listener> tcp_;
    nursery serving_;
};

class resolver_test : public ::testing::Test {
protected:
    // Resolves and checks that the lookup has left nothing.
    answer resolve(resolver& r, std::string host, duration limit = 20s) {
        const leftovers before = leftovers::now();
        const std::size_t timers = l.timers_armed();
        const std::size_t waits = l.waits();
        answer a;
        {
            auto end = l.run(r.resolve(std::move(host), 80, limit));
            if (!end) throw std::runtime_error(end.error().message());
            a = std::move(*end);
        }
        for (int turn = 0; turn < 10; ++turn) EXPECT_FALSE(l.turn(false)); // the server sees the end of its connections
        EXPECT_EQ(leftovers::now(), before);
        EXPECT_EQ(l.timers_armed(), timers);
        EXPECT_EQ(l.waits(), waits);
        EXPECT_EQ(r.lookups(), 0u);
        return a;
    }
    static std::vector<std::string> texts(const answer& a) {
        std::vector<std::string> t;
        for (const address& each : a.value()) t.push_back(each.text());
        return t;
    }
    resolver_options ask_server() { return {.servers = {server.at}, .try_timeout = 30ms, .tries = 2}; }

    linux_kernel os;
    loop l{os};
    dns_server server{l};
};

TEST_F(resolver_test, LiteralsAreAnsweredAtOnce) {
    resolver r(ask_server());
    EXPECT_THAT(texts(resolve(r, "192.0.2.7")), ElementsAre("192.0.2.7:80"));
    EXPECT_THAT(texts(resolve(r, "::1")), ElementsAre("[::1]:80"));
    EXPECT_THAT(texts(resolve(r, "[2001:db8::5]")), ElementsAre("[2001:db8::5]:80"));
    EXPECT_EQ(server.queries, 0);
}

TEST_F(resolver_test, LocalhostNeedsNoServer) {
    resolver r(ask_server());
    EXPECT_THAT(texts(resolve(r, "localhost")), ::testing::Contains("127.0.0.1:80"));
    EXPECT_EQ(server.queries, 0);
}

TEST_F(resolver_test, GivesAllAddressesOfAName) {
    server.names["two.test"] = {.addresses = {"192.0.2.1", "192.0.2.2", "2001:db8::1"}};
    resolver r(ask_server());
    EXPECT_THAT(texts(resolve(r, "two.test")),
                UnorderedElementsAre("192.0.2.1:80", "192.0.2.2:80", "[2001:db8::1]:80"));
    EXPECT_EQ(server.queries, 2); // A and AAAA
}

TEST_F(resolver_test, OneFamilyIsEnough) {
    server.names["six.test"] = {.addresses = {"2001:db8::6"}};
    resolver r(ask_server());
    EXPECT_THAT(texts(resolve(r, "six.test")), ElementsAre("[2001:db8::6]:80"));
}

TEST_F(resolver_test, ATruncatedAnswerIsAskedForOverTcp) {
    server.names["large.test"] = {.addresses = {"192.0.2.1", "2001:db8::1"}, .only_tcp = true};
    resolver r(ask_server());
    EXPECT_THAT(texts(resolve(r, "large.test")), SizeIs(2));
}

TEST_F(resolver_test, TheNumberOfAddressesIsBounded) {
    zone_entry many;
    for (int i = 1; i <= 20; ++i) many.addresses.push_back("192.0.2." + std::to_string(i));
    server.names["many.test"] = many;
    resolver_options o = ask_server();
    o.addresses_max = 5;
    resolver r(o);
    EXPECT_THAT(texts(resolve(r, "many.test")), SizeIs(5));
}

TEST_F(resolver_test, ErrorsSayWhatIsWrong) {
    server.names["empty.test"] = {};
    server.names["broken.test"] = {.code = 2};
    server.names["closed.test"] = {.code = 5};
    resolver r(ask_server());
    const auto text = [&](const char* host) { return resolve(r, host).error().message(); };
    EXPECT_EQ(text("none.test"), "name not found");
    EXPECT_EQ(text("empty.test"), "name has no address");
    EXPECT_EQ(text("broken.test"), "no DNS server could answer");
    EXPECT_EQ(text("closed.test"), "no DNS server could answer");
    EXPECT_EQ(text(""), "not a valid name");
    EXPECT_EQ(text((std::string(64, 'x') + ".test").c_str()), "not a valid name");
}

TEST_F(resolver_test, ASilentServerIsAskedAgainAndThenGivenUp) {
    server.names["silent.test"] = {.silent = true};
    resolver r(ask_server());
    EXPECT_EQ(resolve(r, "silent.test").error().message(), "no answer from the DNS servers in time");
    EXPECT_EQ(server.queries, 4);
}

TEST_F(resolver_test, ALimitEndsALookup) {
    server.names["silent.test"] = {.silent = true};
    resolver r({.servers = {server.at}, .try_timeout = 20s});
    EXPECT_EQ(resolve(r, "silent.test", 5ms).error(), errc::timed_out);
}

task<> look_up(resolver* r, answer* to) { *to = co_await r->resolve("silent.test", 80); }

TEST_F(resolver_test, ADroppedLookupLeavesNothing) {
    server.names["silent.test"] = {.silent = true};
    resolver r({.servers = {server.at}, .try_timeout = 20s});
    const leftovers before = leftovers::now();
    const std::size_t timers = l.timers_armed();
    answer a;
    {
        nursery n;
        n.spawn(look_up(&r, &a));
        while (server.queries < 2) ASSERT_FALSE(l.turn());
        EXPECT_EQ(r.lookups(), 1u);
        EXPECT_GT(leftovers::now().descriptors, before.descriptors);
    }
    EXPECT_EQ(leftovers::now(), before);
    EXPECT_EQ(l.timers_armed(), timers);
    EXPECT_EQ(r.lookups(), 0u);
}

TEST_F(resolver_test, TheNumberOfLookupsIsBounded) {
    server.names["silent.test"] = {.silent = true};
    resolver r({.servers = {server.at}, .try_timeout = 20s, .lookups_max = 2});
    answer first, second, third;
    nursery n;
    n.spawn(look_up(&r, &first));
    n.spawn(look_up(&r, &second));
    n.spawn(look_up(&r, &third));
    ASSERT_FALSE(third);
    EXPECT_EQ(third.error(), errc::overloaded);
    EXPECT_EQ(r.lookups(), 2u);
    n.clear();
    EXPECT_EQ(r.lookups(), 0u);
}

} // namespace
} // namespace headgate
