#include <headgate/stages/utf8.hpp>

#include <cmath>

#include <fmt/format.h>

#include <gateway/admin/json.hpp>

namespace headgate::gateway::admin {

void json_writer::separate() {
    if (comma_) out_ += ',';
    comma_ = true;
}

json_writer& json_writer::open(char c) {
    separate();
    out_ += c;
    comma_ = false;
    return *this;
}

json_writer& json_writer::close(char c) {
    out_ += c;
    comma_ = true;
    return *this;
}

json_writer& json_writer::raw(std::string_view json) {
    separate();
    out_ += json;
    return *this;
}

json_writer& json_writer::key(std::string_view name) {
    separate();
    write_text(name);
    out_ += ':';
    comma_ = false;
    return *this;
}

json_writer& json_writer::value(std::string_view text) {
    separate();
    write_text(text);
    return *this;
}

json_writer& json_writer::value(double n) {
    if (!std::isfinite(n)) return null();
    separate();
    fmt::format_to(std::back_inserter(out_), "{}", std::round(n * 1000) / 1000);
    return *this;
}

void json_writer::write_text(std::string_view text) {
    const std::string repaired =
        headgate::detail::utf8_valid(text) == text.size() ? std::string() : headgate::detail::utf8_repaired(text);
    out_ += '"';
    for (const char c : repaired.empty() ? text : std::string_view(repaired)) {
        if (c == '"' || c == '\\')
            (out_ += '\\') += c;
        else if (static_cast<unsigned char>(c) < 0x20)
            fmt::format_to(std::back_inserter(out_), "\\u{:04x}", static_cast<unsigned>(c));
        else
            out_ += c;
    }
    out_ += '"';
}

} // namespace headgate::gateway::admin
