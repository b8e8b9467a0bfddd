#include <headgate/core/abort_watch.hpp>
#include <headgate/core/race.hpp>
#include <headgate/core/sleep.hpp>
#include <headgate/io/relay.hpp>

#include <gateway/duplex.hpp>

namespace headgate::gateway {

namespace {

// What the two directions and the clock have in common.
struct progress {
    int ended = 0;        // directions that have ended cleanly
    time_point changed{}; // when a direction began or ended
    std::size_t unconfirmed = 0;
};

task<> direction(duplex& d, progress& p, party sender) {
    const bool up = sender == party::client;
    socket& from = up ? d.client : d.upstream;
    socket& to = up ? d.upstream : d.client;
    std::uint64_t& total = up ? d.up : d.down;
    if (http::inbound* early = up ? d.from_client : d.from_upstream; early && !early->empty()) {
        const std::size_t n = early->bytes().size();
        const auto written = co_await to.write_all(early->bytes());
        if (!written) {
            d.why = cause_of(written.error(), up ? party::upstream : party::client);
            co_await fail(written.error(), side::sink);
        }
        early->consume(n);
        total += n;
    }
    const relay_limits limits{.buffer_bytes = d.on.options().stream_buffer,
                              .sink = bounded({}, d.on.options()),
                              .pipes = &d.on.pipes(),
                              .total = &total};
    const outcome o =
        co_await pipeline((up ? d.flow.up() : d.flow.down()).watched(), tunnel_source{&from, limits}, tunnel_sink{&to});
    if (!o) {
        const bool at_sender = o.error().where == side::source;
        d.why = cause_of(o.error().code, at_sender == up ? party::client : party::upstream);
        co_await fail(o.error().code, o.error().where);
    }
    ++p.ended;
    p.changed = executor::current().turn_time();
}

// Looks, whenever the limit may have passed, at when something last moved either way. What the sockets hold moves, too,
// when a peer confirms it.
task<> check_idle(duplex& d, progress& p, place& at) {
    for (;;) {
        const duration limit = p.ended == 0 ? d.idle_timeout : std::min(d.idle_timeout, d.half_close_timeout);
        time_point last = p.changed;
        for (const flow_lane& lane : d.flow.lanes)
            if (const live_pipeline* moving = lane.live()) last = std::max(last, moving->joints.back().moved_at);
        const std::size_t unconfirmed = d.client.unacknowledged() + d.upstream.unacknowledged();
        if (unconfirmed < p.unconfirmed) last = p.changed = executor::current().turn_time();
        p.unconfirmed = unconfirmed;
        const duration left = last + limit - executor::current().turn_time();
        if (left <= duration::zero()) {
            d.why = cause::client_idle;
            at.of->fail({errc::idle, side::caller, at.stage, {}});
            co_return;
        }
        co_await sleep_for(std::min({left, d.half_close_timeout, limit / 4}));
    }
}

} // namespace

task<> relay_both_ways(duplex& d) {
    place& at = co_await here();
    const abort_watch drain_watch(d.life.ended(), at);
    const abort_point by_operator(d.flow, at);
    progress p{.changed = executor::current().turn_time()};
    strand clock;
    clock.start(check_idle(d, p, at), at);
    co_await all(direction(d, p, party::client), direction(d, p, party::upstream));
}

} // namespace headgate::gateway
