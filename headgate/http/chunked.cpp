#include <headgate/http/chunked.hpp>
#include <headgate/http/scan.hpp>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

namespace headgate::http {
namespace {

unsigned hex_value(char c) { return static_cast<unsigned>(c <= '9' ? c - '0' : detail::lower(c) - 'a' + 10); }

} // namespace

void chunked_decoder::reset() noexcept {
    phase_ = phase::size_first;
    digits_ = 0;
    remaining_ = overhead_ = position_ = 0;
    line_bytes_ = trailer_bytes_ = dropped_ = 0;
    line_.clear();
    kept_.clear();
    marks_.clear();
    error_ = {};
}

bool chunked_decoder::fail(const char* reason) noexcept {
    error_ = {400, reason, static_cast<std::size_t>(position_), {}};
    phase_ = phase::error;
    return false;
}

decode_result chunked_decoder::decode(std::string_view in) {
    std::size_t at = 0;
    for (;;) {
        if (phase_ == phase::payload) {
            const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, in.size() - at));
            if (size == 0) return {at, {}, decode_state::need_more};
            remaining_ -= size;
            position_ += size;
            if (remaining_ == 0) phase_ = phase::payload_cr;
            return {at + size, in.substr(at, size), decode_state::payload};
        }
        if (phase_ == phase::end) return {at, {}, decode_state::end};
        if (phase_ == phase::error) return {at, {}, decode_state::error};
        if (at == in.size()) return {at, {}, decode_state::need_more};
        if (step(in[at])) {
            ++at;
            ++position_;
        }
    }
}

void chunked_decoder::skip_payload(std::uint64_t n) noexcept {
    assert(phase_ == phase::payload ? n <= remaining_ : n == 0);
    if (phase_ != phase::payload) return;
    n = std::min(n, remaining_);
    remaining_ -= n;
    position_ += n;
    if (remaining_ == 0) phase_ = phase::payload_cr;
}

// One byte of framing. False if it is refused.
bool chunked_decoder::step(char c) {
    switch (phase_) {
    case phase::size_first:
    case phase::size: return size_digit(c);
    case phase::space: return after_size(c);
    case phase::extension:
    case phase::quoted:
    case phase::quoted_pair: return extension_byte(c);
    case phase::size_lf:
        return c == '\n' ? size_line_done() : fail("a chunk size must end with CR LF (RFC 9112, section 7.1)");
    case phase::payload_cr:
        if (c != '\r')
            return fail(
                "a chunk must end with CR LF, right after as many bytes as it announced (RFC 9112, section 7.1)");
        phase_ = phase::payload_lf;
        return true;
    case phase::payload_lf:
        if (c != '\n')
            return fail(
                "a chunk must end with CR LF, right after as many bytes as it announced (RFC 9112, section 7.1)");
        phase_ = phase::size_first;
        return true;
    case phase::trailer:
    case phase::trailer_lf: return trailer_byte(c);
    default: return false;
    }
}

bool chunked_decoder::size_digit(char c) noexcept {
    if (detail::is(c, detail::hex_byte)) {
        if (phase_ == phase::size_first) {
            phase_ = phase::size;
            digits_ = 0;
            remaining_ = 0;
            line_bytes_ = 0;
        }
        if (++digits_ > 16) return fail("a chunk size has at most 16 hex digits here (RFC 9112, section 7.1)");
        ++line_bytes_;
        remaining_ = remaining_ << 4 | hex_value(c);
        return true;
    }
    if (phase_ == phase::size_first)
        return fail("a chunk must start with its size in hex digits (RFC 9112, section 7.1)");
    return after_size(c);
}

// After the digits, or after white space behind them, which only an extension may follow.
bool chunked_decoder::after_size(char c) noexcept {
    if (c == '\r' && phase_ == phase::size) {
        phase_ = phase::size_lf;
    } else if (c == ';') {
        phase_ = phase::extension;
    } else if (c == ' ' || c == '\t') {
        phase_ = phase::space;
    } else {
        return fail("after a chunk size only CR LF or \";\" and an extension may come (RFC 9112, section 7.1)");
    }
    if (++line_bytes_ > limits_.line_bytes_max) return fail("chunk extensions are longer than this gateway takes");
    return true;
}

