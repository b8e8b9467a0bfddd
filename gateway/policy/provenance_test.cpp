#include <headgate/http/parser.hpp>

#include <gtest/gtest.h>

#include <gateway/policy/provenance.hpp>

namespace headgate::gateway {
namespace {

// "client scheme host" as the fields of a request from 10.0.0.1 say, which is trusted like all of 10.0.0.0/8 and
// fd00::/8; or "malformed".
std::string said(const std::string& fields, forwarded_fields which) {
    const std::string text = "GET / HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n";
    http::request_parser p;
    if (p.parse(text).state != http::parse_state::complete) return "not a head";
    const std::vector<std::string> trusted = {"10.0.0.0/8", "fd00::/8"};
    const auto from = provenance_of(p.head(), *parse_node("10.0.0.1:4321"), network_set(trusted), which);
    if (!from) return "malformed";
    return from->client.text() + " " + std::string(from->scheme) + " " + std::string(from->host);
}

std::string x(const std::string& list) {
    return said("X-Forwarded-For: " + list + "\r\n", forwarded_fields::x_forwarded);
}
std::string f(const std::string& list) { return said("Forwarded: " + list + "\r\n", forwarded_fields::forwarded); }

TEST(Provenance, ReadsNodes) {
    EXPECT_EQ(parse_node("192.0.2.1")->text(), "192.0.2.1");
    EXPECT_EQ(parse_node("192.0.2.1:80")->text(), "192.0.2.1:80");
    EXPECT_EQ(parse_node("2001:db8::1")->text(), "2001:db8::1");
    EXPECT_EQ(parse_node("[2001:db8::1]")->text(), "2001:db8::1");
    EXPECT_EQ(parse_node("[2001:db8::1]:80")->text(), "[2001:db8::1]:80");
    EXPECT_EQ(parse_node("::ffff:192.0.2.1")->text(), "192.0.2.1");
    for (const char* text : {"", "unknown", "_x", "192.0.2.1:", "192.0.2.1:x", "192.0.2.1:65536", "192.0.2.1:1:2",
                             ":80", "[::1", "[::1]80", "[::1]:", "[", "]", "::", "0.0.0", "example.org"})
        EXPECT_FALSE(parse_node(text)) << text;
}

TEST(Provenance, TheClientIsTheLastAddressThatIsNotTrusted) {
    EXPECT_EQ(said("", forwarded_fields::x_forwarded), "10.0.0.1:4321  ");
    EXPECT_EQ(x("192.0.2.1"), "192.0.2.1  ");
    EXPECT_EQ(x("192.0.2.1, 192.0.2.2"), "192.0.2.2  ");
    EXPECT_EQ(x("192.0.2.1, 192.0.2.2, 10.1.1.1,fd00::7"), "192.0.2.2  ");
    EXPECT_EQ(x("10.1.1.1, 10.1.1.2"), "10.1.1.1  ") << "all of them are trusted";
    EXPECT_EQ(x("192.0.2.1, invented, 10.1.1.2"), "10.1.1.2  ") << "who wrote that is the last who is known";
    EXPECT_EQ(x("192.0.2.1, unknown"), "10.0.0.1:4321  ");
    EXPECT_EQ(x(", 192.0.2.1 ,,"), "192.0.2.1  ");
    EXPECT_EQ(said("X-Forwarded-For: 192.0.2.1\r\nX-Other: y\r\nX-Forwarded-For: 192.0.2.2, 10.0.0.2\r\n",
                   forwarded_fields::x_forwarded),
              "192.0.2.2  ");
    EXPECT_EQ(said("X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 10.0.0.2\r\n", forwarded_fields::x_forwarded),
              "192.0.2.1  ");
}

TEST(Provenance, SchemeAndHostAreThoseOfTheLastField) {
    const auto of = [](const std::string& fields) { return said(fields, forwarded_fields::x_forwarded); };
    EXPECT_EQ(of("X-Forwarded-Proto: https\r\nX-Forwarded-Host: example.org:8443\r\n"),
              "10.0.0.1:4321 https example.org:8443");
    EXPECT_EQ(of("X-Forwarded-Proto: http, HTTPS\r\nX-Forwarded-Host: a, b\r\n"), "10.0.0.1:4321 https b");
    EXPECT_EQ(of("X-Forwarded-Proto: ftp\r\nX-Forwarded-Host: a b\r\n"), "10.0.0.1:4321  ");
    EXPECT_EQ(of("X-Forwarded-Host: x\"y\r\n"), "10.0.0.1:4321  ");
}

TEST(Provenance, ReadsForwarded) {
    EXPECT_EQ(f("for=192.0.2.1"), "192.0.2.1  ");
    EXPECT_EQ(f("For=\"[2001:db8::1]:80\";PROTO=https;host=\"example.org:1\";by=10.0.0.1"),
              "[2001:db8::1]:80 https example.org:1");
    EXPECT_EQ(f("for=192.0.2.1;proto=http, for=192.0.2.2;proto=https;host=a, for=10.0.0.2;proto=http;host=b"),
              "192.0.2.2 https a");
    EXPECT_EQ(f("for=192.0.2.1 ; proto=https ,"), "192.0.2.1 https ");
    EXPECT_EQ(f("for=192.0.2.1, for=unknown;proto=https"), "10.0.0.1:4321 https ");
    EXPECT_EQ(f("for=192.0.2.1, for=_hidden"), "10.0.0.1:4321  ");
    EXPECT_EQ(f("for=\"192.0.2.1, for=192.0.2.3\", for=10.0.0.9"), "10.0.0.9  ") << "a comma in quotes parts nothing";
    EXPECT_EQ(f("proto=https"), "10.0.0.1:4321 https ");
    EXPECT_EQ(f(""), "10.0.0.1:4321  ");
    EXPECT_EQ(said("Forwarded: for=192.0.2.1\r\nForwarded: for=10.0.0.2\r\n", forwarded_fields::forwarded),
              "192.0.2.1  ");
    std::string many = "for=192.0.2.1";
    for (int i = 0; i < 40; ++i) many += ",for=10.0.0.2";
    EXPECT_EQ(f(many), "10.0.0.2  ") << "there are more than one may have";
}

TEST(Provenance, RefusesAForwardedThatIsMalformed) {
    for (const char* list :
         {"192.0.2.1", "for", "for=", "=x", "for=192.0.2.1;for=192.0.2.2", "for=a b", "for=\"x", "for=x:1",
          "for=\"x\"y", "for=\"\\", "for = x", "for=[::1]", ";=", "for=192.0.2.1;;=", "\""})
        EXPECT_EQ(f(list), "malformed") << list;
    // A client cannot swallow with an open quote what a proxy has added.
    EXPECT_EQ(said("Forwarded: for=\"\r\nForwarded: for=192.0.2.1\r\n", forwarded_fields::forwarded), "malformed");
    EXPECT_EQ(f("for=\", for=192.0.2.1"), "malformed");
}

TEST(Provenance, TheKindsOfFieldsAreNotMixed) {
    const std::string both = "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.2\r\nX-Forwarded-Proto: https\r\n";
    EXPECT_EQ(said(both, forwarded_fields::x_forwarded), "192.0.2.1 https ");
    EXPECT_EQ(said(both, forwarded_fields::forwarded), "192.0.2.2  ");
}

TEST(Provenance, WritesAnElementThatItReads) {
    EXPECT_EQ(forwarded_element("192.0.2.1", "h:1", "https"), "for=192.0.2.1;host=\"h:1\";proto=https");
    EXPECT_EQ(forwarded_element("2001:db8::1", "", "http"), "for=\"[2001:db8::1]\";proto=http");
    EXPECT_EQ(forwarded_element("unix", "h", "http"), "for=unknown;host=\"h\";proto=http");
    EXPECT_EQ(f(forwarded_element("2001:db8::1", "h:1", "https")), "2001:db8::1 https h:1");
}

} // namespace
} // namespace headgate::gateway
