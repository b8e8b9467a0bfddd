#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <limits>
#include <mutex>
#include <optional>
#include <string>

#include <gateway/trace/context.hpp>
#include <gateway/trace/options.hpp>

namespace headgate::gateway {

struct request;
class live_flow;

// What all workers have in common of tracing: which requests are recorded, and the queue of the spans that wait to be
// sent. The queue is bounded; what does not fit is dropped and counted.
class tracer {
public:
    // `wake` is called, on the thread of a worker, when there is enough for a batch.
    tracer(const tracing_options& o, std::function<void()> wake);

    // Puts the request into its trace: that of who asks, if he may say so and does, or a new one. From its head.
    void begin(request& rq, trace_ids& ids) const;
    // Takes the spans of a request that has ended, if it is recorded. Never waits for anybody.
    void end(const request& rq) noexcept;

    // The same for a connection that is passed on: it says of no trace, so it has one of its own, which is recorded if
    // it is sampled.
    trace_context begin(trace_ids& ids) const;
    void end(const live_flow& connection, const trace_context& c) noexcept;

    // The spans of some requests, as items of a JSON array with commas between them.
    struct batch {
        std::string spans;
        std::size_t count = 0;
    };
    // The oldest that wait: about `batch_spans` of them. An empty one if there are none.
    batch take();

    struct counts {
        std::uint64_t taken = 0;   // into the queue
        std::uint64_t dropped = 0; // for want of room
    };
    counts counted() const;
    const tracing_options& options() const noexcept { return options_; }

    static constexpr std::size_t batch_spans = 512;
    static constexpr std::size_t bytes_max = 16 * 1024 * 1024; // in the queue

private:
    bool sampled(const trace_context& begun) const noexcept { return below_ == all || begun.trace_low < below_; }
    template <class Append>
    void take_spans(Append append) noexcept;

    static constexpr std::uint64_t all = std::numeric_limits<std::uint64_t>::max();
    const tracing_options options_;
    const std::function<void()> wake_;
    const bool records_;
    const std::uint64_t below_; // what the low half of a trace's id must be below for it to be sampled
    mutable std::mutex mutex_;
    std::deque<batch> waiting_;
    std::size_t spans_ = 0;
    std::size_t bytes_ = 0;
    counts counts_;
};

} // namespace headgate::gateway
