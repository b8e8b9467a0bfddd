#include <cmath>
#include <limits>
#include <new>

#include <gateway/request.hpp>
#include <gateway/trace/spans.hpp>
#include <gateway/trace/tracer.hpp>

namespace headgate::gateway {

namespace {

std::uint64_t threshold(double share) {
    if (share >= 1) return std::numeric_limits<std::uint64_t>::max();
    return static_cast<std::uint64_t>(std::ldexp(std::max(share, 0.0), 64));
}

} // namespace

tracer::tracer(const tracing_options& o, std::function<void()> wake)
    : options_(o), wake_(std::move(wake)), records_(!o.collector.empty()), below_(threshold(o.sampling.value)) {}

void tracer::begin(request& rq, trace_ids& ids) const {
    const http::message_head& head = rq.parsers->request.head();
    const bool believed =
        options_.trust == trace_trust::all || (options_.trust == trace_trust::trusted_proxies && rq.peer_trusted);
    std::optional<trace_context> given = believed ? trace_context_of(head) : std::nullopt;
    const bool keeps_state = given && usable_tracestate(head);
    trace_context own = given.value_or(trace_context());
    if (!given) {
        own.trace_high = ids.next();
        own.trace_low = ids.next();
        own.sampled = sampled(own);
    }
    own.span = ids.next();
    rq.trace.begin(own, given ? given->span : 0, keeps_state, own.sampled && records_);
    if (trace_record* record = rq.trace.record()) {
        record->host.set(rq.host.empty() ? rq.parsers->request.head().authority.text : rq.host);
        if (const http::header* agent = head.find(http::field::user_agent)) record->agent.set(agent->value);
    }
}

trace_context tracer::begin(trace_ids& ids) const {
    trace_context own{.trace_high = ids.next(), .trace_low = ids.next(), .span = ids.next()};
    own.sampled = sampled(own) && records_;
    return own;
}

void tracer::end(const request& rq) noexcept {
    if (rq.trace.record()) take_spans([&](std::string& to) { return append_spans(to, rq); });
}

void tracer::end(const live_flow& connection, const trace_context& c) noexcept {
    if (c.sampled) take_spans([&](std::string& to) { return append_tunnel_span(to, connection, c); });
}

template <class Append>
void tracer::take_spans(Append append) noexcept {
    batch made;
    bool wake = false;
    try {
        made.count = append(made.spans);
        const std::lock_guard lock(mutex_);
        if (spans_ + made.count <= options_.queue_max && bytes_ + made.spans.size() <= bytes_max) {
            const std::size_t count = made.count;
            const std::size_t bytes = made.spans.size();
            waiting_.push_back(std::move(made));
            wake = spans_ < batch_spans && spans_ + count >= batch_spans;
            spans_ += count;
            bytes_ += bytes;
            counts_.taken += count;
        } else {
            counts_.dropped += made.count;
        }
    } catch (const std::bad_alloc&) {
        const std::lock_guard lock(mutex_);
        ++counts_.dropped;
    }
    if (wake) wake_();
}

tracer::batch tracer::take() {
    batch out;
    const std::lock_guard lock(mutex_);
    while (!waiting_.empty() && out.count < batch_spans) {
        batch& next = waiting_.front();
        if (!out.spans.empty()) out.spans += ',';
        out.spans += next.spans;
        out.count += next.count;
        spans_ -= next.count;
        bytes_ -= next.spans.size();
        waiting_.pop_front();
    }
    return out;
}

tracer::counts tracer::counted() const {
    const std::lock_guard lock(mutex_);
    return counts_;
}

} // namespace headgate::gateway
