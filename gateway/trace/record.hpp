#pragma once

#include <headgate/core/executor.hpp>

#include <array>
#include <memory>
#include <optional>

#include <gateway/cause.hpp>
#include <gateway/short_text.hpp>
#include <gateway/trace/context.hpp>

namespace headgate::gateway {

// One time that a request was sent, for its span. A moment that did not come is time_point{}.
struct traced_attempt {
    std::uint64_t id = 0;
    time_point begun{};
    time_point admitted{};   // by the upstream's limit of connections
    time_point connecting{}; // a connection of its own; not with one that was kept
    time_point connected{};
    time_point answered{}; // the response's head was there
    time_point ended{};
    short_text<64> endpoint{};
    int status = 0;             // of the response
    std::optional<cause> why{}; // without one
};

// What is kept of a request that is recorded, until it has ended.
struct trace_record {
    // Of a request that was sent more often, the last attempt takes the place of the one before.
    static constexpr std::size_t attempts_max = 8;

    explicit trace_record(std::uint64_t seed) : ids(seed) {}

    trace_ids ids; // of the spans in this request's own
    std::array<traced_attempt, attempts_max> attempts{};
    std::size_t attempted = 0;
    short_text<1024> path{}; // as it was sent on, with its query
    short_text<128> host{};
    short_text<128> agent{};
};

// What a request has to do with traces. Does nothing as long as it belongs to none, and records nothing unless it is
// sampled.
class request_trace {
public:
    // The request belongs to `c`, whose span is the request's own; `parent` is the span of who asks, 0 for none. What
    // it says of the trace's state goes on with `keeps_state`.
    void begin(const trace_context& c, std::uint64_t parent, bool keeps_state, bool record) {
        context_ = c;
        parent_ = parent;
        keeps_state_ = keeps_state;
        if (record) record_ = std::make_unique<trace_record>(c.span);
    }

    bool on() const noexcept { return context_.span != 0; }
    const trace_context& context() const noexcept { return context_; }
    std::uint64_t parent() const noexcept { return parent_; }
    bool keeps_state() const noexcept { return keeps_state_; }
    trace_record* record() const noexcept { return record_.get(); }

    // The request is about to be sent.
    void begin_attempt() noexcept {
        if (!record_) return;
        traced_attempt& a = record_->attempts[std::min(record_->attempted++, trace_record::attempts_max - 1)];
        a = {};
        a.id = record_->ids.next();
        a.begun = executor::current().now();
    }
    // The last one begun; null if nothing is recorded.
    traced_attempt* attempt() const noexcept {
        if (!record_ || record_->attempted == 0) return nullptr;
        return &record_->attempts[std::min(record_->attempted, trace_record::attempts_max) - 1];
    }
    void mark(time_point traced_attempt::* at) noexcept {
        if (traced_attempt* a = attempt()) a->*at = executor::current().now();
    }

    // What the upstream is told: the attempt is the parent of what it does, or else the request.
    traceparent_text for_upstream() const noexcept {
        trace_context c = context_;
        if (const traced_attempt* a = attempt()) c.span = a->id;
        return format_traceparent(c);
    }

private:
    trace_context context_{};
    std::uint64_t parent_ = 0;
    bool keeps_state_ = false;
    std::unique_ptr<trace_record> record_{};
};

} // namespace headgate::gateway