// The extension itself means nothing to us. What matters is that every parser sees its end at the same byte: so no
// controls, and no line end inside a quoted string.
bool chunked_decoder::extension_byte(char c) noexcept {
    const bool in_quotes = phase_ != phase::extension;
    if (c == '\r' && !in_quotes) {
        phase_ = phase::size_lf;
    } else if (!detail::is(c, detail::value_byte)) {
        return fail("a chunk extension must not hold controls and must end with CR LF (RFC 9112, section 7.1.1)");
    } else if (phase_ == phase::quoted_pair) {
        phase_ = phase::quoted;
    } else if (c == '"') {
        phase_ = in_quotes ? phase::extension : phase::quoted;
    } else if (c == '\\' && in_quotes) {
        phase_ = phase::quoted_pair;
    } else if (!in_quotes && !detail::is(c, detail::token_byte) && c != ';' && c != '=' && c != ' ' && c != '\t') {
        return fail("a chunk extension is \";name\" or \";name=value\" (RFC 9112, section 7.1.1)");
    }
    if (++line_bytes_ > limits_.line_bytes_max) return fail("chunk extensions are longer than this gateway takes");
    return true;
}

bool chunked_decoder::size_line_done() noexcept {
    const std::uint64_t credit = 16 + 2 * std::min<std::uint64_t>(remaining_, limits_.overhead_bytes_max);
    overhead_ += line_bytes_;
    overhead_ -= std::min(overhead_, credit);
    if (overhead_ > limits_.overhead_bytes_max)
        return fail("chunk extensions outweigh the payload; send larger chunks");
    phase_ = remaining_ != 0 ? phase::payload : phase::trailer;
    return true;
}

bool chunked_decoder::trailer_byte(char c) {
    if (++trailer_bytes_ > limits_.trailer_bytes_max)
        return fail("the trailer section is larger than this gateway takes");
    if (phase_ == phase::trailer_lf) {
        return c == '\n' ? trailer_line_done()
                         : fail("bare CR: a trailer line must end with CR LF (RFC 9112, section 7.1.2)");
    }
    if (c == '\r') {
        phase_ = phase::trailer_lf;
        return true;
    }
    if (!detail::is(c, detail::value_byte)) return fail(detail::control_reason(&c, &c + 1));
    line_.push_back(c);
    return true;
}

bool chunked_decoder::trailer_line_done() {
    if (line_.empty()) {
        phase_ = phase::end;
        return true;
    }
    header h;
    if (const auto fault = detail::parse_field_line(line_, line_.size(), h); fault.reason != nullptr)
        return fail(fault.reason);
    if (marks_.size() + dropped_ == limits_.trailers_max) return fail("more trailer fields than this gateway takes");
    if (is_forbidden_in_trailer(h.name)) {
        ++dropped_;
    } else {
        keep(h);
    }
    line_.clear();
    phase_ = phase::trailer;
    return true;
}

// Written anew rather than copied, so that what goes on is what was understood.
void chunked_decoder::keep(const header& h) {
    const auto at = static_cast<std::uint32_t>(kept_.size());
    const auto name_size = static_cast<std::uint32_t>(h.name.size());
    kept_.append(h.name).append(": ").append(h.value).append("\r\n");
    marks_.push_back({at, name_size, at + name_size + 2, static_cast<std::uint32_t>(h.value.size()), h.id});
}

header chunked_decoder::trailer(std::size_t index) const noexcept {
    const mark& m = marks_[index];
    const std::string_view all = kept_;
    return {all.substr(m.name, m.name_size), all.substr(m.value, m.value_size), m.id};
}

std::size_t write_chunk_header(std::span<char> out, std::uint64_t size) noexcept {
    if (size == 0) return 0;
    const auto digits = static_cast<std::size_t>((std::bit_width(size) + 3) / 4);
    if (out.size() < digits + 2) return 0;
    for (std::size_t i = digits; i-- > 0; size >>= 4) out[i] = "0123456789abcdef"[size & 15];
    out[digits] = '\r';
    out[digits + 1] = '\n';
    return digits + 2;
}

std::size_t write_last_chunk(std::span<char> out, std::string_view trailers) noexcept {
    for (std::string_view rest = trailers; !rest.empty();) {
        const std::size_t cr =
            static_cast<std::size_t>(detail::find_control(rest.data(), rest.data() + rest.size()) - rest.data());
        header h;
        if (rest.substr(cr, 2) != "\r\n" || cr == 0) return 0;
        if (detail::parse_field_line(rest.substr(0, cr), rest.size(), h).reason != nullptr) return 0;
        rest.remove_prefix(cr + 2);
    }
    if (out.size() < last_chunk.size() + trailers.size()) return 0;
    std::memcpy(out.data(), "0\r\n", 3);
    if (!trailers.empty()) std::memcpy(out.data() + 3, trailers.data(), trailers.size());
    std::memcpy(out.data() + 3 + trailers.size(), "\r\n", 2);
    return last_chunk.size() + trailers.size();
}

} // namespace headgate::http
