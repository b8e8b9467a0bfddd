#include <headgate/http/list_fields.hpp>
#include <headgate/http/token.hpp>

#include <algorithm>
#include <charconv>
#include <string>

#include <gateway/forward.hpp>
#include <gateway/head_parts.hpp>

namespace headgate::gateway {

using http::field;

namespace {

// Whoever comes with this field himself does not get it through: it is only ever ours.
constexpr std::string_view client_subject = "X-Client-Certificate-Subject";
constexpr std::size_t added_bytes_max = 1024; // what we add at the most, beside copies of what came

// What earlier hops said in the field, if they are to be believed, and then `last`, as one list.
void add_list(http::head_writer& w, const http::message_head& in, field id, bool believed, std::string_view last) {
    if (!believed || !in.headers.contains(id)) return w.add(id, last);
    std::string list;
    for (const http::header& h : in.headers)
        if (h.id == id && !h.value.empty()) (list += h.value) += ", ";
    w.add(id, list += last);
}

// Fields that are written anew from what was understood.
bool rewritten(field f) { return f == field::content_length || f == field::transfer_encoding; }

// Fields that speak of the very bytes of a representation, and are wrong when it is coded (RFC 9530; RFC 9110, section
// 14.3).
bool is_of_bytes(const http::header& h) {
    constexpr std::string_view digests[] = {"Content-MD5", "Digest", "Content-Digest", "Repr-Digest"};
    return h.id == field::accept_ranges ||
           (h.id == field::other && std::ranges::any_of(digests, [&h](auto d) { return http::same_token(h.name, d); }));
}

// What of a response goes on to the client as it came; the request's id is ours.
void add_end_to_end(http::head_writer& w, const http::response_head& in, const header_edits* edits,
                    const header_edits* more = nullptr, bool coded = false) {
    for (std::size_t i = 0; i < in.headers.size(); ++i) {
        const http::header& h = in.headers[i];
        if (coded && is_of_bytes(h)) continue;
        if (!rewritten(h.id) && h.id != field::x_request_id && !in.hop_by_hop(i) && !edited(edits, h.name) &&
            !edited(more, h.name)) {
            if (coded && h.id == field::etag && !h.value.starts_with("W/"))
                w.add(field::etag, "W/" + std::string(h.value));
            else
                w.add(h);
        }
    }
}

// Whether a client says himself what only the gateway may say of his certificate; or, if he is no trusted proxy, what
// only proxies may say of clients.
bool forged(const http::header& h, const forwarding& f) {
    constexpr std::string_view forwarded = "X-Forwarded-";
    if (h.id == field::x_real_ip) return !f.peer_trusted;
    if (h.id != field::other || (h.name.front() | 0x20) != 'x') return false;
    const bool kept = f.peer_trusted && f.fields == forwarded_fields::x_forwarded;
    return http::same_token(h.name, client_subject) ||
           (!kept && http::same_token(h.name.substr(0, forwarded.size()), forwarded));
}

// Whether a field speaks of a trace that is not the one the request goes on in.
bool of_other_trace(const http::header& h, const forwarding& f) {
    return !f.traceparent.empty() && (h.id == field::traceparent || (!f.keeps_tracestate && h.id == field::tracestate));
}

void add_forwarded(http::head_writer& w, const http::request_head& in, const forwarding& f) {
    const std::string_view host = f.asked_host.empty() ? in.authority.text : f.asked_host;
    if (f.fields == forwarded_fields::forwarded) {
        if (!edited(f.edits, "Forwarded"))
            add_list(w, in, field::forwarded, f.peer_trusted,
                     forwarded_element(f.peer, in.authority.text, f.peer_scheme));
        return;
    }
    if (!edited(f.edits, "X-Forwarded-For")) add_list(w, in, field::x_forwarded_for, f.peer_trusted, f.peer);
    if (!edited(f.edits, "X-Forwarded-Host")) w.add(field::x_forwarded_host, host);
    if (!edited(f.edits, "X-Forwarded-Proto")) w.add(field::x_forwarded_proto, f.scheme);
}

} // namespace

std::string replaced_path(std::string_view path, std::string_view matched_prefix,
                          const std::optional<std::string>& replace_prefix,
                          const std::optional<std::string>& replace_path) {
    std::string out;
    if (replace_path) {
        out = *replace_path;
    } else if (replace_prefix) {
        while (matched_prefix.ends_with('/')) matched_prefix.remove_suffix(1);
        std::string_view rest = path.substr(std::min(matched_prefix.size(), path.size()));
        out = *replace_prefix;
        if (out.ends_with('/') && rest.starts_with('/')) rest.remove_prefix(1);
        out += rest;
    } else {
        out = path;
    }
    if (!out.starts_with('/')) out.insert(out.begin(), '/');
    return out;
}

std::optional<std::uint64_t> forwards_left(const http::request_head& in) noexcept {
    if (in.method != http::method::options && in.method != http::method::trace) return std::nullopt;
    std::optional<std::uint64_t> left;
    for (const http::header& h : in.headers) {
        if (h.id != field::max_forwards) continue;
        std::uint64_t number = 0;
        const char* end = h.value.data() + h.value.size();
        const auto [stop, error] = std::from_chars(h.value.data(), end, number);
        if (left || error != std::errc() || stop != end) return std::nullopt;
        left = number;
    }
    return left;
}

chunk make_upstream_head(const http::request_head& in, const forwarding& f) {
    // The authority is written twice.
    return write_head(
        in.head_bytes + in.authority.text.size() + f.asked_host.size() + f.path.size() + f.host.size() * 2 +
            f.client_subject.size() + bytes_of(f.edits) + added_bytes_max,
        [&](http::head_writer& w) {
            w.request_line(in.method_text, f.path.empty() ? in.path : f.path, in.query);
            w.add(field::host, f.host.empty() ? in.authority.text : f.host);
            const bool trailers = http::lists(in.headers, field::te, "trailers");
            const std::optional<std::uint64_t> forwards = forwards_left(in);
            for (std::size_t i = 0; i < in.headers.size(); ++i) {
                const http::header& h = in.headers[i];
                switch (h.id) {
                case field::host:
                case field::forwarded:
                case field::x_forwarded_for:
                case field::x_forwarded_host:
                case field::x_forwarded_proto:
                case field::x_request_id: continue;
                default:
                    if (h.id == field::max_forwards && forwards)
                        w.add(h.id, *forwards - 1);
                    else if (!rewritten(h.id) && !in.hop_by_hop(i) && !forged(h, f) && !of_other_trace(h, f) &&
                             !edited(f.edits, h.name))
                        w.add(h);
                }
            }
            w.add(in.framing);
            if (trailers) w.add(field::te, "trailers");
            if (!f.switch_to.empty()) w.add(field::upgrade, f.switch_to);
            if (trailers || !f.switch_to.empty())
                w.add(field::connection, f.switch_to.empty() ? "TE" : trailers ? "TE, Upgrade" : "Upgrade");
            w.add(field::via, via);
            add_forwarded(w, in, f);
            w.add(field::x_request_id, f.request_id);
            if (!f.traceparent.empty() && !edited(f.edits, "traceparent")) w.add(field::traceparent, f.traceparent);
            if (!f.client_subject.empty()) w.add(client_subject, f.client_subject);
            add_edits(w, f.edits);
        });
}

chunk make_client_head(const http::response_head& in, const answering& a) {
    return write_head(in.head_bytes + bytes_of(a.edits) + bytes_of(a.policy_edits) + added_bytes_max,
                      [&](http::head_writer& w) {
                          w.status_line(in.status, in.reason);
                          add_end_to_end(w, in, a.edits, a.policy_edits, !a.coding.empty());
                          if (!a.coding.empty()) w.add(field::content_encoding, a.coding);
                          if (a.varies) w.add(field::vary, "Accept-Encoding");
                          add_edits(w, a.edits, a.policy_edits);
                          add_edits(w, a.policy_edits);
                          w.add(a.body);
                          // A response without a body may still say how long it would be: to HEAD, and 304. A 204 must
                          // not (RFC 9110, section 8.6).
                          const http::header* length = in.find(field::content_length);
                          if (a.body.how == http::body_framing::kind::none && length != nullptr && in.status != 204)
                              w.add(*length);
                          w.add(field::via, via);
                          w.add(field::x_request_id, a.request_id);
                          add_persistence(w, a.persistent, a.client_minor);
                      });
}

chunk make_switch_head(const http::response_head& in, const switching& s) {
    return write_head(in.head_bytes + added_bytes_max, [&](http::head_writer& w) {
        w.status_line(in.status, in.reason);
        add_end_to_end(w, in, nullptr);
        w.add(field::via, via);
        w.add(field::x_request_id, s.request_id);
        w.add(field::upgrade, s.protocol);
        w.add(field::connection, "Upgrade");
    });
}

chunk make_connected_head(std::string_view request_id) {
    return write_head(added_bytes_max, [&](http::head_writer& w) {
        w.status_line(200);
        w.add(field::via, via);
        w.add(field::x_request_id, request_id);
    });
}

chunk make_interim_head(const http::response_head& in) {
    return write_head(in.head_bytes + added_bytes_max, [&](http::head_writer& w) {
        w.status_line(in.status, in.reason);
        for (std::size_t i = 0; i < in.headers.size(); ++i)
            if (!rewritten(in.headers[i].id) && !in.hop_by_hop(i)) w.add(in.headers[i]);
    });
}

std::string_view allowed_upgrade(const http::request_head& in, const std::vector<std::string>& allowed) {
    if (!in.upgrade || allowed.empty() || in.framing.has_body()) return {};
    for (const std::string_view protocol : http::elements(in.headers, field::upgrade))
        for (const std::string& a : allowed)
            if (http::same_token(protocol, a)) return a;
    return {};
}

std::string_view usable_request_id(const http::request_head& in) noexcept {
    const std::string_view id = in.value(field::x_request_id);
    if (id.empty() || id.size() > 128) return {};
    const bool fit = std::ranges::all_of(id, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               std::string_view("-_.:+/=~").find(c) != std::string_view::npos;
    });
    return fit ? id : std::string_view();
}

} // namespace headgate::gateway
