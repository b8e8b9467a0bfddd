#include <headgate/http/parser.hpp>
#include <headgate/http/scan.hpp>

#include <algorithm>
#include <cstring>

namespace headgate::http {
namespace {

using detail::head_reader;
using detail::is;

std::size_t offset_in(std::string_view bytes, const char* p) { return static_cast<std::size_t>(p - bytes.data()); }

struct version {
    bool well_formed = false;
    int major = 0;
    int minor = 0;
};

// HTTP-version = "HTTP/" DIGIT "." DIGIT, case-sensitive (RFC 9112, section 2.3).
version parse_version(std::string_view text) {
    if (text.size() != 8 || std::memcmp(text.data(), "HTTP/", 5) != 0 || text[6] != '.' ||
        !is(text[5], detail::digit_byte) || !is(text[7], detail::digit_byte))
        return {};
    return {true, text[5] - '0', text[7] - '0'};
}

constexpr const char* wrong_version = "only HTTP/1.0 and HTTP/1.1 are spoken here (RFC 9110, section 15.6.6)";

bool is_web_scheme(std::string_view scheme) {
    return detail::equals_lowered(scheme, "http") || detail::equals_lowered(scheme, "https");
}

} // namespace

void request_parser::reset() noexcept {
    reader_.reset();
    line_done_ = false;
    blank_skipped_ = false;
    state_ = parse_state::need_more;
    head_.clear();
}

parse_result request_parser::parse(std::string_view bytes) noexcept {
    using step = head_reader::step;
    if (state_ != parse_state::need_more) return {state_, reader_.error()};
    const auto fail = [this]() -> parse_result { return {state_ = parse_state::error, reader_.error()}; };
    while (!line_done_) {
        std::string_view line;
        const step s = reader_.first_line(bytes, line);
        if (s == step::need_more) return {};
        if (s == step::failed) return fail();
        if (line.empty() && !blank_skipped_) {
            blank_skipped_ = true;
            continue;
        }
        if (!read_request_line(bytes, line)) return fail();
        line_done_ = true;
    }
    const step s = reader_.read_fields(bytes, head_);
    if (s == step::need_more) return {};
    if (s == step::failed || !finish(bytes)) return fail();
    head_.head_bytes = reader_.offset();
    return {state_ = parse_state::complete, {}};
}

// request-line = method SP request-target SP HTTP-version, single spaces (RFC 9112, section 3).
bool request_parser::read_request_line(std::string_view bytes, std::string_view line) noexcept {
    const std::size_t start = offset_in(bytes, line.data());
    const char* begin = line.data();
    const char* end = begin + line.size();
    const char* method_end = detail::skip(detail::token_byte, begin, end);
    if (line.empty()) return reader_.fail(400, "a request line is missing (RFC 9112, section 2.2)", start);
    if (method_end == begin || (method_end != end && *method_end != ' '))
        return reader_.fail(400, "the method may hold letters, digits and !#$%&'*+-.^_`|~ only (RFC 9110, section 9.1)",
                            offset_in(bytes, method_end));
    head_.method_text = {begin, method_end};
    head_.method = lookup_method(head_.method_text);
    if (method_end == end)
        return reader_.fail(400, "a request line is \"method target HTTP/1.1\" (RFC 9112, section 3)",
                            start + line.size());

    const char* target = method_end + 1;
    const auto* target_end = static_cast<const char*>(std::memchr(target, ' ', static_cast<std::size_t>(end - target)));
    if (target_end == nullptr)
        return reader_.fail(400, "the HTTP version is missing; HTTP/0.9 is not spoken here (RFC 9112, section 3)",
                            start + line.size());
    if (!read_version(bytes, {target_end + 1, end})) return false;
    head_.target = {target, target_end};
    return read_target(bytes);
}

bool request_parser::read_version(std::string_view bytes, std::string_view text) noexcept {
    const std::size_t at = offset_in(bytes, text.data());
    const version v = parse_version(text);
    if (!v.well_formed)
        return reader_.fail(
            400, "after the target one space and \"HTTP/1.1\" must end the line (RFC 9112, section 2.3)", at);
    if (v.major != 1) return reader_.fail(505, wrong_version, at);
    head_.minor_version = v.minor == 0 ? 0 : 1;
    return true;
}

bool request_parser::read_target(std::string_view bytes) noexcept {
    const std::size_t at = offset_in(bytes, head_.target.data());
    if (head_.target.empty()) return reader_.fail(400, "the request target is empty (RFC 9112, section 3.2)", at);
    if (head_.method == method::connect) {
        head_.form = target_form::authority;
        if (!parse_authority(head_.target, head_.authority) || head_.authority.port == 0)
            return reader_.fail(400, "CONNECT needs \"host:port\" as its target (RFC 9112, section 3.2.3)", at);
        return true;
    }
    if (head_.target.front() == '/') {
        head_.form = target_form::origin;
        return split_path(bytes, head_.target);
    }
    if (head_.target == "*") {
        head_.form = target_form::asterisk;
        head_.path = head_.target;
        if (head_.method == method::options) return true;
        return reader_.fail(400, "the target \"*\" belongs to OPTIONS alone (RFC 9112, section 3.2.4)", at);
    }
    return read_absolute_form(bytes);
}

// Only the schemes HTTP itself defines. An authority with user information or without a host is refused (RFC 9110,
// sections 4.2.1 and 4.2.4).
bool request_parser::read_absolute_form(std::string_view bytes) noexcept {
    const std::size_t at = offset_in(bytes, head_.target.data());
    const std::size_t colon = head_.target.find("://");
    if (colon == std::string_view::npos || !is_web_scheme(head_.target.substr(0, colon)))
        return reader_.fail(
            400, "the target must start with \"/\" or with \"http://\" or \"https://\" (RFC 9112, section 3.2)", at);
    head_.form = target_form::absolute;
    head_.scheme = head_.target.substr(0, colon);
    std::string_view rest = head_.target.substr(colon + 3);
    const std::size_t path = std::min(rest.find_first_of("/?"), rest.size());
    if (!parse_authority(rest.substr(0, path), head_.authority))
        return reader_.fail(400,
                            "the target needs a valid host after \"://\", without user name (RFC 9110, section 4.2)",
                            at + colon + 3);
    rest.remove_prefix(path);
    if (!split_path(bytes, rest)) return false;
    if (head_.path.empty()) head_.path = head_.method == method::options && head_.query.empty() ? "*" : "/";
    return true;
}

bool request_parser::split_path(std::string_view bytes, std::string_view text) noexcept {
    const char* begin = text.data();
    const char* end = begin + text.size();
    const char* path_end = detail::skip(detail::path_byte, begin, end);
    head_.path = {begin, path_end};
    head_.query = {path_end, end};
    if (path_end == end) return true;
    const char* query_end = *path_end == '?' ? detail::skip(detail::query_byte, path_end, end) : path_end;
    if (query_end == end) return true;
    return reader_.fail(400, "this byte is not allowed in a request target; percent-encode it (RFC 9112, section 3.2)",
                        offset_in(bytes, query_end));
}

// RFC 9112, section 3.2: exactly one valid Host in HTTP/1.1, at most one in HTTP/1.0, whatever the target is.
bool request_parser::check_host(std::string_view bytes) noexcept {
    const header* host = head_.find(field::host);
    if (host == nullptr) {
        if (head_.minor_version == 0) return true;
        return reader_.fail(400, "HTTP/1.1 needs a Host field (RFC 9112, section 3.2)", reader_.offset(), "Host");
    }
    for (const header* other = host + 1; other != head_.headers.end(); ++other) {
        if (other->id == field::host)
            return reader_.fail(400, "Host must be sent once (RFC 9112, section 3.2)",
                                offset_in(bytes, other->name.data()), other->name);
    }
    authority ignored; // the target's own authority wins, but Host must be valid all the same
    if (!parse_authority(host->value, head_.authority.empty() ? head_.authority : ignored))
        return reader_.fail(400, "Host must be a name or address with an optional port (RFC 9110, section 7.2)",
                            offset_in(bytes, host->value.data()), host->name);
    return true;
}

bool request_parser::finish(std::string_view bytes) noexcept {
    if (!check_host(bytes) || !reader_.read_framing(bytes, head_) || !reader_.read_connection(bytes, head_))
        return false;
    if (head_.headers.contains(field::expect)) {
        // A 100-continue from HTTP/1.0 must be ignored (RFC 9110, section 10.1.1).
        head_.expect_continue = head_.minor_version != 0 && head_.framing.has_body() &&
                                detail::equals_lowered(head_.value(field::expect), "100-continue");
    }
    return true;
}

void response_parser::reset(http::method request_method) noexcept {
    reader_.reset();
    request_method_ = request_method;
    line_done_ = false;
    state_ = parse_state::need_more;
    head_.clear();
}

parse_result response_parser::parse(std::string_view bytes) noexcept {
    using step = head_reader::step;
    if (state_ != parse_state::need_more) return {state_, reader_.error()};
    const auto fail = [this]() -> parse_result { return {state_ = parse_state::error, reader_.error()}; };
    if (!line_done_) {
        std::string_view line;
        const step s = reader_.first_line(bytes, line);
        if (s == step::need_more) return {};
        if (s == step::failed || !read_status_line(bytes, line)) return fail();
        line_done_ = true;
    }
    const step s = reader_.read_fields(bytes, head_);
    if (s == step::need_more) return {};
    if (s == step::failed || !finish(bytes)) return fail();
    head_.head_bytes = reader_.offset();
    return {state_ = parse_state::complete, {}};
}

// status-line = HTTP-version SP 3DIGIT SP [ reason-phrase ] (RFC 9112, section 4).
bool response_parser::read_status_line(std::string_view bytes, std::string_view line) noexcept {
    const version v = parse_version(line.substr(0, 8));
    const std::size_t start = offset_in(bytes, line.data());
    if (!v.well_formed || line.size() < 12 || line[8] != ' ' || !detail::all(detail::digit_byte, line.substr(9, 3)) ||
        (line.size() > 12 && line[12] != ' '))
        return reader_.fail(502, "a status line is \"HTTP/1.1 200 OK\" (RFC 9112, section 4)", start);
    if (v.major != 1) return reader_.fail(502, wrong_version, start);
    head_.minor_version = v.minor == 0 ? 0 : 1;
    head_.status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
    if (head_.status < 100 || head_.status > 599)
        return reader_.fail(502, "the status must be from 100 to 599 (RFC 9110, section 15)", start + 9);
    if (line.size() > 13) head_.reason = line.substr(13);
    return true;
}

bool response_parser::finish(std::string_view bytes) noexcept {
    const bool tunnel = request_method_ == method::connect && head_.status / 100 == 2;
    if (!tunnel && !reader_.read_framing(bytes, head_)) return false;
    if (!reader_.read_connection(bytes, head_)) return false;
    const bool bodiless =
        request_method_ == method::head || head_.status < 200 || head_.status == 204 || head_.status == 304;
    if (tunnel || bodiless) {
        head_.framing = {};
    } else if (head_.framing.how == body_framing::kind::none) {
        head_.framing.how = body_framing::kind::until_close;
        head_.keep_alive = false;
    }
    if (tunnel || head_.status == 101) head_.keep_alive = false;
    return true;
}

} // namespace headgate::http
