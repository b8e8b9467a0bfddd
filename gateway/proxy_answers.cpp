#include <headgate/core/sleep.hpp>

#include <algorithm>

#include <fmt/format.h>

#include <gateway/compression.hpp>
#include <gateway/export/serve.hpp>
#include <gateway/forward.hpp>
#include <gateway/path.hpp>
#include <gateway/problem.hpp>
#include <gateway/proxy.hpp>
#include <gateway/static_files.hpp>
#include <gateway/tell.hpp>

// The answers that a proxy gives by itself.
namespace headgate::gateway {

namespace {

// How much, and for how long, is read from a client after its answer, so that what it still sends does not reset the
// connection and take the answer with it.
constexpr std::size_t linger_bytes_max = 64 * 1024;
constexpr duration linger_time_max = 500ms;
constexpr duration linger_pause = 50ms; // how often it is looked at

// What is needed of the head has been taken from it.
void drop_head(request& rq) {
    rq.in.consume(rq.parsers->request.head().head_bytes);
    rq.parsers.release();
}

cause cause_of_serving(const flow_error& e) {
    return e.where == side::source ? cause::file_error : cause_of(e.code, party::client);
}

bool reads(const request& rq) { return rq.verb == http::method::get || rq.verb == http::method::head; }

} // namespace

task<> proxy::refuse(request& rq, gateway::refusal why) {
    if (why.why == cause::complete) co_return co_await complete(rq, {.status = why.status});
    rq.why = why.why;
    drop_head(rq);
    co_await answer(rq, why.status, std::move(why.detail), rq.verb != http::method::connect);
}

task<> proxy::redirect(request& rq, const route_match& m, const redirect_action& a) {
    const http::request_head& head = rq.parsers->request.head();
    std::string to(a.scheme ? std::string_view(*a.scheme) : rq.scheme);
    to += "://";
    const http::authority asked = http::parse_authority(rq.host).value_or(head.authority);
    to += a.host ? std::string_view(*a.host) : asked.host;
    if (a.port)
        to += ":" + std::to_string(*a.port);
    else if (!a.host && !a.scheme && asked.port != 0)
        to += ":" + std::to_string(asked.port);
    to += a.replace_prefix || a.replace_path
              ? replaced_path(normal_path(head.path), m.matched_prefix(), a.replace_prefix, a.replace_path)
              : std::string(head.path);
    to += head.query;
    co_await complete(rq, {.status = a.status, .fields = {{"Location", to}}});
}

task<> proxy::respond(request& rq, const respond_action& a) {
    std::vector<std::pair<std::string_view, std::string_view>> fields;
    for (const auto* list : {&a.headers.set, &a.headers.add})
        for (const auto& [name, value] : *list) fields.emplace_back(name, value);
    std::string coded; // outlives the answer
    std::string_view body = a.body;
    const int status = a.status;
    if (status != 206 && may_compress(a.compression, a.content_type, body.size())) {
        fields.emplace_back("Vary", "Accept-Encoding");
        const std::string_view coding = wanted_coding(a.compression, rq.parsers->request.head().headers);
        if (!coding.empty()) {
            body = coded = co_await compressed(body, encoder(coding, a.compression.level));
            fields.emplace_back("Content-Encoding", coding);
        }
    }
    co_await complete(rq,
                      {.status = status, .body = body, .content_type = a.content_type, .fields = std::move(fields)});
}

// To a method that does not read, where there is only something to be read.
task<> proxy::answer_other_method(request& rq, std::string_view why) {
    static const std::pair<std::string, std::string> allow[] = {{"Allow", "GET, HEAD, OPTIONS"}};
    if (rq.verb == http::method::options)
        co_return co_await complete(rq, {.status = 204, .fields = {{allow->first, allow->second}}});
    rq.why = cause::client_method;
    drop_head(rq);
    co_await answer(rq, 405, std::string(why), rq.verb != http::method::connect, allow);
}

task<> proxy::serve_static(request& rq, const snapshot::route& r, const static_action& a) {
    if (!reads(rq)) co_return co_await answer_other_method(rq, "files are read with GET and HEAD");
    rq.persistent = may_persist(rq);
    rq.flow.enter(flow_phase::wait);
    const std::string_view prefix = r.config->match.path_prefix ? *r.config->match.path_prefix : std::string_view();
    rq.life = rq.now->lives[r.place].get();
    auto end = co_await attempt(serve_file(rq, {worker_, a, *r.folder, prefix}));
    if (rq.parsers) drop_head(rq);
    rq.why = end ? cause::complete : rq.why ? rq.why : cause_of_serving(end.error());
    if (!end) worker_.flows.torn_down(executor::current().turn_time());
    if (!end && rq.flow.aborted()) rq.why = cause::aborted_by_operator;
    if (!end) co_return co_await failed(rq, std::move(end.error()));
    if (const auto& other = *end) co_await answer(rq, other->status, other->detail, true, other->fields);
}

task<> proxy::export_rows(request& rq, const snapshot::route& r, const export_action& a) {
    if (!reads(rq)) co_return co_await answer_other_method(rq, "exports are read with GET and HEAD");
    rq.persistent = may_persist(rq);
    auto plan = plan_export(rq.parsers->request.head(), r.config->match.matched_prefix(), a, r.patterns);
    drop_head(rq);
    if (!plan) {
        rq.why = cause::client_protocol;
        co_return co_await answer(rq, plan.error().status, std::move(plan.error().detail), true);
    }
    rq.upstream.set(a.source);
    rq.life = rq.now->lives[r.place].get();
    export_counts counts{.flow = &rq.flow};
    const export_route with{worker_, a, *r.statement, *rq.now->sources[r.source], *r.spool};
    auto end = co_await attempt(serve_export(rq, with, std::move(*plan), &counts));
    if (end) {
        rq.why = cause::complete;
        co_return;
    }
    worker_.flows.torn_down(executor::current().turn_time());
    export_failure f = failure_of_export(end.error(), counts);
    if (rq.flow.aborted()) f = {cause::aborted_by_operator, 503, "an operator has ended the export"};
    rq.why = f.why;
    if (end.error().where != side::sink)
        tell_line(log_level::error, "export {}: {} (request {})", r.config->name, end.error().message(), rq.id.view());
    if (!rq.answered && end.error().where != side::sink)
        co_return co_await answer(rq, f.status, std::string(f.detail), true);
    rq.client.reset(); // what it has of the answer must not look whole
    rq.persistent = false;
}

// Gives the answer that the route has for the request, for this request and connection.
task<> proxy::complete(request& rq, own_answer a) {
    drop_head(rq);
    rq.why = cause::complete;
    rq.status = a.status;
    rq.persistent = may_persist(rq);
    a.request_id = rq.id.view();
    a.keep_alive = rq.persistent;
    a.head_only = rq.verb == http::method::head;
    a.edits = rq.answer_edits.get();
    co_await send(rq, make_response(a));
}

// Whether the connection may go on after an answer of our own: if nothing of the request is left unread.
bool proxy::may_persist(const request& rq) const noexcept {
    const bool read = rq.head_read && (rq.uploaded || !rq.framing.has_body());
    return read && rq.keep_alive && !worker_.draining();
}

// Says what went wrong.
task<> proxy::answer(request& rq, int status, std::string detail, bool may_go_on,
                     std::span<const std::pair<std::string, std::string>> fields) {
    rq.status = status;
    rq.persistent = may_go_on && may_persist(rq);
    co_await send(rq, make_response(problem{.status = status,
                                            .detail = detail,
                                            .request_id = rq.id.view(),
                                            .keep_alive = rq.persistent,
                                            .head_only = rq.verb == http::method::head,
                                            .retry_after = status == 503 ? rq.retry_after : 0,
                                            .edits = rq.answer_edits.get(),
                                            .fields = fields}));
}

// Gives an answer of our own.
task<> proxy::send(request& rq, chunk answer) {
    rq.down = answer.size() - (answer.text().find("\r\n\r\n") + 4);
    if (rq.flow.kind != flow_kind::request && rq.why == cause::complete) rq.flow.enter(flow_phase::body);
    const followed_by next = rq.persistent ? followed_by::anything : followed_by::more;
    if (!co_await rq.client.write_all(answer.text(), rq.entrance.config->http.client_idle_timeout, next))
        rq.persistent = false;
}

// Ends our direction and, if the client has sent more than was used, reads on for a while: closing with unread bytes
// resets the connection, and the client might lose what it has not read yet (RFC 9112, section 9.6). Until the client's
// system has confirmed all of the answer, that goes on as long as it keeps confirming; then for linger_time_max, or
// linger_bytes_max.
task<> proxy::linger(request& rq) {
    socket& client = rq.client;
    const bool more = !rq.in.empty() || !rq.uploaded || client.state().readable;
    rq.in.release();
    if (!more || client.end()) co_return;
    std::size_t waiting_for = client.unacknowledged();
    std::size_t read = 0;
    time_point since = executor::current().turn_time();
    for (;;) {
        const std::size_t unconfirmed = client.unacknowledged();
        const duration passed = executor::current().turn_time() - since;
        if (unconfirmed < waiting_for) {
            waiting_for = unconfirmed;
            since = executor::current().turn_time();
            read = 0;
        } else if (passed >= (unconfirmed != 0 ? rq.entrance.config->http.client_idle_timeout : linger_time_max)) {
            co_return;
        }
        if (read >= linger_bytes_max) {
            if (unconfirmed == 0) co_return;
            co_await sleep_for(linger_pause);
            read = 0;
        }
        if (!co_await client.readable(linger_pause)) continue;
        chunk buffer(chunk_medium);
        const auto n = co_await client.read_some(buffer.bytes(), linger_pause);
        if (!n || *n == 0) co_return;
        read += *n;
    }
}

} // namespace headgate::gateway
