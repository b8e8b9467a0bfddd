#include <headgate/core/abort_watch.hpp>
#include <headgate/core/memory_budget.hpp>
#include <headgate/db/error.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/http/body.hpp>
#include <headgate/http/date.hpp>
#include <headgate/io/peer_watch.hpp>
#include <headgate/io/spool.hpp>

#include <array>
#include <ctime>
#include <memory>

#include <fmt/format.h>
#include <openssl/evp.h>

#include <gateway/export/serve.hpp>
#include <gateway/head_parts.hpp>

namespace headgate::gateway {

namespace {

using http::body_framing;
using http::field;

// SHA-256 of what is sent, for Content-Digest (RFC 9530).
class digest {
public:
    digest() : context_(EVP_MD_CTX_new()) {
        if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1) throw std::bad_alloc();
    }
    void add(std::string_view bytes) { EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()); }
    std::string base64() {
        std::array<unsigned char, EVP_MAX_MD_SIZE> sum{};
        std::array<unsigned char, 2 * EVP_MAX_MD_SIZE> text{};
        unsigned n = 0;
        EVP_DigestFinal_ex(context_.get(), sum.data(), &n);
        const int size = EVP_EncodeBlock(text.data(), sum.data(), static_cast<int>(n));
        return {text.begin(), text.begin() + size};
    }

private:
    struct freed {
        void operator()(EVP_MD_CTX* c) const noexcept { EVP_MD_CTX_free(c); }
    };
    std::unique_ptr<EVP_MD_CTX, freed> context_;
};

double milliseconds(duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

// The body of the response, with trailers at its end if the client takes them.
class export_sink {
public:
    export_sink(request& rq, http::body_sink body, const export_counts* counts, bool trailers)
        : rq_(&rq), body_(std::move(body)), counts_(counts), begun_(executor::current().turn_time()) {
        if (trailers) digest_.emplace();
    }

    task<> write(chunk piece) {
        begin();
        rq_->down += piece.size();
        if (digest_) digest_->add(piece.text());
        return body_.write(std::move(piece));
    }
    task<> finish() {
        begin();
        // In a later turn than the last row came, so that something was sent to the client meanwhile.
        if (counts_->released && rq_->flow.meters && executor::current().turn_time() > *counts_->released)
            ++rq_->flow.meters->returned_early;
        if (!digest_) return body_.finish();
        const time_point now = executor::current().now();
        const time_point leased = counts_->leased.value_or(now);
        trailers_ = fmt::format("Content-Digest: sha-256=:{}:\r\nExport-Rows: {}\r\n"
                                "Server-Timing: queue;dur={:.1f}, hold;dur={:.1f}, client;dur={:.1f}\r\n",
                                digest_->base64(), counts_->rows, milliseconds(leased - counts_->asked),
                                milliseconds(counts_->released.value_or(now) - leased), milliseconds(now - begun_));
        return body_.finish(trailers_);
    }
    const char* name() const noexcept { return "client"; }

private:
    void begin() noexcept {
        if (!rq_->answered && rq_->flow.phase() == flow_phase::wait) rq_->flow.enter(flow_phase::body); // no rows
        rq_->answered = true;
        rq_->status = 200;
    }

    request* rq_;
    http::body_sink body_;
    const export_counts* counts_;
    time_point begun_;
    std::optional<digest> digest_;
    std::string trailers_;
};

stream<row_batch> counted(stream<row_batch> in, export_counts* counts, std::size_t rows_max) {
    while (std::optional<row_batch> batch = co_await in.next()) {
        if (counts->flow && counts->rows == 0) {
            counts->flow->first_byte();
            counts->flow->enter(flow_phase::body);
        }
        counts->rows += batch->rows();
        if (counts->rows > rows_max)
            co_await fail(errc::limit_exceeded, side::source, fmt::format("it has more than {} rows", rows_max));
        co_yield std::move(*batch);
    }
    counts->released = executor::current().now();
    if (counts->flow) counts->flow->release();
}

stream<chunk> limited(stream<chunk> in, export_counts* counts, std::size_t bytes_max) {
    while (std::optional<chunk> piece = co_await in.next()) {
        counts->bytes += piece->size();
        if (counts->bytes > bytes_max)
            co_await fail(errc::limit_exceeded, side::source, fmt::format("it has more than {} bytes", bytes_max));
        co_yield std::move(*piece);
    }
}

struct row_limit {
    export_counts* counts;
    std::size_t rows_max;
    stream<row_batch> operator()(stream<row_batch> in) const { return counted(std::move(in), counts, rows_max); }
    const char* name() const noexcept { return "rows"; }
};

struct byte_limit {
    export_counts* counts;
    std::size_t bytes_max;
    stream<chunk> operator()(stream<chunk> in) const { return limited(std::move(in), counts, bytes_max); }
    const char* name() const noexcept { return "bytes"; }
};

// An empty chunk if a field of it cannot be written.
chunk make_export_head(const request& rq, const export_plan& plan, const body_framing& framing) {
    const header_edits* const edits = rq.answer_edits.get();
    return write_head(1024 + plan.disposition.size() + bytes_of(edits), [&](http::head_writer& w) {
        w.status_line(200);
        w.add(field::content_type, plan.content_type);
        w.add(framing);
        if (plan.coding != export_coding::identity && !plan.packed)
            w.add(field::content_encoding, to_string(plan.coding));
        w.add(field::content_disposition, plan.disposition);
        w.add(field::vary, "Accept, Accept-Encoding");
        w.add(field::cache_control, "no-store");
        if (plan.trailers) w.add(field::trailer, "Content-Digest, Export-Rows, Server-Timing");
        w.add(field::date, http::format_date(::time(nullptr)));
        add_edits(w, edits);
        w.add(field::via, via);
        w.add(field::x_request_id, rq.id.view());
        add_persistence(w, rq.persistent, rq.client_minor);
    });
}

// Hears when the query has its connection: what comes before is a wait in the pool's queue, and holds nothing.
struct lease_heard : db::lease_listener {
    export_counts* counts;

    explicit lease_heard(export_counts* c) noexcept : counts(c) {
        leased = [](db::lease_listener& l) noexcept {
            export_counts& c = *static_cast<lease_heard&>(l).counts;
            c.leased = executor::current().now();
            if (!c.flow) return;
            c.flow->hold();
            c.flow->enter(flow_phase::wait);
        };
    }
};

struct query_source {
    db::database* from;
    const db::query* what;
    std::vector<db::parameter> values;
    db::query_options options;

    stream<row_batch> into_stream() && { return from->rows(*what, std::move(values), std::move(options)); }
    const char* name() const noexcept { return "query"; }
};

} // namespace

