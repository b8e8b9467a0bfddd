#include <headgate/core/sleep.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/http/body.hpp>
#include <headgate/io/spool.hpp>

#include <array>

#include <gateway/compression.hpp>
#include <gateway/outgoing.hpp>
#include <gateway/response.hpp>
#include <gateway/spooled_response.hpp>

namespace headgate::gateway {

using http::body_framing;

namespace {

// The upstream has given its last byte.
void let_go(const request& rq, const arriving_response& from) {
    if (!rq.uploaded) return;
    part(from.up, true, from.reusable);
    from.share.end();
}

stream<chunk> body_to_its_end(http::body_source s, const request* rq, arriving_response from) {
    const bool counted = from.framing.how == body_framing::kind::length;
    std::uint64_t left = from.framing.length;
    stream<chunk> body = std::move(s).into_stream();
    while (std::optional<chunk> piece = co_await body.next()) {
        left -= counted ? piece->size() : 0;
        if (counted && left == 0) let_go(*rq, from); // not only when there is room for this in the spool
        co_yield std::move(*piece);
    }
    if (from.up) let_go(*rq, from);
}

struct upstream_body {
    http::body_source body;
    const request* rq;
    arriving_response from;

    stream<chunk> into_stream() && { return body_to_its_end(std::move(body), rq, from); }
    const char* name() const noexcept { return "upstream"; }
};

// Gives an empty piece, with which the head goes, if the body is longer in coming; that is read already then.
stream<chunk> head_at_once(stream<chunk> in) {
    if (!co_await in.ready()) co_yield chunk();
    while (std::optional<chunk> piece = co_await in.next()) co_yield std::move(*piece);
}

struct head_first {
    stream<chunk> operator()(stream<chunk> in) const { return head_at_once(std::move(in)); }
    const char* name() const noexcept { return "head"; }
};

// The client. It is what a limit on the response's rate holds back.
class client_sink {
public:
    // `trailers` has those of the body, when all of it has come; null if they stay behind.
    client_sink(request& rq, http::body_sink body, std::uint64_t rate_max, const http::chunked_decoder* trailers)
        : rq_(&rq), body_(std::move(body)), rate_(rate_max), trailers_(trailers) {}

    task<> write(chunk piece) {
        do {
            if (const duration pause = rate_.pause(); pause != duration::zero()) co_await sleep_for(pause);
            const std::size_t n = std::min(piece.size(), rate_.slice());
            co_await body_.write(piece.slice(0, n));
            piece.remove_prefix(n);
            rq_->down += n;
            rate_.moved(n);
        } while (!piece.empty());
    }
    task<> finish() { return body_.finish(trailers_ ? trailers_->trailers() : std::string_view()); }
    const char* name() const noexcept { return "client"; }

private:
    request* rq_;
    http::body_sink body_;
    byte_rate rate_;
    const http::chunked_decoder* trailers_;
};

cause cause_of_end(const flow_error& e) {
    switch (e.where) {
    case side::source: return cause_of(e.code, party::upstream);
    case side::stage: return out_of_resources(e.code) ? cause::overloaded : cause::file_error;
    default: return cause_of(e.code, party::client);
    }
}

// A response without a body, or whose body has come with its head.
task<> send_at_hand(request& rq, const route& r, arriving_response from, chunk head) {
    const std::uint64_t length = from.framing.how == body_framing::kind::length ? from.framing.length : 0;
    chunk body;
    if (length != 0) {
        body = from.up.in().share(from.up.in().bytes().substr(0, length));
        from.up.in().consume(length);
    }
    let_go(rq, from);
    std::array<iovec, 2> parts{{{head.data(), head.size()}, {body.data(), body.size()}}};
    const auto written =
        co_await rq.client.write_all(std::span(parts.data(), length == 0 ? 1 : 2), r.options.client_idle_timeout);
    if (!written) co_await fail(written.error(), side::sink);
    rq.down = length;
}

} // namespace

task<> send_spooled(request& rq, const route& r, arriving_response from, body_framing to, chunk head,
                    std::string_view coding) {
    if (from.at_hand && coding.empty()) co_return co_await send_at_hand(rq, r, from, std::move(head));
    http::body_sink body(rq.client, to, std::move(head), r.client_pace());
    http::chunked_decoder decoder(r.options.chunks);
    upstream_body source{
        .body = {.from = &from.up.connection(),
                 .in = &from.up.in(),
                 .framing = from.framing,
                 .decoder = &decoder,
                 .limits = {.buffer_bytes = r.on.options().stream_buffer, .source = r.options.upstream_pace()}},
        .rq = &rq,
        .from = from};
    const bool has_trailers = from.framing.how == body_framing::kind::chunked && coding.empty();
    client_sink sink(rq, std::move(body), r.options.response_rate_max, has_trailers ? &decoder : nullptr);
    const spooled spool(r.options.response.spool_memory, r.options.response.spool_disk, *r.spool);
    const outcome end =
        coding.empty()
            ? co_await pipeline(rq.flow.down().watched(), std::move(source), spool, head_first(), std::move(sink))
            : co_await pipeline(rq.flow.down().watched(), std::move(source),
                                encoder(coding, r.options.compression.level), spool, head_first(), std::move(sink));
    if (end) co_return;
    const flow_error& e = end.error();
    rq.why = cause_of_end(e);
    co_await fail(e.code, e.where, e.detail);
}

} // namespace headgate::gateway
