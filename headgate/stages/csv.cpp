#include <headgate/stages/csv.hpp>
#include <headgate/stages/format_rows.hpp>
#include <headgate/stages/text_format.hpp>
#include <headgate/stages/text_scan.hpp>
#include <headgate/stages/utf8.hpp>
#include <headgate/stages/value_text.hpp>

#include <stdexcept>

namespace headgate {

namespace {

constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
constexpr std::size_t null_bytes_max = 64;

class csv_writer {
public:
    explicit csv_writer(const csv_options& o) : options_(o) {}

    detail::text_output out;

    void begin(const column_set& columns) {
        columns_ = columns;
        if (options_.bom) out.put(byte_order_mark);
    }
    bool has_header() const noexcept { return options_.header; }
    bool header(std::size_t c) {
        if (c != 0) out.put(options_.delimiter);
        return text(c, columns_[c].name, not_minimal());
    }
    void begin_row() noexcept { ++row_; }
    bool value(std::size_t c, cell v) {
        if (c != 0) out.put(options_.delimiter);
        switch (v.type) {
        case value_type::null: out.put(options_.null); return true;
        case value_type::integer:
        case value_type::floating:
        case value_type::numeric: return text(c, v.text, options_.quotes == csv_quotes::all);
        case value_type::boolean: return text(c, v.text == "t" ? "true" : "false", not_minimal());
        case value_type::timestamp:
        case value_type::timestamptz:
        case value_type::timetz: return text(c, detail::moment(v.type, v.text, moment_), not_minimal());
        case value_type::bytea:
            if (options_.bytes == byte_coding::hex) return text(c, v.text, not_minimal());
            return bytes(c, v);
        case value_type::blob: return bytes(c, v);
        default: return text(c, v.text, not_minimal());
        }
    }
    bool more() { return bytes_.ended() ? more_text() : more_bytes(); }
    void end_row() { out.put(options_.crlf ? "\r\n" : "\n"); }
    void end() noexcept {}

private:
    bool not_minimal() const noexcept { return options_.quotes != csv_quotes::minimal; }
    bool text(std::size_t column, std::string_view t, bool quote);
    bool more_text();
    void quoted(std::string_view t);
    bool bytes(std::size_t column, cell v);
    bool more_bytes();

    csv_options options_;
    column_set columns_;
    std::uint64_t row_ = 0; // 0 is the header
    detail::moment_text moment_{};

    // Of a long text: what is still to be written, and how.
    std::string_view rest_;
    bool quoted_ = false;
    std::string repaired_;
    detail::byte_pieces bytes_;
};

bool csv_writer::text(std::size_t column, std::string_view t, bool quote) {
    const detail::text_seen seen = detail::scan_csv(t, options_.delimiter);
    if (seen.high && detail::utf8_valid(t) != t.size())
        t = repaired_ = detail::repaired_or_refused(t, options_.invalid, row_, columns_[column].name);
    rest_ = t;
    quoted_ = quote || seen.special || t == options_.null || t == "\\.";
    if (!quoted_ && t.size() <= detail::format_step) {
        out.put(t);
        return true;
    }
    if (quoted_) out.put('"');
    return more_text();
}

bool csv_writer::more_text() {
    const std::string_view piece = rest_.substr(0, detail::format_step);
    rest_.remove_prefix(piece.size());
    if (quoted_)
        quoted(piece);
    else
        out.put(piece);
    if (!rest_.empty()) return false;
    if (quoted_) out.put('"');
    return true;
}

void csv_writer::quoted(std::string_view t) {
    char* to = out.room(2 * t.size());
    while (!t.empty()) {
        const std::size_t quote = t.find('"');
        const bool found = quote != std::string_view::npos;
        const std::string_view plain = t.substr(0, found ? quote + 1 : t.size());
        to += plain.copy(to, plain.size());
        if (found) *to++ = '"';
        t.remove_prefix(plain.size());
    }
    out.used(to);
}

// Few bytes are written as text is, for they may read as no value does.
bool csv_writer::bytes(std::size_t column, cell v) {
    bytes_ = detail::byte_pieces(v.type, v.text);
    const bool hex = options_.bytes == byte_coding::hex;
    if (v.text.size() <= 2 * null_bytes_max) {
        std::array<char, 2 + 4 * null_bytes_max> room;
        char* to = room.data();
        if (hex) to += std::string_view("\\x").copy(to, 2);
        const std::string_view all = bytes_.next();
        to = hex ? detail::write_hex(to, all) : detail::write_base64(to, all);
        return text(column, {room.data(), static_cast<std::size_t>(to - room.data())}, not_minimal());
    }
    if (not_minimal()) out.put('"');
    if (hex) out.put("\\x");
    return more_bytes();
}

bool csv_writer::more_bytes() {
    const std::string_view piece = bytes_.next();
    char* const to = out.room(2 * piece.size() + 4);
    out.used(options_.bytes == byte_coding::hex ? detail::write_hex(to, piece) : detail::write_base64(to, piece));
    if (bytes_.ended() && not_minimal()) out.put('"');
    return bytes_.ended();
}

} // namespace

bool is_csv_delimiter(char c) noexcept {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return c > 0 && c < 0x7f && !letter && std::string_view("\"\r\n+-.\\=/").find(c) == std::string_view::npos;
}

bool is_csv_null(std::string_view text, char delimiter) noexcept {
    return text.size() <= null_bytes_max && !detail::scan_csv(text, delimiter).special &&
           detail::utf8_valid(text) == text.size();
}

format_csv::format_csv(csv_options o) : options_(std::move(o)) {
    if (!is_csv_delimiter(options_.delimiter)) throw std::invalid_argument("csv: this cannot be a delimiter");
    if (!is_csv_null(options_.null, options_.delimiter))
        throw std::invalid_argument("csv: this cannot be the text for no value");
}

stream<chunk> format_csv::operator()(stream<row_batch> in) const {
    return detail::format_rows<csv_writer>(std::move(in), options_);
}

} // namespace headgate
