#include <headgate/core/race.hpp>
#include <headgate/core/sleep.hpp>
#include <headgate/io/listener.hpp>
#include <headgate/io/proxy_header.hpp>
#include <headgate/testing/fixture.hpp>

namespace headgate {
namespace {

using namespace std::chrono_literals;
using kind = proxy_header_result::kind;

// Reads a header as a connection does: never more bytes than are asked for. What is left of `text` is behind it.
struct read_back {
    proxy_header_result result;
    std::size_t used;
};
read_back read(std::string_view text) {
    std::size_t have = 0;
    for (;;) {
        const auto r = parse_proxy_header(text.substr(0, have));
        if (r.state != kind::more || r.more == 0 || have + r.more > text.size()) return {r, have};
        have += r.more;
    }
}

std::string said(std::string_view text) {
    const auto [r, used] = read(text);
    if (r.state == kind::malformed) return "malformed";
    if (r.state == kind::more) return "cut";
    if (used != text.size()) return "something is left";
    if (r.header.local) return r.header.tls ? "local, tls" : "local";
    return r.header.source.text() + " " + r.header.destination.text() + (r.header.tls ? " tls" : "");
}

std::string v2(char command, char family, std::string_view rest) {
    std::string out("\r\n\r\n\0\r\nQUIT\n", 12);
    out += command;
    out += family;
    out += static_cast<char>(rest.size() >> 8);
    out += static_cast<char>(rest.size());
    return out.append(rest);
}

const std::string v4_addresses("\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x34\x01\xbb", 12);
const std::string
    v6_addresses("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x12\x34\x01\xbb",
                 36);

TEST(ProxyHeader, ReadsVersion1) {
    EXPECT_EQ(said("PROXY TCP4 192.0.2.1 192.0.2.2 4660 443\r\n"), "192.0.2.1:4660 192.0.2.2:443");
    EXPECT_EQ(said("PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n"), "1.1.1.1:1 1.1.1.1:1") << "the shortest";
    EXPECT_EQ(said("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"),
              "255.255.255.255:65535 255.255.255.255:65535");
    EXPECT_EQ(said("PROXY TCP6 2001:db8::1 ::2 4660 443\r\n"), "[2001:db8::1]:4660 [::2]:443");
    EXPECT_EQ(said("PROXY TCP6 ::1 ::1 1 1\r\n"), "[::1]:1 [::1]:1") << "the shortest";
    EXPECT_EQ(said("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 1\r\n"), "192.0.2.1:1 [::1]:1");
    EXPECT_EQ(said("PROXY UNKNOWN\r\n"), "local");
    EXPECT_EQ(said("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), "local");
    EXPECT_EQ(said("PROXY UNKNOWN " + std::string(107 - 16, 'x') + "\r\n"), "local") << "the longest";
}

TEST(ProxyHeader, RefusesWhatIsNotVersion1) {
    for (const char* text : {"GET / HTTP/1.1\r\n",
                             "proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n",
                             "PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n",
                             "PROXY  TCP4 1.1.1.1 1.1.1.1 1 1\r\n",
                             "PROXY TCP4  1.1.1.1 1.1.1.1 1 1\r\n",
                             "PROXY TCP4 1.1.1.1 1.1.1.1 1 1 \r\n",
                             "PROXY TCP4 1.1.1.1 1.1.1.1 1 65536\r\n",
                             "PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n",
                             "PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n",
                             "PROXY TCP4 1.1.1.1 1.1.1.1 1 -1\r\n",
                             "PROXY TCP4 1.1.1.1 1.1.1.1111 1\r\n",
                             "PROXY TCP4 ::1.1.1.1 1.1.1.1 1 1\r\n",
                             "PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n",
                             "PROXY TCP6 [::1] ::1 1 1\r\n",
                             "PROXY TCP6 ::  ::1 1 1\r\n",
                             "PROXY TCP6 :: ::1 1 1\r\n",
                             "PROXY TCP4 1.1.1.1 1.1.1.1 1111\r\n",
                             "PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n\r\n",
                             "PROXY TCP4 1.1.1.1 1.1.1.1 1 1\rx",
                             "PROXY UNKNOW\r\n ",
                             "PROXY UNKNOWNX\r\n",
                             "PROXY TCP4\r\n xxxxxxxxxxxxxxxxxxxxxxxxx"})
        EXPECT_EQ(said(text), "malformed") << text;
    EXPECT_EQ(said("PROXY UNKNOWN " + std::string(107 - 15, 'x') + "\r\n"), "malformed") << "too long";
}

TEST(ProxyHeader, ReadsVersion2) {
    EXPECT_EQ(said(v2(0x21, 0x11, v4_addresses)), "192.0.2.1:4660 192.0.2.2:443");
    EXPECT_EQ(said(v2(0x21, 0x21, v6_addresses)), "[2001:db8::1]:4660 [2001:db8::2]:443");
    EXPECT_EQ(said(v2(0x20, 0x00, "")), "local");
    EXPECT_EQ(said(v2(0x20, 0x11, v4_addresses)), "local") << "what is there is skipped";
    EXPECT_EQ(said(v2(0x20, 0x7f, std::string(100, 'x'))), "local");
    EXPECT_EQ(said(v2(0x21, 0x00, "anything")), "local");
    EXPECT_EQ(said(v2(0x21, 0x31, std::string(216, 'x'))), "local");
    using namespace std::string_literals;
    EXPECT_EQ(said(v2(0x21, 0x11,
                      v4_addresses + "\x02\0\x03"
                                     "a.b"s)),
              "192.0.2.1:4660 192.0.2.2:443");
    EXPECT_EQ(said(v2(0x21, 0x11,
                      v4_addresses + "\x04\0\0\x20\0\x0a\x01\0\0\0\0\x21\0\x02"
                                     "13"s)),
              "192.0.2.1:4660 192.0.2.2:443 tls");
    EXPECT_EQ(said(v2(0x21, 0x11, v4_addresses + "\x20\0\x05\0\0\0\0\0"s)), "192.0.2.1:4660 192.0.2.2:443");
}

TEST(ProxyHeader, RefusesWhatIsNotVersion2) {
    using namespace std::string_literals;
    const std::string right = v2(0x21, 0x11, v4_addresses);
    for (std::size_t i = 0; i < 12; ++i) {
        std::string wrong = right;
        wrong[i] = static_cast<char>(wrong[i] ^ 0x40);
        EXPECT_EQ(said(wrong), "malformed") << i;
    }
    for (const int command : {0x11, 0x22, 0x2f, 0x31, 0x00})
        EXPECT_EQ(said(v2(static_cast<char>(command), 0x11, v4_addresses)), "malformed");
    for (const int family : {0x10, 0x12, 0x22, 0x32, 0x41, 0x01, 0x7f})
        EXPECT_EQ(said(v2(0x21, static_cast<char>(family), v6_addresses)), "malformed") << family;
    EXPECT_EQ(said(v2(0x21, 0x11, v4_addresses.substr(1))), "malformed");
    EXPECT_EQ(said(v2(0x21, 0x21, v6_addresses.substr(1))), "malformed");
    EXPECT_EQ(said(v2(0x21, 0x21, std::string(36, '\0'))), "malformed") << "nobody has no address";
    EXPECT_EQ(said(v2(0x21, 0x31, std::string(215, 'x'))), "malformed");
    EXPECT_EQ(said(v2(0x21, 0x11, v4_addresses + "\x04\0"s)), "malformed");
    EXPECT_EQ(said(v2(0x21, 0x11, v4_addresses + "\x04\0\x02x"s)), "malformed");
    EXPECT_EQ(said(v2(0x21, 0x11, v4_addresses + "\x20\0\x04\x01\0\0\0"s)), "malformed");
    EXPECT_EQ(said(v2(0x20, 0x00, std::string(proxy_header_max - 16, 'x'))), "local");
    EXPECT_EQ(said(v2(0x20, 0x00, std::string(proxy_header_max - 15, 'x'))), "malformed");
}

TEST(ProxyHeader, NeverAsksForWhatFollows) {
    for (const std::string& header :
         {std::string("PROXY TCP4 192.0.2.1 192.0.2.2 4660 443\r\n"), std::string("PROXY TCP6 ::1 ::1 1 1\r\n"),
          std::string("PROXY UNKNOWN\r\n"), v2(0x21, 0x11, v4_addresses), v2(0x20, 0, "")}) {
        const auto [r, used] = read(header + "PROXY UNKNOWN\r\n");
        EXPECT_EQ(r.state, kind::complete) << header;
        EXPECT_EQ(used, header.size()) << header;
        for (std::size_t cut = 0; cut < header.size(); ++cut) {
            const auto part = parse_proxy_header(header.substr(0, cut));
            ASSERT_EQ(part.state, kind::more) << header << " cut at " << cut;
            ASSERT_TRUE(part.more > 0 && cut + part.more <= header.size()) << header << " cut at " << cut;
        }
    }
}

TEST(ProxyHeader, WritesWhatItReads) {
    const auto both = [](std::string_view from, std::string_view to) {
        proxy_header h;
        h.source = peer_address::of(*address::parse(from));
        h.destination = peer_address::of(*address::parse(to));
        const std::string one = make_proxy_header(proxy_protocol::v1, h);
        EXPECT_EQ(said(one), said(make_proxy_header(proxy_protocol::v2, h))) << one;
        return said(one);
    };
    EXPECT_EQ(both("192.0.2.1:4660", "192.0.2.2:443"), "192.0.2.1:4660 192.0.2.2:443");
    EXPECT_EQ(both("[2001:db8::1]:1", "[::2]:65535"), "[2001:db8::1]:1 [::2]:65535");
    EXPECT_EQ(both("192.0.2.1:1", "[::2]:2"), "192.0.2.1:1 [::2]:2");
    EXPECT_EQ(both("unix:/x", "192.0.2.1:2"), "local");
    EXPECT_EQ(make_proxy_header(proxy_protocol::v1, {.local = true}), "PROXY UNKNOWN\r\n");
    EXPECT_EQ(make_proxy_header(proxy_protocol::v2, {.local = true}), v2(0x20, 0x00, ""));
    EXPECT_EQ(make_proxy_header(proxy_protocol::none, {.local = true}), "");
}

class proxy_header_test : public testing::simulated_test {};

// What `pieces`, sent with a pause of 100 ms before each, are read as within a second; and what is there behind it.
task<std::string> receive(std::vector<std::string> pieces, bool ends) {
    auto l = listener::open(*address::parse("127.0.0.1:0"));
    if (!l) co_await fail(l.error());
    auto near = co_await connect(l->where());
    auto far = co_await l->accept();
    if (!near || !far) co_await fail(errc::failed);
    struct both {
        static task<> write(socket* s, std::vector<std::string> all, bool ends) {
            for (const std::string& p : all) {
                co_await sleep_for(100ms);
                if (!co_await s->write_all(p)) co_return;
            }
            if (ends) s->end();
        }
        static task<std::string> read(socket* s) {
            const auto h = co_await read_proxy_header(*s, 1s);
            if (!h) co_return h.error().message();
            std::string rest(100, 0);
            const auto n = co_await s->read_some(rest, 1s);
            co_return (h->local ? "local" : h->source.text()) + " " + rest.substr(0, n.value_or(0));
        }
    };
    auto [nothing, got] = co_await all(both::write(&*near, std::move(pieces), ends), both::read(&far->connection));
    co_return got;
}

TEST_F(proxy_header_test, IsReadFromAConnectionAndNothingElse) {
    const std::string one = "PROXY TCP4 192.0.2.1 192.0.2.2 4660 443\r\n";
    const std::string two = v2(0x21, 0x11, v4_addresses);
    EXPECT_EQ(run(receive({one + "hello"}, false)), "192.0.2.1:4660 hello");
    EXPECT_EQ(run(receive({two + "hello"}, false)), "192.0.2.1:4660 hello");
    EXPECT_EQ(run(receive({one.substr(0, 7), one.substr(7) + "hello"}, false)), "192.0.2.1:4660 hello");
    EXPECT_EQ(run(receive({two.substr(0, 17), two.substr(17), "hello"}, false)), "192.0.2.1:4660 hello");
    EXPECT_EQ(run(receive({"GET / HTTP/1.1\r\n\r\n"}, false)), make_error_code(errc::protocol).message());
    EXPECT_EQ(run(receive({one.substr(0, 20)}, true)), make_error_code(errc::premature_close).message());
    EXPECT_EQ(run(receive({one.substr(0, 20)}, false)), make_error_code(errc::timed_out).message());
    std::vector<std::string> bytes;
    for (const char c : one) bytes.emplace_back(1, c);
    EXPECT_EQ(run(receive(bytes, false)), make_error_code(errc::timed_out).message()) << "one limit for all of it";
}

} // namespace
} // namespace headgate
