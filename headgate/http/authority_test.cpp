#include <headgate/http/authority.hpp>

#include <gtest/gtest.h>

namespace headgate::http {
namespace {

struct good {
    std::string_view text;
    std::string_view host;
    int port;
};

TEST(Authority, Valid) { // RFC 3986, section 3.2
    for (const good& row : {
             good{"example.com", "example.com", 0},
             {"EXAMPLE.com:8080", "EXAMPLE.com", 8080},
             {"example.com:", "example.com", 0},
             {"a", "a", 0},
             {"127.0.0.1:65535", "127.0.0.1", 65535},
             {"under_score.example", "under_score.example", 0},
             {"b%C3%BCcher.example", "b%C3%BCcher.example", 0},
             {"a!$&'()*+,;=-._~z", "a!$&'()*+,;=-._~z", 0},
             {"[::1]", "[::1]", 0},
             {"[::]:80", "[::]", 80},
             {"[2001:db8:0:0:0:0:0:1]:443", "[2001:db8:0:0:0:0:0:1]", 443},
             {"[1:2:3:4:5:6:7::]", "[1:2:3:4:5:6:7::]", 0},
             {"[::ffff:192.0.2.1]", "[::ffff:192.0.2.1]", 0},
             {"[1:2:3:4:5:6:192.0.2.1]", "[1:2:3:4:5:6:192.0.2.1]", 0},
         }) {
        const auto found = parse_authority(row.text);
        ASSERT_TRUE(found) << row.text;
        EXPECT_EQ(found->text, row.text);
        EXPECT_EQ(found->host, row.host);
        EXPECT_EQ(found->port, row.port) << row.text;
    }
}

TEST(Authority, Invalid) {
    for (const std::string_view text : {
             "",
             ":",
             ":80",
             "a:65536",
             "a:123456",
             "a:-1",
             "a:+1",
             "a: 1",
             "a:8x",
             "a:80:80",
             "a b",
             "a\tb",
             "user@a",
             "user:pw@a",
             "a/b",
             "a?b",
             "a#b",
             "a\\b",
             "a\"b",
             "a<b",
             "a^b",
             "a|b",
             "a{b",
             "b\xc3\xbc",
             "%",
             "a%4",
             "a%4g",
             "a%zz",
             "[",
             "[]",
             "[::1",
             "::1",
             "[::1]x",
             "[::1]80",
             "[:]",
             "[:::]",
             "[1]",
             "[1:2:3:4:5:6:7]",
             "[1:2:3:4:5:6:7:8:9]",
             "[1:2:3:4:5:6:7:8::]",
             "[::1::]",
             "[12345::]",
             "[g::]",
             "[::1%25eth0]",
             "[1:2:3:4:5:6:7:]",
             "[:1:2:3:4:5:6:7]",
             "[::1.2.3]",
             "[::1.2.3.256]",
             "[::1.2.3.04]",
             "[::1.2.3.4.5]",
             "[1.2.3.4::]",
             "[v1.x]",
             "a[::1]",
         })
        EXPECT_FALSE(parse_authority(text)) << text;
}

} // namespace
} // namespace headgate::http
