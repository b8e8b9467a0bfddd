#include <headgate/flow/pipeline.hpp>
#include <headgate/http/body.hpp>

#include <algorithm>
#include <array>

#include <gateway/exchange.hpp>
#include <gateway/outgoing.hpp>

namespace headgate::gateway {

using http::body_framing;

namespace {

constexpr std::size_t joined_body_max = 2048;

} // namespace

bool join(chunk& head, std::string_view body) { return body.size() <= joined_body_max && head.append(body); }

outgoing::outgoing(request& rq, const route_options& o, chunk head) : head_(std::move(head)) {
    if (rq.trace.record()) {
        const traceparent_text own = rq.trace.for_upstream();
        traceparent_at_ = head_.text().find({own.data(), own.size()});
    }
    const std::uint64_t length = rq.framing.how == body_framing::kind::length ? rq.framing.length : 0;
    at_hand_ = rq.framing.how == body_framing::kind::none ||
               (rq.framing.how == body_framing::kind::length && rq.in.bytes().size() >= length);
    if (at_hand_ && length != 0) {
        const std::string_view bytes = rq.in.bytes().substr(0, length);
        if (!join(head_, bytes)) body_ = rq.in.share(bytes);
        rq.in.consume(length);
        rq.up = length;
    }
    if (!at_hand_ && o.retries.enabled() && length <= o.retries.replay_buffer)
        kept_ = std::make_unique<kept>(http::replay_buffer(o.retries.replay_buffer), http::chunked_decoder(o.chunks));
    rq.uploaded = at_hand_;
}

// What was taken from the client goes before what is still to come, in the framing that the whole has.
void outgoing::rewind(request& rq) {
    rq.upload_refused = false;
    if (rq.trace.record() && traceparent_at_ != std::string_view::npos) {
        const traceparent_text now = rq.trace.for_upstream();
        std::ranges::copy(now, head_.data() + traceparent_at_);
    }
    if (!at_hand_ && begun_) {
        at_hand_ = kept_->copy.ended();
        rq.up = kept_->copy.bytes().size();
        if (at_hand_ && rq.framing.how == body_framing::kind::length)
            body_ = kept_->copy.share();
        else
            prefix_ = with_what_is_kept(rq.framing);
    }
    rq.uploaded = at_hand_;
}

chunk outgoing::with_what_is_kept(const body_framing& framing) const {
    const std::string_view bytes = kept_->copy.bytes();
    const bool chunked = framing.how == body_framing::kind::chunked;
    const std::string_view trailers = chunked && at_hand_ ? kept_->decoder.trailers() : std::string_view();
    constexpr std::size_t framing_max = 32;
    chunk out(head_.size() + bytes.size() + trailers.size() + framing_max);
    out.truncate(0);
    out.append(head_.text());
    std::array<char, http::chunk_header_max> header;
    const bool piece = chunked && !bytes.empty(); // one without bytes would be the last
    if (piece) out.append({header.data(), http::write_chunk_header(header, bytes.size())});
    out.append(bytes);
    if (piece) out.append(http::chunk_end);
    if (chunked && at_hand_) {
        out.append("0\r\n");
        out.append(trailers);
        out.append("\r\n");
    }
    return out;
}

task<> outgoing::upload(request& rq, const route& r, upstream_lease& up) {
    begun_ = true;
    http::chunked_decoder own(r.options.chunks);
    body_framing rest = rq.framing;
    if (rest.how == body_framing::kind::length) rest.length -= rq.up;
    const pace_limits upstream = r.upstream_pace();
    byte_rate rate(r.options.request_rate_max);
    const auto sent =
        co_await pipeline(rq.flow.up().watched(),
                          http::body_source{.from = &rq.client,
                                            .in = &rq.in,
                                            .framing = rest,
                                            .decoder = kept_ ? &kept_->decoder : &own,
                                            .limits = r.limits(r.options.client_pace(), upstream, rate, rq.up),
                                            .payload_max = r.options.request_body_max - rq.up,
                                            .copy = kept_ ? &kept_->copy : nullptr},
                          http::body_sink(up.connection(), rest, head(), upstream));
    if (sent) {
        rq.uploaded = true;
        rq.sent = executor::current().turn_time();
        rq.flow.sent();
        co_return;
    }
    const flow_error& e = sent.error();
    if (e.where == side::sink) {
        if (e.code != errc::idle) {
            rq.upload_refused = true;
            rq.sent = executor::current().turn_time();
            co_return;
        }
        rq.why = cause::upstream_idle;
        co_await fail(e.code, side::source, e.detail);
    }
    rq.why = cause_of(e.code, party::client);
    co_await fail(e.code, side::sink, e.detail);
}

void outgoing::forget() noexcept {
    head_ = prefix_ = body_ = chunk();
    // The decoder may be in use still.
    if (kept_) kept_->copy.give_up();
}

} // namespace headgate::gateway
