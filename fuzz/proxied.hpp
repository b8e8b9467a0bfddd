#pragma once

#include <headgate/io/listener.hpp>
#include <headgate/testing/sim.hpp>

#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include <fuzz/strict.hpp>
#include <gateway/proxy.hpp>

/// The proxy as it is, with all its coroutines, between one client and an origin: on simulated sockets, in virtual
/// time.
namespace headgate::fuzz {

/// In what a side sends, this byte stands for a pause; it is not sent itself.
inline constexpr char pause_mark = '\x1f';

enum class leaving : std::uint8_t { last, ends, resets }; // last: after the gateway

struct script {
    std::string bytes;
    leaving how = leaving::last;
};

/// What one end has received, and whether a FIN came after it, or else a reset or nothing.
struct heard {
    std::string text;
    bool ended = false;
};

/// One connection at the origin, from its beginning to its end.
struct origin_connection {
    explicit origin_connection(socket connected) : s(std::move(connected)) {}

    socket s;
    heard in;
    std::size_t used = 0;                 // of in.text, by the requests that have been read
    std::deque<strict::message> requests; // that have been read
    std::optional<strict::message> begun; // the next one, when its head is whole
    std::string sent;
    bool sent_end = false; // after all that was sent
};

struct proxied_options {
    std::uint64_t seed = 0; // of the simulation; 0: bytes arrive as they were written
    gateway::server_options server;
    gateway::proxy_options proxy;
};

class proxied {
public:
    explicit proxied(testing::simulation& sim, const proxied_options& o);
    proxied(const proxied&) = delete;
    proxied& operator=(const proxied&) = delete;
    virtual ~proxied();

    /// Lets the client do what its script says, until it is gone and everything is at rest; checks that it comes to
    /// rest.
    void run(script client);

    heard client;
    std::deque<origin_connection> origins; // in the order in which they were opened

protected:
    /// What the origin does with a connection.
    virtual task<> serve(origin_connection* c) = 0;

    /// The next request; none if the connection ends before it is whole. Stops if it is not one that every parser would
    /// read in the same way.
    static task<const strict::message*> read_request(origin_connection* c);
    /// Waits until the head of the next request is there. False if the connection ends before.
    static task<bool> read_head(origin_connection* c);
    /// Sends what the origin has to say. False if the connection is gone.
    static task<bool> say(origin_connection* c, std::string bytes);
    /// Ends the origin's direction and waits for the gateway's end.
    static task<> part(origin_connection* c);

private:
    task<> visit(script s);
    task<> accept();
    static strict::message next_request(origin_connection* c);

    testing::simulation& sim_;
    gateway::worker worker_;
    gateway::proxy proxy_;
    address gate_;
    listener origin_;
    nursery servers_;
    nursery clients_;
};

} // namespace headgate::fuzz
