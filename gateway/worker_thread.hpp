#pragma once

#include <headgate/core/abort.hpp>
#include <headgate/core/memory_budget.hpp>
#include <headgate/io/linux_kernel.hpp>

#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gateway/inheritance.hpp>
#include <gateway/post_mortem/dump.hpp>
#include <gateway/post_mortem/loop_watch.hpp>
#include <gateway/worker.hpp>

namespace headgate::gateway {

// Where listeners listen, by the address that the configuration names: they differ where that says port 0.
using bound_addresses = std::map<std::string, address, std::less<>>;
// Sockets that somebody else has opened, by the same.
using given_sockets = std::map<std::string, std::vector<handed_socket>, std::less<>>;

// A worker on a thread of its own, with its own loop, and a listener of its own for each address (SO_REUSEPORT). All
// functions are called from the thread that owns the object; they pass on what they are asked to the worker's.
class worker_thread {
public:
    // What it has in common with the others. Outlives it.
    struct shared {
        server_options options;
        access_log* log = nullptr;
        client_table* clients = nullptr;
        tracer* traces = nullptr;
        memory_budget* budget = nullptr;
        loop_watch* watch = nullptr;   // none if it is not watched
        offload_pool* files = nullptr; // none as long as no route reads files; set before such a one is prepared
        std::function<void()> ended;   // called on the worker's thread when it has drained or stopped
    };

    // Starts the thread, the one of this number. Throws if it cannot be started.
    worker_thread(const shared& s, std::size_t number);
    worker_thread(const worker_thread&) = delete;
    worker_thread& operator=(const worker_thread&) = delete;
    ~worker_thread();

    // Opens the listeners that `next` has and the worker has not, and adds them to `at`, which says where those with
    // port 0 are to be. Those of which there are sockets in `given`, by the address in the configuration, are not
    // opened but taken over. Serves nothing new yet. Returns when that is done; the text says what went wrong: then
    // nothing has changed.
    std::string prepare(std::shared_ptr<const snapshot> next, bound_addresses& at, given_sockets given = {});
    // Serves what was prepared.
    void commit();
    // Closes what was prepared.
    void forget();

    // Other descriptors of all its listening sockets, which are named by the address in the configuration. Throws
    // std::system_error.
    std::vector<handed_socket> share();
    // Drains when another process has the listeners. When it returns nothing more is accepted here.
    void hand_over();
    void drain();
    void abort();
    live_counts live();
    // How long the turns of its loop took, also while it is held up. Not after it was told to leave.
    turn_times::counts turns() const;
    // Its coroutines and flows; nothing if it does not answer in time.
    std::optional<worker_stacks> stacks(duration limit);

    // Runs `f` on the worker's thread, some time. What it throws is dropped.
    void post(std::function<void(worker&)> f);

    // Asks the worker whether it works, if it has answered before.
    void probe();
    bool has_answered() const noexcept { return answered_; }

private:
    struct inside;
    void run(std::promise<inside*> ready);
    void call(std::function<void(inside&)> f);
    void call_and_wait(std::function<void(inside&)> f);

    const shared& shared_;
    const std::size_t number_;
    std::atomic<bool> answered_ = true;
    inside* inside_ = nullptr; // on the worker's thread; until it is told to leave
    std::thread thread_;
};

// Runs a function once on another loop's thread, and is gone after it.
void call_on(loop& l, std::function<void()> f);

} // namespace headgate::gateway