task<> serve_export(request& rq, export_route r, export_plan plan, export_counts* counts) {
    place& at = co_await here();
    rq.flow.enter(rq.verb == http::method::head ? flow_phase::wait : flow_phase::queue);
    const peer_watch client_watch(rq.client, at, side::sink);
    const abort_watch drain_watch(rq.life->ended(), at);
    const abort_point by_operator(rq.flow, at);
    co_await checkpoint(); // for a client that has gone already nothing is begun

    body_framing framing{.how = body_framing::kind::chunked};
    if (rq.client_minor == 0) framing.how = body_framing::kind::until_close;
    if (framing.how == body_framing::kind::until_close) rq.persistent = false;
    chunk head = make_export_head(rq, plan, framing);
    if (head.empty()) co_await fail(errc::failed, side::caller, "the head cannot be written");
    const export_action& a = r.action;
    if (rq.verb == http::method::head) { // the query is not run
        rq.answered = true;
        rq.status = 200;
        const auto written = co_await rq.client.write_all(head.text(), a.client_idle_timeout);
        if (!written) co_await fail(idle_if_timed_out(written.error()), side::sink);
        co_return;
    }
    lease_heard lease(counts);
    query_source from{&r.source,
                      &r.statement,
                      std::move(plan.values),
                      {.timeout = a.timeout, .batch_bytes = memory_share(row_batch::usual_bytes), .listener = &lease}};
    if (plan.format == export_format::csv) from.options.csv = a.csv;
    export_sink to(rq, http::body_sink(rq.client, framing, std::move(head), bounded(a.client_pace(), r.on.options())),
                   counts, plan.trailers);
    const row_limit rows{counts, a.rows_max};
    const byte_limit bytes{counts, a.bytes_max};
    const spooled spool(a.spool_memory, a.spool_disk, r.spool);
    const format_stage format(plan.format, a.csv);
    counts->asked = executor::current().now();
    const outcome end =
        plan.coding == export_coding::identity
            ? co_await pipeline(rq.flow.down().watched(), std::move(from), rows, format, bytes, spool, std::move(to))
            : co_await pipeline(rq.flow.down().watched(), std::move(from), rows, format, bytes,
                                coding_stage(plan.coding), spool, std::move(to));
    if (!end) co_await fail(end.error().code, end.error().where, end.error().detail);
}

export_failure failure_of_export(const flow_error& e, const export_counts& counts) {
    if (e.where == side::sink) return {cause_of(e.code, party::client), 408, "the client took too little"};
    if (e.code == errc::aborted) return {cause::drained, 503, "the gateway is shutting down"};
    if (e.code == errc::overloaded) return {cause::upstream_busy, 503, "too many exports wait for the database"};
    if (e.code == errc::limit_exceeded) return {cause::query_failed, 500, "the result is larger than allowed"};
    if (e.code == errc::timed_out && !counts.leased)
        return {cause::upstream_busy, 503, "no connection to the database became free in time"};
    if (e.code == std::errc::illegal_byte_sequence)
        return {cause::query_failed, 500, "a text of the result is not UTF-8"};
    const std::string_view text = db::public_message(e.code);
    switch (db::failure_of(e.code)) {
    case db::failure::unavailable: return {cause::upstream_unreachable, 503, text};
    case db::failure::conflict:
    case db::failure::busy: return {cause::upstream_busy, 503, text};
    case db::failure::timed_out: return {cause::upstream_timeout, 504, text};
    case db::failure::data: return {cause::query_failed, 400, text};
    default: return {cause::query_failed, 500, text};
    }
}

} // namespace headgate::gateway
