#include <headgate/stages/format_rows.hpp>
#include <headgate/stages/json_value.hpp>
#include <headgate/stages/text_scan.hpp>
#include <headgate/stages/utf8.hpp>

#include <system_error>

namespace headgate::detail {

namespace {

// PostgreSQL's arrays of boxes are the only ones whose elements are not separated by commas (pg_type.typdelim).
constexpr std::uint32_t array_of_boxes = 1020;

char* write_escape(char* to, char c) noexcept {
    *to++ = '\\';
    switch (c) {
    case '"':
    case '\\': *to++ = c; return to;
    case '\b': *to++ = 'b'; return to;
    case '\f': *to++ = 'f'; return to;
    case '\n': *to++ = 'n'; return to;
    case '\r': *to++ = 'r'; return to;
    case '\t': *to++ = 't'; return to;
    default: break;
    }
    to += std::string_view("u00").copy(to, 3);
    return write_hex(to, {&c, 1});
}

} // namespace

char* write_json_text(char* to, std::string_view text, bool& high) noexcept {
    for (;;) {
        const std::size_t n = copy_json_plain(to, text, high);
        to += n;
        if (n == text.size()) return to;
        to = write_escape(to, text[n]);
        text.remove_prefix(n + 1);
    }
}

bool json_value_writer::begin(const column& of, cell v, std::uint64_t row) {
    column_ = &of;
    row_ = row;
    if (v.is_null()) {
        out_.put("null");
        return true;
    }
    if (v.type != value_type::array) return scalar(v.type, v.text);
    array_ = array_reader(v.text, of.database_type == array_of_boxes ? ';' : ',');
    in_array_ = true;
    comma_ = false;
    return more_of_array();
}

bool json_value_writer::more() {
    if (now_ != part::none && !more_of_part()) return false;
    return !in_array_ || more_of_array();
}

bool json_value_writer::scalar(value_type type, std::string_view text) {
    switch (type) {
    case value_type::boolean: out_.put(text == "t" ? "true" : "false"); return true;
    case value_type::integer:
    case value_type::floating:
    case value_type::numeric: return number(text);
    case value_type::json:
        now_ = part::raw;
        rest_ = text;
        return more_of_part();
    case value_type::bytea:
    case value_type::blob:
        out_.put('"');
        bytes_ = byte_pieces(type, text);
        now_ = part::bytes;
        return more_of_part();
    default: return string(moment(type, text, moment_));
    }
}

bool json_value_writer::number(std::string_view text) {
    if (is_json_number(text)) {
        now_ = part::raw;
        rest_ = text;
        return more_of_part();
    }
    if (options_.numbers == non_finite::null && (text == "NaN" || text.ends_with("Infinity"))) {
        out_.put("null");
        return true;
    }
    return string(text);
}

bool json_value_writer::string(std::string_view text) {
    out_.put('"');
    now_ = part::text;
    rest_ = text;
    return more_of_part();
}

bool json_value_writer::more_of_part() {
    if (now_ == part::bytes) {
        const std::string_view piece = bytes_.next();
        out_.used(write_base64(out_.room(2 * piece.size() + 4), piece));
        if (!bytes_.ended()) return false;
        out_.put('"');
        now_ = part::none;
        return true;
    }
    const std::string_view piece = rest_.substr(0, utf8_cut(rest_, format_step));
    if (now_ == part::raw) {
        char* to = out_.room(piece.size());
        for (const char c : piece) *to++ = c == '\n' || c == '\r' ? ' ' : c;
        out_.used(to);
    } else {
        bool high = false;
        char* const to = out_.room(6 * piece.size() + 16);
        char* end = write_json_text(to, piece, high);
        if (high && utf8_valid(piece) != piece.size()) {
            repaired_ = repaired_or_refused(piece, options_.invalid, row_, column_->name);
            end = write_json_text(to, repaired_, high); // U+FFFD takes half of what a control does
        }
        out_.used(end);
    }
    rest_.remove_prefix(piece.size());
    if (!rest_.empty()) return false;
    if (now_ == part::text) out_.put('"');
    now_ = part::none;
    return true;
}

bool json_value_writer::more_of_array() {
    using enum array_reader::token;
    const std::size_t begin = array_.left();
    while (begin - array_.left() < format_step / 2) {
        const array_reader::token t = array_.next();
        if (t == end) {
            in_array_ = false;
            return true;
        }
        if (t == malformed)
            throw std::system_error(make_error_code(errc::protocol),
                                    "row " + std::to_string(row_) + ": an array literal that is malformed");
        if (t != close && comma_) out_.put(',');
        comma_ = t != open;
        if (t == open || t == close) {
            out_.put(t == open ? '[' : ']');
        } else if (t == null) {
            out_.put("null");
        } else if (!scalar(column_->element, array_.text())) {
            return false;
        }
    }
    return false;
}

} // namespace headgate::detail
