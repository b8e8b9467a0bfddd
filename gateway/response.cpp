#include <headgate/core/memory_budget.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/http/body.hpp>
#include <headgate/http/token.hpp>
#include <headgate/stages/tally.hpp>

#include <algorithm>
#include <array>

#include <gateway/compression.hpp>
#include <gateway/forward.hpp>
#include <gateway/outgoing.hpp>
#include <gateway/response.hpp>
#include <gateway/spooled_response.hpp>

namespace headgate::gateway {

using http::body_framing;
using http::parse_state;

namespace {

constexpr side client_side = side::sink;
constexpr side upstream_side = side::source;

// Most response heads, with the beginning of the body, fit into this.
constexpr std::size_t response_buffer = 16 * 1024;

// Gives false: whether there is an answer.
bool no_answer(failed_try& f, cause why, std::error_code code, std::string_view detail = {}) {
    f = {.why = why, .code = code, .detail = detail};
    return false;
}

// What is awaited when the upstream's response is not one that can be passed on.
fail not_to_be_passed_on(request& rq, const char* detail = "its head cannot be passed on") {
    rq.why = cause::upstream_protocol;
    return fail(errc::protocol, upstream_side, detail);
}

// The same, when the body did not get through.
fail passed_on_in_part(request& rq, const flow_error& e) {
    rq.why = cause_of(e.code, e.where == upstream_side ? party::upstream : party::client);
    return fail(e.code, e.where, e.detail);
}

// The time that is left for the response's head: none of it passes while the request is still being sent.
duration head_time_left(const request& rq, const route& r) {
    const duration limit = std::min(r.options.first_byte_timeout, r.options.retries.per_try_timeout);
    if (!rq.uploaded && !rq.upload_refused) return limit;
    const time_point now = executor::current().turn_time();
    const duration left = std::min(limit - (now - rq.sent), rq.answer_by - now);
    return std::max<duration>(left, duration::zero());
}

// Reads more of the response's head. Gives whether there was more.
task<bool> read_more(request& rq, const route& r, upstream_lease& up, failed_try& f) {
    for (;;) {
        const duration left = head_time_left(rq, r);
        const auto ready = co_await up.connection().readable(left);
        if (ready) break;
        if (head_time_left(rq, r) > duration::zero()) continue;
        co_return no_answer(f, cause::upstream_timeout, errc::timed_out);
    }
    const auto n = co_await up.connection().read_some(
        up.in().room(up.in().empty() ? memory_share(response_buffer) : response_buffer));
    if (!n || *n == 0) {
        if (up.in().empty()) up.in().release();
        const std::error_code why = n ? make_error_code(errc::premature_close) : n.error();
        co_return no_answer(f, cause_of(why, party::upstream), why);
    }
    up.in().received(*n);
    co_return true;
}

task<> relay_interim(request& rq, const route& r, upstream_lease& up) {
    const http::response_head& head = rq.parsers->response.head();
    if (rq.client_minor != 0) {
        rq.hinted = true;
        const chunk out = make_interim_head(head);
        const auto written = co_await rq.client.write_all(out.text(), r.options.client_idle_timeout);
        if (!written) co_await fail(written.error(), client_side);
    }
    up.in().consume(head.head_bytes);
    rq.parsers->response.reset(rq.verb);
    up.in().make_contiguous(response_buffer);
}

} // namespace

task<bool> read_response_head(request& rq, const route& r, upstream_lease& up, failed_try& f) {
    rq.parsers->response.set_limits(r.options.response_heads);
    rq.parsers->response.reset(rq.verb);
    std::size_t interim = 0;
    bool any = false;
    for (;;) {
        if (!up.in().empty()) {
            const http::parse_result p = rq.parsers->response.parse(up.in().bytes());
            if (p.state == parse_state::error)
                co_return no_answer(f, cause::upstream_protocol, errc::protocol, p.error.reason);
            if (p.state == parse_state::complete) {
                const http::response_head& head = rq.parsers->response.head();
                if (!head.informational() || head.status == 101) co_return true;
                if (++interim > r.options.interim_responses_max)
                    co_return no_answer(f, cause::upstream_protocol, errc::protocol, "it sent too many 1xx responses");
                co_await relay_interim(rq, r, up);
                continue;
            }
            if (up.in().full()) {
                // The whole head must lie in one piece: it moves to a buffer that takes more, in the end the longest
                // allowed.
                const bool long_one = up.in().bytes().size() >= response_buffer;
                up.in().make_contiguous(long_one ? r.options.response_heads.head_bytes_max + 1 : response_buffer);
                rq.parsers->response.reset(rq.verb);
            }
        }
        if (!co_await read_more(rq, r, up, f)) {
            f.silent = !any && f.why != cause::upstream_timeout;
            co_return false;
        }
        any = true;
    }
}

namespace {

// Sends the body as it comes, compressed. Trailers, which may speak of the bytes that came, stay behind.
task<> send_compressed(request& rq, const route& r, upstream_lease& up, body_framing from, http::body_sink to,
                       std::string_view coding) {
    if (up.in().empty()) co_await to.send_head(); // the body may be long in coming
    http::chunked_decoder decoder(r.options.chunks);
    byte_rate rate(r.options.response_rate_max);
    std::uint64_t plain = 0;
    tally_counts sent;
    const auto end = co_await pipeline(
        rq.flow.down().watched(),
        http::body_source{.from = &up.connection(),
                          .in = &up.in(),
                          .framing = from,
                          .decoder = &decoder,
                          .limits = r.limits(r.options.upstream_pace(), r.options.client_pace(), rate, plain)},
        encoder(coding, r.options.compression.level), tally(&sent), std::move(to));
    rq.down = sent.bytes;
    if (!end) co_await passed_on_in_part(rq, end.error());
}

} // namespace

task<bool> send_response(request& rq, const route& r, upstream_lease& up, retry_budget::share& share) {
    const http::response_head& head = rq.parsers->response.head();
    const body_framing from = head.framing;
    body_framing to = from;
    if (rq.client_minor == 0 && from.how == body_framing::kind::chunked) to.how = body_framing::kind::until_close;
    const bool reusable = head.keep_alive && head.minor_version == 1;
    const bool varies = may_compress(r.options.compression, head);
    const std::string_view coding = varies ? rq.coding : std::string_view();
    if (!coding.empty()) to.how = rq.client_minor == 0 ? body_framing::kind::until_close : body_framing::kind::chunked;
    const std::uint64_t length = from.how == body_framing::kind::length ? from.length : 0;
    const bool at_hand = from.how == body_framing::kind::none ||
                         (from.how == body_framing::kind::length && up.in().bytes().size() - head.head_bytes >= length);
    // A final answer in the midst of an upload ends the upload if it is an error or is complete; otherwise the two go
    // on side by side.
    const bool cuts_upload = !rq.uploaded && (head.status >= 300 || at_hand);
    rq.persistent = rq.keep_alive && to.how != body_framing::kind::until_close && !r.on.draining() && !cuts_upload;
    chunk out = make_client_head(head, {.body = to,
                                        .persistent = rq.persistent,
                                        .client_minor = rq.client_minor,
                                        .request_id = rq.id.view(),
                                        .edits = r.action.response_headers.if_any(),
                                        .policy_edits = rq.answer_edits.get(),
                                        .coding = coding,
                                        .varies = varies && !varies_by_encoding(head.headers)});
    if (out.empty()) co_await not_to_be_passed_on(rq);
    up.in().consume(head.head_bytes);
    rq.status = head.status;
    rq.answered = true;
    rq.parsers.release();
    rq.flow.first_byte();
    rq.flow.enter(flow_phase::body);

    if (r.spool) {
        co_await send_spooled(rq, r, {up, share, from, at_hand, reusable}, to, std::move(out), coding);
    } else if (!coding.empty()) {
        co_await send_compressed(rq, r, up, from, http::body_sink(rq.client, to, std::move(out), r.client_pace()),
                                 coding);
    } else if (at_hand) {
        const std::string_view body = up.in().bytes().substr(0, length);
        const bool joined = join(out, body);
        std::array<iovec, 2> parts{{{out.data(), out.size()}, {const_cast<char*>(body.data()), body.size()}}};
        const auto written =
            co_await rq.client.write_all(std::span(parts.data(), joined ? 1 : 2), r.options.client_idle_timeout,
                                         rq.persistent ? followed_by::anything : followed_by::more);
        if (!written) co_await fail(written.error(), client_side);
        up.in().consume(length);
        rq.down = length;
    } else {
        http::chunked_decoder decoder(r.options.chunks);
        const pace_limits client = r.client_pace();
        byte_rate rate(r.options.response_rate_max);
        const auto sent =
            co_await pipeline(rq.flow.down().watched(),
                              http::body_source{.from = &up.connection(),
                                                .in = &up.in(),
                                                .framing = from,
                                                .decoder = &decoder,
                                                .limits = r.limits(r.options.upstream_pace(), client, rate, rq.down)},
                              http::body_sink(rq.client, to, std::move(out), client));
        if (!sent) co_await passed_on_in_part(rq, sent.error());
    }
    co_return reusable;
}

task<> switch_protocols(request& rq, const route& r, upstream_lease& up) {
    const http::response_head& head = rq.parsers->response.head();
    if (rq.switch_to.empty() || !http::same_token(head.value(http::field::upgrade), rq.switch_to))
        co_await not_to_be_passed_on(rq, "it switched to a protocol that was not asked for");
    const chunk out = make_switch_head(head, {.protocol = rq.switch_to, .request_id = rq.id.view()});
    if (out.empty()) co_await not_to_be_passed_on(rq);
    up.in().consume(head.head_bytes);
    rq.status = head.status;
    rq.answered = true;
    rq.parsers.release();
    const auto written = co_await rq.client.write_all(out.text(), r.options.client_idle_timeout);
    if (!written) co_await fail(written.error(), client_side);
}

// Its connection can be used again if all of it is there.
void discard_response(request& rq, upstream_lease& up) {
    const http::response_head& head = rq.parsers->response.head();
    const std::uint64_t length = head.framing.how == body_framing::kind::length ? head.framing.length : 0;
    const bool whole =
        (head.framing.how == body_framing::kind::none || head.framing.how == body_framing::kind::length) &&
        up.in().bytes().size() - head.head_bytes >= length;
    if (!rq.uploaded || !whole || !head.keep_alive || head.minor_version != 1) return up.drop();
    up.in().consume(head.head_bytes + length);
    up.give_back();
}

void part(upstream_lease& up, bool uploaded, bool reusable) {
    if (!uploaded)
        up.drop();
    else if (reusable)
        up.give_back();
    else
        up.close();
}

} // namespace headgate::gateway
