#include <headgate/core/race.hpp>
#include <headgate/core/sleep.hpp>

#include <cstring>
#include <deque>

#include <gateway/tunnel.hpp>
#include <simulation/scenarios.hpp>
#include <simulation/world.hpp>

namespace headgate::simulation_test {

namespace {

// One direction of one connection. Its bytes are those of the body `id`.
struct talk {
    std::uint64_t id = 0;
    std::uint64_t sent = 0; // or about to be
    bool ended = false;     // in an orderly way, after all of it
    bool left = false;      // the speaker has gone, maybe in the midst of a word; its system ends in its own way
};
struct conversation {
    talk up, down;
};

class tunnel_world final : public world {
public:
    explicit tunnel_world(exploration& x) : world(x, 7000), tunnel_(worker_, limits(x)) {
        start(tunnel_);
        for (std::size_t n = x.between(1, 12); n != 0; --n) x.actor(call(conversations_.size())), add();
    }
    ~tunnel_world() override {
        worker_.close();
        servers_.clear();
    }

private:
    static gateway::tunnel_options limits(exploration& x) {
        gateway::tunnel_options o;
        o.to = {"127.0.0.1", 7000};
        o.upstream.connect_timeout = 3s;
        o.idle_timeout = x.one_in(4) ? 1s + x.up_to(20s) : 2min;
        o.half_close_timeout = 1s + x.up_to(20s);
        return o;
    }
    void add() {
        conversation& c = conversations_.emplace_back();
        c.up.id = conversations_.size() * 2;
        c.down.id = c.up.id + 1;
    }

    task<> call(std::size_t index) {
        co_await sleep_for(x_.up_to(5s));
        auto s = co_await connect(*gate_, 10s);
        if (!s) co_return;
        conversation& c = conversations_[index];
        const std::string name(reinterpret_cast<const char*>(&index), 4);
        peer p{x_, std::move(*s)};
        if (!co_await p.send(name, 100ms)) co_return;
        co_await converse(&p, &c.up, &c.down);
    }
    task<> serve_one(socket s) override {
        if (x_.one_in(12)) co_return s.reset();
        peer p{x_, std::move(s)};
        while (p.in.size() < 4) {
            const auto n = co_await p.more(100ms);
            if (!n || *n == 0) co_return;
        }
        std::size_t index = 0;
        std::memcpy(&index, p.in.data(), 4);
        p.in.erase(0, 4);
        if (index >= conversations_.size()) co_return x_.problem("a byte of the first four is wrong");
        conversation& c = conversations_[index];
        co_await converse(&p, &c.down, &c.up);
    }

    // Says what it has to say and hears the rest; or leaves before.
    task<> converse(peer* p, talk* mine, talk* theirs) {
        if (x_.one_in(3)) {
            const auto first = co_await race(both(p, mine, theirs), sleep_for_up_to(10s));
            if (first.index() == 1 && x_.one_in(2)) co_return p->s.reset();
        } else {
            co_await both(p, mine, theirs);
        }
        mine->left = true;
    }
    task<> sleep_for_up_to(duration most) { co_await sleep_for(x_.up_to(most)); }
    task<> both(peer* p, talk* mine, talk* theirs) { co_await all(say(p, mine), hear(p, theirs)); }

    task<> say(peer* p, talk* mine) {
        std::size_t left = x_.size_up_to(1024 * 1024);
        while (left != 0) {
            const std::size_t n = 1 + x_.size_up_to(std::min<std::size_t>(left, 200'000) - 1);
            std::string bytes = testing::body_bytes(mine->id, mine->sent, n);
            mine->sent += n;
            if (!co_await p->send(std::move(bytes), 50ms)) co_return;
            left -= n;
            if (x_.one_in(4)) co_await sleep_for(x_.up_to(3s));
        }
        mine->ended = true;
        static_cast<void>(p->s.end());
    }
    task<> hear(peer* p, const talk* theirs) {
        std::uint64_t got = 0;
        for (;;) {
            for (const char c : p->in)
                if (c != testing::body_byte(theirs->id, got++))
                    co_return x_.problem("a wrong byte came through the tunnel");
            p->in.clear();
            if (got > theirs->sent) co_return x_.problem("more came through the tunnel than was sent");
            const auto n = co_await p->more(50ms);
            if (!n || p->broken) co_return;
            if (*n != 0) continue;
            if (!theirs->ended && !theirs->left)
                x_.problem("an orderly end that nobody had sent came after " + std::to_string(got) + " bytes");
            if (theirs->ended && got != theirs->sent)
                x_.problem("an orderly end came after " + std::to_string(got) + " of " + std::to_string(theirs->sent) +
                           " bytes");
            co_return;
        }
    }

    gateway::tunnel tunnel_;
    std::deque<conversation> conversations_;
};

} // namespace

testing::exploration_report explore_tunnel(std::uint64_t seed) {
    return testing::explore(seed, [](exploration& x) { return std::make_unique<tunnel_world>(x); });
}

} // namespace headgate::simulation_test
