#include <headgate/stages/format_rows.hpp>
#include <headgate/stages/json.hpp>
#include <headgate/stages/json_value.hpp>
#include <headgate/stages/utf8.hpp>

#include <set>
#include <string>
#include <system_error>
#include <vector>

namespace headgate {

namespace {

constexpr std::size_t name_bytes_max = 1024; // so that a name and a step of its value fit into one chunk

std::string json_string(std::string_view text) {
    std::string out(6 * text.size() + 18, '"');
    bool high = false;
    const char* end = detail::write_json_text(out.data() + 1, text, high);
    out.resize(static_cast<std::size_t>(end - out.data()));
    return out += '"';
}

// What stands before each value of a row: `{"id":`, `,"total":`.
std::vector<std::string> member_names(const column_set& columns, const json_options& o) {
    std::vector<std::string> out;
    std::set<std::string, std::less<>> taken, given;
    for (const column& c : columns) taken.emplace(c.name);
    for (const column& c : columns) {
        if (c.name.size() > name_bytes_max)
            throw std::system_error(make_error_code(errc::limit_exceeded),
                                    "the name of a column has " + std::to_string(c.name.size()) + " bytes");
        std::string name(c.name);
        for (int n = 2; !given.insert(name).second; ++n) {
            std::string other = std::string(c.name) + '_' + std::to_string(n);
            if (!taken.contains(other)) name = std::move(other);
        }
        if (detail::utf8_valid(name) != name.size()) name = detail::repaired_or_refused(name, o.invalid, 0, {});
        out.push_back((out.empty() ? '{' : ',') + json_string(name) + ':');
    }
    return out;
}

template <bool Array>
class json_writer {
public:
    explicit json_writer(const json_options& o) : options_(o), values_(out, o) {}
    json_writer(const json_writer&) = delete;
    json_writer& operator=(const json_writer&) = delete;

    detail::text_output out;

    void begin(const column_set& columns) {
        columns_ = columns;
        names_ = member_names(columns, options_);
    }
    bool has_header() const noexcept { return false; }
    bool header(std::size_t) const noexcept { return true; }
    void begin_row() {
        if (Array) out.put(row_ == 0 ? "[\n" : ",\n");
        ++row_;
        if (names_.empty()) out.put('{');
    }
    bool value(std::size_t c, cell v) {
        out.put(names_[c]);
        return values_.begin(columns_[c], v, row_);
    }
    bool more() { return values_.more(); }
    void end_row() { out.put(Array ? "}" : "}\n"); }
    void end() {
        if (Array) out.put(row_ == 0 ? "[]\n" : "\n]\n");
    }

private:
    json_options options_;
    column_set columns_;
    std::vector<std::string> names_;
    std::uint64_t row_ = 0;
    detail::json_value_writer values_;
};

} // namespace

stream<chunk> format_ndjson::operator()(stream<row_batch> in) const {
    return detail::format_rows<json_writer<false>>(std::move(in), options_);
}

stream<chunk> format_json_array::operator()(stream<row_batch> in) const {
    return detail::format_rows<json_writer<true>>(std::move(in), options_);
}

} // namespace headgate
