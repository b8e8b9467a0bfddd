#include <headgate/io/networks.hpp>

#include <gtest/gtest.h>

namespace headgate {
namespace {

bool has(const std::vector<std::string>& networks, std::string_view address) {
    const auto ip = parse_ip(address);
    EXPECT_TRUE(ip) << address;
    return network_set(networks).contains(*ip);
}

TEST(Networks, ReadsAddresses) {
    for (const char* text : {"1.2.3.4", "::", "::1", "[::1]", "2001:db8::1.2.3.4", "::ffff:1.2.3.4"})
        EXPECT_TRUE(parse_ip(text)) << text;
    for (const char* text : {"", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.4 ", "[1.2.3.4]", "[::1", "::1]", "[]", "x",
                             "::1%eth0", "1.2.3.4:80", "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"})
        EXPECT_FALSE(parse_ip(text)) << text;
    EXPECT_FALSE(parse_ip(std::string_view("1.2.3.4\0x", 9)));
    const auto mapped = parse_ip("::ffff:1.2.3.4");
    const auto v4 = parse_ip("1.2.3.4");
    EXPECT_TRUE(IN6_ARE_ADDR_EQUAL(&*mapped, &*v4));
}

TEST(Networks, ReadsNetworks) {
    for (const char* text : {"1.2.3.4", "1.2.3.4/32", "10.0.0.0/8", "0.0.0.0/0", "::/0", "2001:db8::/32", "::1/128",
                             "::ffff:10.0.0.0/104", "unix"})
        EXPECT_TRUE(network_set::is_network(text)) << text;
    for (const char* text :
         {"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/08", "10.0.0.0/+8", "::/129", "2001:db8::1/64",
          "[::1]", "[::]/0", "10.0.0.0/8/8", "::", "::/128", "Unix", "10.0.0.0/8 "})
        EXPECT_FALSE(network_set::is_network(text)) << text;
}

TEST(Networks, HasWhatIsInOneOfItsNetworks) {
    const std::vector<std::string> some = {"10.0.0.0/8", "192.0.2.7", "2001:db8::/33", "fe80::1"};
    for (const char* in : {"10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3", "192.0.2.7",
                           "2001:db8::", "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff", "fe80::1"})
        EXPECT_TRUE(has(some, in)) << in;
    for (const char* out : {"9.255.255.255", "11.0.0.0", "192.0.2.6", "192.0.2.8", "2001:db8:8000::",
                            "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "fe80::", "fe80::2", "::a00:0", "::"})
        EXPECT_FALSE(has(some, out)) << out;
    EXPECT_FALSE(has({}, "1.2.3.4"));
}

TEST(Networks, KeepsTheFamiliesApart) {
    EXPECT_TRUE(has({"::/0"}, "::1"));
    EXPECT_TRUE(has({"::/0"}, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
    EXPECT_TRUE(has({"::/0"}, "::fffe:ffff:ffff"));
    EXPECT_TRUE(has({"::/0"}, "::1:0:0:0"));
    EXPECT_FALSE(has({"::/0"}, "0.0.0.0"));
    EXPECT_FALSE(has({"::/0"}, "255.255.255.255"));
    EXPECT_FALSE(has({"::/0", "0.0.0.0/0"}, "::")) << "a Unix socket";
    EXPECT_FALSE(has({"::/80"}, "::")) << "a Unix socket";
    EXPECT_TRUE(has({"::/80"}, "::1.2.3.4"));
    EXPECT_FALSE(has({"::/80"}, "1.2.3.4"));
    EXPECT_TRUE(has({"0.0.0.0/0"}, "255.255.255.255"));
    EXPECT_FALSE(has({"0.0.0.0/0"}, "::1"));
    EXPECT_TRUE(has({"unix"}, "::"));
    EXPECT_FALSE(has({"unix"}, "::1"));
}

// Whatever their order: every subset of some that overlap, touch, and lie apart has what one of them has.
TEST(Networks, ManyAreOneSet) {
    const std::vector<std::string> all = {"10.0.0.0/9", "10.128.0.0/9", "10.1.0.0/16", "12.0.0.0/8",
                                          "11.0.0.0/8", "::/1",         "8000::/1",    "unix"};
    const std::vector<std::string> probes = {"9.255.255.255",
                                             "10.0.0.0",
                                             "10.127.255.255",
                                             "10.128.0.0",
                                             "10.1.2.3",
                                             "11.255.255.255",
                                             "12.1.1.1",
                                             "13.0.0.0",
                                             "::",
                                             "::1",
                                             "7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                                             "8000::",
                                             "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"};
    for (unsigned mask = 0; mask < 256; ++mask) {
        std::vector<std::string> some;
        for (std::size_t i = 0; i < all.size(); ++i)
            if ((mask >> i & 1) != 0) some.push_back(all[i]);
        for (const bool turned : {false, true}) {
            if (turned) std::reverse(some.begin(), some.end());
            for (const std::string& p : probes) {
                bool one_has = false;
                for (const std::string& n : some) one_has = one_has || has({n}, p);
                ASSERT_EQ(has(some, p), one_has) << p << " in " << mask << (turned ? ", turned" : "");
            }
        }
    }
}

} // namespace
} // namespace headgate
