#include <headgate/http/chunked.hpp>
#include <headgate/http/describe.hpp>
#include <headgate/http/parser.hpp>

#include <cstdio>
#include <cstdlib>

#include <fuzz/differential.hpp>

namespace headgate::fuzz {

namespace {

// Limits are tried by the targets that try headgate alone. Here they would only hide what follows.
constexpr std::size_t plenty = std::size_t{1} << 24;
constexpr http::head_limits no_limits{.head_bytes_max = plenty,
                                      .request_line_max = plenty,
                                      .headers_max = http::header_list::capacity,
                                      .connection_options_max = plenty};
constexpr http::chunked_limits no_chunk_limits{
    .line_bytes_max = plenty, .overhead_bytes_max = plenty, .trailer_bytes_max = plenty, .trailers_max = plenty};

std::string framing_of(const http::body_framing& f) {
    using kind = http::body_framing::kind;
    switch (f.how) {
    case kind::length: return "length " + std::to_string(f.length);
    case kind::chunked: return "chunked";
    case kind::until_close: return "until close";
    default: return "none";
    }
}

void take_head(reading& out, const http::message_head& head) {
    out.minor_version = head.minor_version;
    out.framing = framing_of(head.framing);
    out.keep_alive = head.keep_alive;
    out.bytes = head.head_bytes;
    for (const http::header& h : head.headers) out.fields.emplace_back(h.name, h.value);
}

// Gives whether there is a head to take.
bool take_verdict(reading& out, const http::parse_result& r) {
    out.how = r.state == http::parse_state::complete ? verdict::accepted
              : r.state == http::parse_state::error  ? verdict::refused
                                                     : verdict::more;
    if (out.how == verdict::refused) out.refusal = r.error.reason;
    return out.how == verdict::accepted;
}

std::string shown(const reading& r) {
    constexpr const char* verdicts[] = {"wants more", "accepts", "refuses"};
    std::string out = verdicts[static_cast<std::size_t>(r.how)];
    if (r.how == verdict::refused) return out + ": " + r.refusal;
    if (r.how == verdict::more) return out;
    out += "\n  " + r.method + " <" + r.target + "> " + std::to_string(r.status) + " <" + r.reason + "> 1." +
           std::to_string(r.minor_version) + "\n  body " + r.framing + (r.keep_alive ? ", keep-alive" : "") + ", " +
           std::to_string(r.bytes) + " bytes";
    for (const auto& [name, value] : r.fields) out.append("\n  ").append(name).append(": <").append(value).append(">");
    if (!r.payload.empty()) out += "\n  payload <" + r.payload + ">";
    return out;
}

struct comparison {
    what in;
    who other;
    const reading& ours;
    const reading& theirs;

    void differs(difference kind, const std::string& key) const {
        if (is_known(kind, in, other, key)) return;
        std::fprintf(stderr, "an unknown difference, %s: %s\nheadgate %s\n%s %s\n",
                     kind == difference::stricter ? "headgate is stricter"
                     : kind == difference::wider  ? "headgate is wider"
                                                  : "they read it otherwise",
                     key.c_str(), shown(ours).c_str(), other == who::llhttp ? "llhttp" : "Beast",
                     shown(theirs).c_str());
        std::abort();
    }
    void same(std::string_view name, const std::string& a, const std::string& b, bool shown_in_key = false) const {
        if (a == b) return;
        std::string key(name);
        if (shown_in_key) key += ": " + a.substr(0, a.find(' ')) + " / " + b.substr(0, b.find(' '));
        differs(difference::otherwise, key);
    }
    void run() const {
        if (ours.how == verdict::refused) {
            if (theirs.how == verdict::accepted) differs(difference::stricter, ours.refusal);
            return;
        }
        if (ours.how == verdict::more) {
            if (theirs.how == verdict::accepted) differs(difference::otherwise, "more is needed: yes / no");
            return;
        }
        if (theirs.how == verdict::refused) {
            // Their methods are a list. What everybody knows must be in it.
            const bool surprising = theirs.refusal.find("method") != std::string::npos &&
                                    http::lookup_method(ours.method) != http::method::other;
            return differs(difference::wider, theirs.refusal + (surprising ? ", for " + ours.method : ""));
        }
        if (theirs.how == verdict::more) return differs(difference::otherwise, "more is needed: no / yes");
        same("method", ours.method, theirs.method);
        same("target", ours.target, theirs.target);
        same("status", std::to_string(ours.status), std::to_string(theirs.status));
        same("reason phrase", ours.reason, theirs.reason);
        same("version", std::to_string(ours.minor_version), std::to_string(theirs.minor_version), true);
        const bool bodiless = ours.status / 100 == 1 || ours.status == 204 || ours.status == 304;
        same(bodiless ? "framing of 1xx, 204 and 304" : "framing", ours.framing, theirs.framing, true);
        same(ours.status == 101 ? "keep-alive after 101" : "keep-alive", ours.keep_alive ? "yes" : "no",
             theirs.keep_alive ? "yes" : "no", true);
        same("bytes", std::to_string(ours.bytes), std::to_string(theirs.bytes));
        same("payload", ours.payload, theirs.payload);
        if (ours.fields != fields_to_compare()) differs(difference::otherwise, "fields");
    }
    // headgate drops trailers that have no place there.
    std::vector<std::pair<std::string, std::string>> fields_to_compare() const {
        auto fields = theirs.fields;
        if (in == chunked_bodies)
            std::erase_if(fields,
                          [](const auto& f) { return http::is_forbidden_in_trailer(std::string_view(f.first)); });
        return fields;
    }
};

} // namespace

reading headgate_request(std::string_view text) {
    reading out;
    http::request_parser parser{no_limits};
    if (!take_verdict(out, parser.parse(text))) return out;
    take_head(out, parser.head());
    out.method = parser.head().method_text;
    out.target = parser.head().target;
    return out;
}

reading headgate_response(std::string_view text, bool to_head) {
    reading out;
    http::response_parser parser{to_head ? http::method::head : http::method::get, no_limits};
    if (!take_verdict(out, parser.parse(text))) return out;
    take_head(out, parser.head());
    out.status = parser.head().status;
    out.reason = parser.head().reason;
    return out;
}

reading headgate_chunked(std::string_view text) {
    reading out;
    http::chunked_decoder decoder{no_chunk_limits};
    http::decoded_body body;
    http::decode_into(body, decoder, text);
    out.how = body.state == http::decode_state::end     ? verdict::accepted
              : body.state == http::decode_state::error ? verdict::refused
                                                        : verdict::more;
    if (out.how == verdict::refused) out.refusal = decoder.error().reason;
    if (out.how != verdict::accepted) return out;
    out.bytes = body.consumed;
    out.payload = body.payload;
    for (std::size_t i = 0; i < decoder.trailer_count(); ++i)
        out.fields.emplace_back(decoder.trailer(i).name, decoder.trailer(i).value);
    return out;
}

void compare(what in, who other, const reading& ours, const reading& theirs) {
    comparison{in, other, ours, theirs}.run();
}

} // namespace headgate::fuzz
