#include <gtest/gtest.h>

#include <gateway/client_table.hpp>

namespace headgate::gateway {
namespace {

peer_address peer(const char* text) { return peer_address::of(*address::parse(text)); }

TEST(client_table_test, EachClientHasItsOwnLimit) {
    client_table table(2);
    client_peer first(peer("192.0.2.1:1"), &table);
    const client_peer second(peer("192.0.2.1:2"), &table);
    const client_peer third(peer("192.0.2.1:3"), &table);
    const client_peer other(peer("192.0.2.2:1"), &table);
    EXPECT_TRUE(first && second && other);
    EXPECT_FALSE(third);
    EXPECT_EQ(table.clients(), 2u);
    {
        const client_peer moved(std::move(first));
    }
    EXPECT_TRUE(client_peer(peer("192.0.2.1:4"), &table)) << "one has left";
}

TEST(client_table_test, NothingIsKeptOfWhoHasLeft) {
    client_table table(1);
    {
        const client_peer admitted(peer("192.0.2.1:1"), &table);
        const client_peer refused(peer("192.0.2.1:2"), &table);
        EXPECT_FALSE(refused);
        EXPECT_EQ(table.clients(), 1u);
    }
    EXPECT_EQ(table.clients(), 0u);
}

TEST(client_table_test, ANetworkOf64BitsIsOneClient) {
    client_table table(1);
    const client_peer first(peer("[2001:db8:0:1::1]:1"), &table);
    EXPECT_FALSE(client_peer(peer("[2001:db8:0:1:ffff::2]:1"), &table));
    EXPECT_TRUE(client_peer(peer("[2001:db8:0:2::1]:1"), &table));
}

TEST(client_table_test, WithoutATableOrAnAddressNobodyIsCounted) {
    client_table table(1);
    const client_peer local(peer_address{}, &table);
    EXPECT_TRUE(local);
    EXPECT_TRUE(client_peer(peer_address{}, &table));
    EXPECT_TRUE(client_peer(peer("192.0.2.1:1"), nullptr));
    EXPECT_EQ(table.clients(), 0u);
}

TEST(client_table_test, AConnectionCountsForWhomItWasOpened) {
    client_table table(1);
    client_peer proxied(peer("192.0.2.1:1"), &table, false);
    EXPECT_EQ(table.clients(), 0u) << "that of a proxy counts for nobody";
    EXPECT_TRUE(proxied.become(peer("192.0.2.2:1")));
    EXPECT_FALSE(client_peer(peer("192.0.2.2:2"), &table));
    EXPECT_TRUE(client_peer(peer("192.0.2.1:2"), &table));
    client_peer other(peer("192.0.2.3:1"), &table);
    EXPECT_FALSE(other.become(peer("192.0.2.2:3"))) << "who has one already";
    EXPECT_FALSE(other);
    EXPECT_TRUE(client_peer(peer("192.0.2.3:2"), &table)) << "and it is no longer the proxy's";
    EXPECT_TRUE(proxied.become(peer("192.0.2.4:1")));
    EXPECT_TRUE(other.become(peer("192.0.2.2:4")));
    EXPECT_TRUE(other.become(peer_address{}));
    EXPECT_EQ(table.clients(), 1u);
}

} // namespace
} // namespace headgate::gateway
