#pragma once

#include <headgate/core/abort.hpp>
#include <headgate/core/nursery.hpp>
#include <headgate/io/loop.hpp>
#include <headgate/io/tls_context.hpp>

#include <atomic>

#include <gateway/trace/tracer.hpp>

namespace headgate::gateway {

// Sends the spans of a tracer to its collector, from the main loop: OTLP over HTTP, in its JSON encoding. One batch at
// a time is on its way; one that the collector cannot take at the moment is sent again, a few times, and then dropped;
// meanwhile the queue fills, and drops. What happens is told on standard error when it changes.
class trace_exporter {
public:
    // Outlives everybody who gives the tracer something, and the loop. Throws std::runtime_error if a file that TLS
    // with the collector needs cannot be used.
    explicit trace_exporter(const tracing_options& o);
    trace_exporter(const trace_exporter&) = delete;
    trace_exporter& operator=(const trace_exporter&) = delete;

    tracer& traces() noexcept { return tracer_; }
    const tracer& traces() const noexcept { return tracer_; }
    // Begins to send, if there is a collector. `main` is the loop of this thread.
    void start(loop& main);
    // Sends what is left: waits for what is on its way, and tries nothing twice from now on. Nothing else is given to
    // the tracer.
    task<> finish();
    // Ends all that goes on; before the loop ends.
    void stop() noexcept { sender_.clear(); }

    struct counts {
        std::uint64_t exported = 0; // spans
        std::uint64_t rejected = 0; // by the collector
        std::uint64_t given_up = 0; // that it could not be given
    };
    const counts& counted() const noexcept { return counts_; }

    static constexpr int tries_max = 5; // of one batch
    static constexpr duration pause_min = std::chrono::seconds(1);
    static constexpr duration pause_max = std::chrono::seconds(30);

private:
    struct waking : remote_job {
        trace_exporter* self = nullptr;
        std::atomic<bool> posted = false;
    };
    struct attempt_end {
        bool done = false; // nothing is left to be tried
        duration pause{};
    };
    void wake() noexcept;
    task<> keep_sending();
    task<> send_all();
    task<attempt_end> send();
    void load_tls_again();
    void tell(std::string what);
    void tell_dropped();

    loop* main_ = nullptr;
    tracer tracer_;
    const std::string url_;
    std::optional<tls_client_context> tls_; // with a collector at https://
    const std::string before_;              // what comes before the spans of a request to the collector
    tracer::batch sending_;
    counts counts_;
    std::string told_;
    std::uint64_t dropped_told_ = 0;
    waking waking_;
    std::optional<abort_source> awake_{};
    std::optional<abort_source> finishing_{};
    nursery sender_;
};

} // namespace headgate::gateway
