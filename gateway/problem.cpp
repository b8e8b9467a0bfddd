#include <headgate/http/date.hpp>
#include <headgate/http/message.hpp>

#include <ctime>

#include <fmt/format.h>

#include <gateway/head_parts.hpp>
#include <gateway/json_text.hpp>
#include <gateway/problem.hpp>

namespace headgate::gateway {

namespace {

std::string json_text(std::string_view text) {
    std::string out;
    append_json_text(out, text);
    return out;
}

} // namespace

chunk make_response(const problem& p) {
    std::string body = fmt::format(R"({{"type":"about:blank","title":"{}","status":{},"detail":"{}")",
                                   http::status_reason(p.status), p.status, json_text(p.detail));
    if (!p.request_id.empty()) body += fmt::format(R"(,"instance":"{}")", json_text(p.request_id));
    body += "}\n";
    const std::string seconds = std::to_string(p.retry_after);
    own_answer a{.status = p.status,
                 .body = body,
                 .content_type = "application/problem+json",
                 .fields = {p.fields.begin(), p.fields.end()},
                 .request_id = p.request_id,
                 .keep_alive = p.keep_alive,
                 .head_only = p.head_only,
                 .edits = p.edits};
    if (p.retry_after != 0) a.fields.emplace_back("Retry-After", seconds);
    return make_response(a);
}

chunk make_response(const own_answer& a) {
    std::size_t room = 512 + a.content_type.size() + a.request_id.size() + bytes_of(a.edits);
    for (const auto& [name, value] : a.fields) room += name.size() + value.size() + 4;
    const bool may_have_body = a.status != 204 && a.status != 304;
    const bool has_body = may_have_body && !a.head_only;
    chunk out = write_head(room + (has_body ? a.body.size() : 0), [&](http::head_writer& w) {
        w.status_line(a.status);
        if (!a.body.empty() && may_have_body) w.add(http::field::content_type, a.content_type);
        if (may_have_body) w.add(http::field::content_length, std::uint64_t{a.body.size()});
        w.add(http::field::date, http::format_date(::time(nullptr)));
        for (const auto& [name, value] : a.fields) w.add(name, value);
        add_edits(w, a.edits);
        if (!a.request_id.empty()) w.add(http::field::x_request_id, a.request_id);
        add_persistence(w, a.keep_alive, 1);
        w.add(http::field::via, via);
    });
    if (!out.empty() && has_body) out.append(a.body);
    return out;
}

} // namespace headgate::gateway
