#pragma once

#include <headgate/core/abort.hpp>
#include <headgate/core/nursery.hpp>
#include <headgate/io/listener.hpp>
#include <headgate/io/pipe_pool.hpp>

#include <cstdint>
#include <map>
#include <string>

#include <gateway/access_log.hpp>
#include <gateway/client_table.hpp>
#include <gateway/live_config.hpp>
#include <gateway/log_line.hpp>
#include <gateway/observe/flow_registry.hpp>
#include <gateway/options.hpp>
#include <gateway/trace/tracer.hpp>

namespace headgate::gateway {

class worker;

// What a worker serves its connections with: the proxy, or the tunnel.
class service {
public:
    virtual ~service() = default;
    // Serves one client's connection to its end.
    virtual task<> serve(socket client, client_peer peer) = 0;
    // The answer to a client that cannot be served because a limit is met: of all connections (503) or of those of one
    // client (429). Empty for none.
    virtual std::string_view refusal(int status) const noexcept = 0;
    // Whether a connection from there is one of a client's own, to be counted as such.
    virtual bool counts(const peer_address& from) const noexcept = 0;

    // Keeps count of the connections that are served; in the frame of each.
    class presence {
    public:
        explicit presence(service& s) noexcept : at_(s) { ++at_.connections; }
        presence(const presence&) = delete;
        presence& operator=(const presence&) = delete;
        ~presence() {
            if (--at_.connections == 0) at_.last.reset();
        }

    private:
        service& at_;
    };

    std::size_t connections = 0;
    // Of a service whose listener is gone and which has connections: what they are served with. Null otherwise.
    std::shared_ptr<const served> last{};
};

// A client's connection that waits for its next request, and may be closed while it does. Lives in the waiting frame.
class idle_connection : list_node {
public:
    // `home` is the service that serves it.
    idle_connection(worker& w, socket& client, const service* home) noexcept;

private:
    friend worker;
    const slot& client_;
    const service* home_;
};

// What is alive in a worker at one moment: after a storm all of it is back at its resting level.
struct live_counts {
    std::size_t connections = 0;
    std::size_t requests = 0;
    std::size_t upstream_busy = 0;
    std::size_t upstream_idle = 0;
    std::size_t frames = 0;
    std::size_t descriptors = 0;
    std::size_t waits = 0;
    std::size_t timers = 0;
    std::size_t buffer_bytes = 0;
    std::size_t pipes = 0;
    std::ptrdiff_t memory = 0; // what counts against the memory limit

    live_counts& operator+=(const live_counts& o) noexcept;
};

// One thread's share of the server: its listener, its connections, its limits. Lives on its loop's thread.
class worker {
public:
    // `clients` counts the connections of each client, over all workers; null for no limit.
    // `traces` takes what is recorded; null: nothing is traced.
    worker(loop& l, const server_options& o, access_log* log, client_table* clients = nullptr,
           tracer* traces = nullptr);

    // Serves connections that come in on `l`, until it drains or is stopped.
    void start(listener l, service& s);
    // Closes the service's listeners and its idle connections. Its other connections go on, as the configuration that
    // is current says, and so do those that waited to be accepted: the service must outlive them.
    void stop(service& s);
    // Stops accepting, closes idle connections, and lets requests end; those of connections that waited to be accepted,
    // too.
    void drain();
    // The same when another process has the listeners, too, and goes on with them: what waits to be accepted is left to
    // it. Idle connections stay for one more request: to close them now would be to cut off who is about to send one.
    void hand_over();
    // The service's listeners.
    std::vector<listener*> listeners(service& s);
    // Ends what is left: idle connections, and the requests that still run, which see their abort signal.
    void abort();
    // Drops everything at once.
    void close() noexcept;
    // Waits until no connection is left.
    nursery::drained_awaiter drained() noexcept { return connections_.drained(); }

    const server_options& options() const noexcept { return options_; }
    live_config& config() noexcept { return config_; }
    pipe_pool& pipes() noexcept { return pipes_; }
    tracer* traces() const noexcept { return traces_; }
    bool draining() const noexcept { return draining_; }
    abort_signal aborted() const noexcept { return abort_.signal(); }
    live_counts live() const noexcept;

    // Takes one line of the access log; lines go to the log together, once per turn of the loop.
    void log(const live_flow& f);
    // The same, for a connection that ended before it was a flow.
    void log(const flow_facts& f);

    // Does what may take several turns of the loop, beside all else. It is dropped when the worker closes.
    void spawn_chore(task<> work) { chores_.spawn(std::move(work), &report_chore); }

    // How many requests or tunnels are in progress; kept by the services.
    std::size_t requests = 0;
    // Those that live, and the last that have ended.
    flow_registry flows{};
    // Which one of the server's it is.
    std::size_t number = 0;

private:
    friend idle_connection;
    // A listener, and the coroutine that accepts connections from it.
    struct door {
        explicit door(listener l) : on(std::move(l)) {}
        listener on;
        nursery accepting;
    };
    task<> accept_connections(listener& l, service& s);
    void admit(accepted a, service& s);
    void close_doors(std::vector<std::unique_ptr<door>>& doors, service& s);
    task<> shed(listener& l, service& s);
    void close_idle(const service* home) noexcept; // null: of all
    void take_reserve() noexcept;
    void refuse(socket client, service& s, int status);
    void add_line(const flow_facts& facts, const live_flow* f, bool interim) noexcept;
    task<> log_long_flows();
    static void report_chore(void*, const flow_error& e) noexcept;
    void flush();

    struct log_flush : ready {
        worker* self = nullptr;
    };

    loop& loop_;
    server_options options_;
    access_log* log_;
    client_table* clients_;
    tracer* traces_;
    std::string lines_;
    log_flush flush_;
    bool draining_ = false;
    abort_source abort_;
    pipe_pool pipes_;
    int reserve_fd_ = -1; // given up for a moment to refuse a client when there are no more descriptors
    list_node idle_;
    live_config config_;
    nursery connections_;
    nursery chores_;
    std::map<service*, std::vector<std::unique_ptr<door>>> doors_;

public:
    ~worker();
    worker(const worker&) = delete;
    worker& operator=(const worker&) = delete;
};

} // namespace headgate::gateway
