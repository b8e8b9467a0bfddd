#include <headgate/http/head_reader.hpp>
#include <headgate/http/scan.hpp>
#include <headgate/http/token.hpp>

#include <algorithm>
#include <cassert>
#include <limits>

namespace headgate::http::detail {
namespace {

std::size_t offset_in(std::string_view bytes, const char* p) { return static_cast<std::size_t>(p - bytes.data()); }

// The name of the field line that starts here, if it is one: for error reports only.
std::string_view name_at(std::string_view bytes, std::size_t line) {
    const char* begin = bytes.data() + line;
    const char* end = bytes.data() + bytes.size();
    const char* stop = skip(token_byte, begin, end);
    return stop != end && *stop == ':' ? std::string_view{begin, stop} : std::string_view{};
}

line_fault malformed_name(std::string_view line, const char* colon) {
    const char* begin = line.data();
    const char* end = line.data() + line.size();
    if (*begin == ' ' || *begin == '\t')
        return {"a field line must not start with white space; put folded values on one line (RFC 9112, section 5.2)",
                0};
    if (colon == end) return {"a field line needs a colon after its name: \"name: value\" (RFC 9112, section 5)", 0};
    if (colon == begin) return {"a field name must not be empty (RFC 9110, section 5.1)", 0};
    const char* bad = skip(token_byte, begin, colon);
    const auto at = static_cast<std::size_t>(bad - begin);
    if (*bad == ' ' || *bad == '\t')
        return {"no white space is allowed in a field name or before its colon (RFC 9112, section 5.1)", at};
    return {"a field name may hold letters, digits and !#$%&'*+-.^_`|~ only (RFC 9110, section 5.6.2)", at};
}

// X-Forwarded-Port and its like, of which there are too many to know: what proxies in front of us say of the client.
bool is_forwarding_name(std::string_view name) {
    constexpr std::string_view prefix = "x-forwarded-";
    return equals_lowered(name.substr(0, prefix.size()), prefix);
}

} // namespace

const char* control_reason(const char* p, const char* end) noexcept {
    if (*p == '\n') return "bare LF: a line must end with CR LF (RFC 9112, section 2.2)";
    if (*p == '\r' && p + 1 != end) return "bare CR: a line must end with CR LF (RFC 9112, section 2.2)";
    return "control characters other than HTAB are not allowed (RFC 9110, section 5.5)";
}

line_fault parse_field_line(std::string_view line, std::size_t readable, header& out) noexcept {
    const char* end = line.data() + line.size();
    const char* colon = find_colon(line.data(), end);
    out.name = {line.data(), colon};
    out.id = lookup_field(out.name, readable);
    if (colon == end || (out.id == field::other && !is_token(out.name))) return malformed_name(line, colon);
    out.value = trim({colon + 1, end});
    return {};
}

head_reader::head_reader(head_limits limits, head_kind kind) noexcept : kind_(kind) { set_limits(limits); }

void head_reader::set_limits(const head_limits& limits) noexcept {
    limits_ = limits;
    limits_.headers_max = std::min(limits_.headers_max, header_list::capacity);
    limits_.head_bytes_max = std::min(limits_.head_bytes_max, std::numeric_limits<std::size_t>::max() / 2);
    limits_.request_line_max = std::min(limits_.request_line_max, limits_.head_bytes_max);
}

void head_reader::reset() noexcept {
    line_ = scanned_ = 0;
    examined_ = 0;
    error_ = {};
}

bool head_reader::fail(int status, const char* reason, std::size_t offset, std::string_view name) noexcept {
    error_ = {kind_ == head_kind::response ? 502 : status, reason, offset, name};
    return false;
}

head_reader::step head_reader::next_line(std::string_view bytes, std::size_t stop, const refusal& too_long,
                                         std::string_view& line) noexcept {
    const std::size_t end = std::min(bytes.size(), stop);
    assert(scanned_ <= end && "the buffer of a head may only grow");
    const char* at = find_control(bytes.data() + scanned_, bytes.data() + end);
    const std::size_t found = offset_in(bytes, at);
    examined_ += found - scanned_ + 1;
    scanned_ = found;
    if (found + 1 < end && at[0] == '\r' && at[1] == '\n') [[likely]] {
        line = bytes.substr(line_, found - line_);
        line_ = scanned_ = found + 2;
        return step::done;
    }
    return no_line(bytes, stop, too_long);
}

// The limit is looked at before what is wrong behind it, and a CR before what follows it, so that the verdict is the
// same however the bytes were cut.
head_reader::step head_reader::no_line(std::string_view bytes, std::size_t stop, const refusal& too_long) noexcept {
    const std::size_t end = std::min(bytes.size(), stop);
    const bool at_end = scanned_ == end || (scanned_ + 1 == end && bytes[scanned_] == '\r');
    if (at_end && end < stop) return step::need_more;
    if (at_end) {
        fail(too_long.status, too_long.reason, stop, name_at(bytes.substr(0, stop), line_));
    } else {
        const char* p = bytes.data() + scanned_;
        fail(400, control_reason(p, bytes.data() + end), scanned_, name_at(bytes.substr(0, scanned_), line_));
    }
    return step::failed;
}

head_reader::step head_reader::first_line(std::string_view bytes, std::string_view& line) noexcept {
    static constexpr refusal too_long{
        414, "the request line is longer than this gateway takes; shorten the target (RFC 9112, section 3)"};
    static constexpr refusal status_too_long{
        502, "the status line is longer than this gateway takes; shorten the reason phrase (RFC 9112, section 4)"};
    const std::size_t stop = std::min(line_ + limits_.request_line_max, limits_.head_bytes_max);
    return next_line(bytes, stop, kind_ == head_kind::request ? too_long : status_too_long, line);
}

head_reader::step head_reader::read_fields(std::string_view bytes, message_head& head) noexcept {
    static constexpr refusal too_large{
        431,
        "the header section is larger than this gateway takes; send fewer or shorter fields (RFC 6585, section 5)"};
    for (;;) {
        std::string_view line;
        const std::size_t start = line_;
        if (const step s = next_line(bytes, limits_.head_bytes_max, too_large, line); s != step::done) return s;
        if (line.empty()) return step::done;
        // As parse_field_line, but from registers into the list: building a header and copying it costs a third of the
        // parse.
        const char* end = line.data() + line.size();
        const char* colon = find_colon(line.data(), end);
        const std::string_view name{line.data(), colon};
        const field id = lookup_field(name, bytes.size() - start);
        if (colon == end || (id == field::other && !is_token(name))) {
            const line_fault fault = malformed_name(line, colon);
            fail(400, fault.reason, start + fault.at);
            return step::failed;
        }
        if (head.headers.size() == limits_.headers_max) {
            fail(431, "more field lines than this gateway takes; send fewer (RFC 6585, section 5)", start, name);
            return step::failed;
        }
        head.headers.emplace_back(name, trim({colon + 1, end}), id);
    }
}

bool head_reader::read_length(std::string_view bytes, const header& h, message_head& head) noexcept {
    constexpr const char* malformed = "Content-Length must be one decimal number below 2^63 (RFC 9110, section 8.6)";
    if (h.value.empty() || !all(digit_byte, h.value))
        return fail(400, malformed, offset_in(bytes, h.value.data()), h.name);
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    std::uint64_t length = 0;
    for (const char digit : h.value) {
        const auto unit = static_cast<std::uint64_t>(digit - '0');
        if (length > (most - unit) / 10) return fail(400, malformed, offset_in(bytes, h.value.data()), h.name);
        length = length * 10 + unit;
    }
    head.framing = {body_framing::kind::length, length};
    return true;
}

bool head_reader::read_coding(std::string_view bytes, const header& h, message_head& head) noexcept {
    const std::size_t at = offset_in(bytes, h.value.data());
    if (head.minor_version == 0)
        return fail(400, "HTTP/1.0 has no Transfer-Encoding; send Content-Length (RFC 9112, section 6.1)", at, h.name);
    if (!equals_lowered(h.value, "chunked")) {
        // Several codings that end in one "chunked" have a clear end, but a coding we do not implement. Anything else
        // has no clear end at all.
        std::string_view list = h.value;
        bool other_coding = false;
        std::string_view element;
        while (!list.empty()) {
            element = next_element(list);
            if (list.empty()) break;
            if (!is_token(element.substr(0, element.find_first_of("; \t"))) || equals_lowered(element, "chunked"))
                return fail(400, "Transfer-Encoding is malformed; send \"chunked\" once (RFC 9112, section 6.1)", at,
                            h.name);
            other_coding = true;
        }
        if (other_coding && equals_lowered(element, "chunked") && h.value.back() != ',')
            return fail(501,
                        "no transfer coding but chunked is implemented; use Content-Encoding (RFC 9112, section 6.1)",
                        at, h.name);
        return fail(400, "the last transfer coding must be chunked, without parameters (RFC 9112, section 6.3)", at,
                    h.name);
    }
    head.framing = {body_framing::kind::chunked, 0};
    return true;
}

bool head_reader::read_framing(std::string_view bytes, message_head& head) noexcept {
    const bool has_length = head.headers.contains(field::content_length);
    const bool has_coding = head.headers.contains(field::transfer_encoding);
    if (!has_length && !has_coding) return true;
    const header* framed = nullptr;
    for (const header& h : head.headers) {
        if (h.id != field::content_length && h.id != field::transfer_encoding) continue;
        const std::size_t at = offset_in(bytes, h.name.data());
        if (framed != nullptr && framed->id != h.id)
            return fail(400,
                        "Content-Length and Transfer-Encoding exclude each other; send one (RFC 9112, section 6.3)", at,
                        h.name);
        if (framed != nullptr) return fail(400, "this field must be sent once (RFC 9112, section 6.3)", at, h.name);
        framed = &h;
        if (!(h.id == field::content_length ? read_length(bytes, h, head) : read_coding(bytes, h, head))) return false;
    }
    return true;
}

bool head_reader::read_connection(std::string_view bytes, message_head& head) noexcept {
    bool close = false;
    bool stay = false;
    bool upgrade = false;
    std::size_t options = 0;
    const auto mark = [&head](std::string_view name) {
        for (std::size_t i = 0; i < head.headers.size(); ++i) {
            const header& h = head.headers[i];
            if (h.id == field::other && same_token(h.name, name))
                head.connection_named[i / 64] |= std::uint64_t{1} << (i % 64);
        }
    };
    if (head.headers.contains(field::connection)) {
        for (const header& h : head.headers) {
            if (h.id != field::connection) continue;
            for (std::string_view list = h.value; !list.empty();) {
                const std::string_view option = next_element(list);
                if (++options > limits_.connection_options_max)
                    return fail(400,
                                "more connection options than this gateway takes; send fewer (RFC 9110, section 7.6.1)",
                                offset_in(bytes, h.value.data()), h.name);
                if (option.empty()) continue;
                if (equals_lowered(option, "close")) {
                    close = true;
                    continue;
                }
                const field id = lookup_field(option);
                if (id == field::other && !is_token(option))
                    return fail(400, "Connection must be a list of names (RFC 9110, section 7.6.1)",
                                offset_in(bytes, option.data()), h.name);
                stay = stay || id == field::keep_alive;
                upgrade = upgrade || id == field::upgrade;
                if (id == field::other && !is_forwarding_name(option)) mark(option);
            }
        }
    }
    head.keep_alive = !close && (head.minor_version != 0 || stay);
    head.upgrade = upgrade && head.minor_version != 0 && head.headers.contains(field::upgrade);
    return true;
}

} // namespace headgate::http::detail
