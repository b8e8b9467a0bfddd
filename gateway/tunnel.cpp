#include <headgate/core/abort_watch.hpp>
#include <headgate/core/race.hpp>
#include <headgate/core/sleep.hpp>
#include <headgate/io/relay.hpp>

#include <gateway/tunnel.hpp>

namespace headgate::gateway {

struct tunnel::connection {
    socket& client;
    upstream_lease up{};
    std::uint64_t bytes_up = 0;
    std::uint64_t bytes_down = 0;
    int ended = 0;          // directions that have ended cleanly
    list_node directions{}; // the live pipelines
    time_point changed{};   // when a direction began or ended
    std::optional<cause> why{};
};

tunnel::tunnel(worker& w, const tunnel_options& o)
    : worker_(w), options_(o),
      upstream_(o.to, {.connect_timeout = w.options().connect_timeout, .keep_alive_timeout = {}, .idle_max = 0}) {}

task<> tunnel::serve(socket client, peer_address peer) {
    connection c{.client = client};
    const time_point begun = executor::current().turn_time();
    ++worker_.requests;
    const auto end = co_await attempt(run(c));
    --worker_.requests;
    if (end) {
        c.up.close();
    } else {
        if (!c.why) c.why = cause_of(end.error().code, party::client);
        c.up.drop();
        client.reset();
    }
    const std::string from = peer.text();
    const auto took = executor::current().now() - begun;
    worker_.log({.method = "tunnel",
                 .target = {},
                 .client = from,
                 .upstream = upstream_.name(),
                 .id = {},
                 .up = c.bytes_up,
                 .down = c.bytes_down,
                 .microseconds = std::chrono::duration_cast<std::chrono::microseconds>(took).count(),
                 .end = to_string(c.why.value_or(cause::complete))});
}

namespace {

// While there is no upstream yet, a client that is gone ends the connect. (One that has only said all it has to say
// does not.)
task<> client_gone(socket& client, place& at) {
    if (co_await client.broken()) at.of->fail({client.pending_error(), side::sink, at.stage, {}});
}

} // namespace

task<> tunnel::run(connection& c) {
    place& at = co_await here();
    const abort_watch drain_watch(worker_.aborted(), at);
    {
        strand watching;
        watching.start(client_gone(c.client, at), at);
        auto up = co_await upstream_.connect();
        if (!up) {
            c.why = cause_of_connect(up.error());
            co_await fail(up.error());
        }
        c.up = std::move(*up);
    }
    c.changed = executor::current().turn_time();
    strand clock;
    clock.start(check_idle(c, at), at);
    co_await all(direction(c, c.client, c.up.connection(), party::client),
                 direction(c, c.up.connection(), c.client, party::upstream));
}

task<> tunnel::direction(connection& c, socket& from, socket& to, party sender) {
    const bool up = sender == party::client;
    const relay_limits limits{.buffer_bytes = worker_.options().stream_buffer,
                              .pipes = &worker_.pipes(),
                              .total = up ? &c.bytes_up : &c.bytes_down};
    const outcome o =
        co_await pipeline(pipe_options{.watchers = &c.directions}, tunnel_source{&from, limits}, tunnel_sink{&to});
    if (!o) {
        const bool at_sender = o.error().where == side::source;
        c.why = cause_of(o.error().code, at_sender == up ? party::client : party::upstream);
        co_await fail(o.error().code, o.error().where);
    }
    ++c.ended;
    c.changed = executor::current().turn_time();
}

// Looks, whenever the limit may have passed, at when something last moved either way.
task<> tunnel::check_idle(connection& c, place& at) {
    for (;;) {
        const duration limit =
            c.ended == 0 ? options_.idle_timeout : std::min(options_.idle_timeout, options_.half_close_timeout);
        time_point last = c.changed;
        for (list_node* i = c.directions.next; i != &c.directions; i = i->next)
            last = std::max(last, static_cast<live_pipeline*>(i)->joints.back().moved_at);
        const duration left = last + limit - executor::current().turn_time();
        if (left <= duration::zero()) {
            c.why = cause::client_idle;
            at.of->fail({errc::idle, side::caller, at.stage, {}});
            co_return;
        }
        co_await sleep_for(std::min(left, options_.half_close_timeout));
    }
}

} // namespace headgate::gateway
