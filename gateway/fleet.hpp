#pragma once

#include <headgate/core/memory_budget.hpp>
#include <headgate/io/offload.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gateway/post_mortem/dump.hpp>
#include <gateway/worker_thread.hpp>

namespace headgate::gateway {

// The workers of a server, and what they serve. Lives on the main thread.
class fleet {
public:
    // What the workers report to, on the main thread; outlives its loop.
    struct endings {
        std::size_t running = 0;
        abort_source all_ended;
    };

    // `main` is the loop of this thread; it is where the workers report that they have ended. `log` and `traces` may be
    // null.
    fleet(const config& c, loop& main, access_log* log, tracer* traces, endings& e);

    // Starts the workers. Throws if one cannot be started.
    void start();
    // All workers serve `next` from now on, or none does: then the text says why. New listeners take over sockets from
    // `given`, if there are any for them.
    std::string change_to(const std::shared_ptr<const snapshot>& next, inheritance* given = nullptr);
    // What they serve. Not before the first change_to().
    const snapshot& current() const noexcept { return *current_; }
    // Where the listeners of current() listen: "127.0.0.1:8080 [::1]:8443".
    std::string addresses() const;

    // Other descriptors of all listening sockets, for another process. Throws std::system_error.
    std::vector<handed_socket> share();
    // Drains when another process has them.
    void hand_over();
    void drain();
    void abort();
    abort_signal all_ended() const noexcept { return endings_.all_ended.signal(); }
    bool running() const noexcept { return endings_.running != 0; }

    live_counts live();
    // The coroutines of all workers. One that does not answer within a second is left out.
    std::vector<worker_stacks> stacks();

    // Asks all workers whether they work; all_answered() tells whether all have done so since.
    void probe();
    bool all_answered() const noexcept;
    std::size_t size() const noexcept { return workers_.size(); }
    const server_options& options() const noexcept { return options_; }

private:
    static void divide(const std::string& name, std::vector<handed_socket> sockets, std::vector<given_sockets>& shares);

    server_options options_;
    endings& endings_;
    std::optional<client_table> clients_;
    std::optional<memory_budget> budget_;
    std::optional<loop_watch> watch_;
    std::optional<offload_pool> files_; // from when a route serves files; outlives the workers
    worker_thread::shared shared_;
    bound_addresses bound_;
    std::vector<std::unique_ptr<worker_thread>> workers_;
    std::shared_ptr<const snapshot> current_;
};

} // namespace headgate::gateway
