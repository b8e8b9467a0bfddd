#include <headgate/http/date.hpp>
#include <headgate/http/message.hpp>
#include <headgate/http/writer.hpp>

#include <ctime>

#include <fmt/format.h>

#include <gateway/json_text.hpp>
#include <gateway/problem.hpp>

namespace headgate::gateway {

namespace {

std::string json_text(std::string_view text) {
    std::string out;
    append_json_text(out, text);
    return out;
}

std::string http_date() { return http::format_date(::time(nullptr)); }

} // namespace

chunk make_response(const problem& p) {
    const std::string_view title = http::status_reason(p.status);
    std::string body = fmt::format(R"({{"type":"about:blank","title":"{}","status":{},"detail":"{}")", title, p.status,
                                   json_text(p.detail));
    if (!p.request_id.empty()) body += fmt::format(R"(,"instance":"{}")", json_text(p.request_id));
    body += "}\n";
    std::string text = fmt::format("HTTP/1.1 {} {}\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n",
                                   p.status, title, body.size());
    text += "Date: " + http_date() + "\r\n";
    if (!p.request_id.empty()) text += fmt::format("X-Request-Id: {}\r\n", p.request_id);
    if (p.retry_after != 0) text += fmt::format("Retry-After: {}\r\n", p.retry_after);
    if (p.edits)
        for (const auto* list : {&p.edits->set, &p.edits->add})
            for (const auto& [name, value] : *list) text += fmt::format("{}: {}\r\n", name, value);
    for (const auto& [name, value] : p.fields) text += fmt::format("{}: {}\r\n", name, value);
    if (!p.keep_alive) text += "Connection: close\r\n";
    text += "Via: 1.1 headgate\r\n\r\n";
    if (!p.head_only) text += body;
    return chunk(text);
}

chunk make_response(const own_answer& a) {
    std::size_t bytes = 512 + a.body.size() + a.content_type.size() + a.request_id.size();
    for (const auto& [name, value] : a.fields) bytes += name.size() + value.size() + 4;
    for (const auto* list : {a.edits ? &a.edits->set : nullptr, a.edits ? &a.edits->add : nullptr})
        if (list)
            for (const auto& [name, value] : *list) bytes += name.size() + value.size() + 4;
    chunk out(bytes);
    http::head_writer w(out.bytes());
    w.status_line(a.status);
    const bool may_have_body = a.status != 204 && a.status != 304;
    if (!a.body.empty() && may_have_body) w.add(http::field::content_type, a.content_type);
    if (may_have_body) w.add(http::field::content_length, std::uint64_t{a.body.size()});
    w.add(http::field::date, http_date());
    for (const auto& [name, value] : a.fields) w.add(name, value);
    for (const auto* list : {a.edits ? &a.edits->set : nullptr, a.edits ? &a.edits->add : nullptr})
        if (list)
            for (const auto& [name, value] : *list) w.add(name, value);
    if (!a.request_id.empty()) w.add(http::field::x_request_id, a.request_id);
    if (!a.keep_alive) w.add(http::field::connection, "close");
    w.add(http::field::via, "1.1 headgate");
    const std::size_t head = w.end();
    if (head == 0) return {};
    out.truncate(head);
    if (may_have_body && !a.head_only) out.append(a.body);
    return out;
}

} // namespace headgate::gateway
