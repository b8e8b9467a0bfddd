#include <algorithm>
#include <charconv>

#include <gateway/config/scalars.hpp>
#include <gateway/config/suggest.hpp>
#include <gateway/units.hpp>

namespace headgate::gateway {

namespace {

using result = std::expected<config_scalar, std::string>;

bool is_number(std::string_view text) {
    return !text.empty() && text.size() <= 15 && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

result read_time(const config_field& f, std::string_view text, std::string_view shown) {
    if (is_number(text)) { // which is not repeated if it must not be shown
        const bool open = shown.contains(text);
        return std::unexpected(std::string(shown) + " needs a unit: write " + (open ? std::string(text) : "30") +
                               "s, or ms, m or h");
    }
    const auto d = parse_duration(text);
    if (d) return *d;
    if (text.starts_with("0") && parse_duration("1" + std::string(text.substr(1)))) {
        if (f.or_zero) return duration::zero();
        return std::unexpected(std::string(shown) + " is no time at all; the shortest is 1ms");
    }
    return std::unexpected(std::string(shown) +
                           " is not a duration: a whole number and ms, s, m or h, for example 30s");
}

result read_size(const config_field& f, std::string_view text, std::string_view shown) {
    const auto n = parse_bytes(text);
    if (!n)
        return std::unexpected(std::string(shown) +
                               " is not a size: a whole number and KiB, MiB or GiB, for example 64KiB");
    const auto bytes = static_cast<std::int64_t>(*n);
    if (bytes < f.least || bytes > f.most)
        return std::unexpected(std::string(shown) + " is out of range: from " +
                               format_bytes(static_cast<std::size_t>(f.least)) + " to " +
                               format_bytes(static_cast<std::size_t>(f.most)));
    return bytes;
}

result read_count(const config_field& f, std::string_view text, std::string_view shown) {
    std::int64_t n = 0;
    const char* end = text.data() + text.size();
    const auto [rest, e] = std::from_chars(text.data(), end, n);
    const std::string range = "from " + std::to_string(f.least) + " to " + std::to_string(f.most);
    if (text.empty() || rest != end || (e != std::errc() && e != std::errc::result_out_of_range))
        return std::unexpected(std::string(shown) + " is not a whole number " + range);
    if (e != std::errc() || n < f.least || n > f.most)
        return std::unexpected(std::string(shown) + " is out of range: " + range);
    return n;
}

result read_flag(std::string_view text, std::string_view shown) {
    if (text == "true") return true;
    if (text == "false") return false;
    std::string message = std::string(shown) + " is neither true nor false";
    for (const std::string_view yes : {"on", "yes", "True", "TRUE", "On", "ON", "Yes", "1"})
        if (text == yes) message += "; write true";
    for (const std::string_view no : {"off", "no", "False", "FALSE", "Off", "OFF", "No", "0"})
        if (text == no) message += "; write false";
    return std::unexpected(std::move(message));
}

result read_text(const text_format& format, std::string_view text, std::string_view shown) {
    std::string value(text);
    if (!format.check || format.check(value)) return value;
    return std::unexpected(std::string(shown) + " is not " + std::string(format.what) + ", for example " +
                           std::string(format.example));
}

std::string write_time(duration d) { return d == forever ? "none" : format_duration(d); }

std::string write_list(const auto& items, auto text) {
    std::string out = "[";
    for (const auto& i : items) out += (out.size() == 1 ? "" : ", ") + text(i);
    return out + "]";
}

} // namespace

result read_scalar(const config_field& f, std::string_view text, std::string_view shown) {
    if (f.or_none) {
        if (text == "none") return f.kind == config_kind::time ? config_scalar(forever) : config_unlimited;
        config_field bounded = f;
        bounded.or_none = false;
        auto value = read_scalar(bounded, text, shown);
        if (!value) value.error() += ", or none";
        return value;
    }
    switch (f.kind) {
    case config_kind::time: return read_time(f, text, shown);
    case config_kind::size: return read_size(f, text, shown);
    case config_kind::count: return read_count(f, text, shown);
    case config_kind::flag: return read_flag(text, shown);
    case config_kind::choice:
        if (std::ranges::find(f.choices, text) != f.choices.end()) return std::string(text);
        return std::unexpected(std::string(shown) + " is not one of those known here: " + suggest(text, f.choices));
    default: return read_text(*f.format, text, shown);
    }
}

std::string write_scalar(const config_field& f, const config_scalar& value) {
    if (const auto* d = std::get_if<duration>(&value)) return write_time(*d);
    if (const auto* n = std::get_if<std::int64_t>(&value)) {
        if (*n == config_unlimited) return "none";
        return f.kind == config_kind::size ? format_bytes(static_cast<std::size_t>(*n)) : std::to_string(*n);
    }
    if (const auto* b = std::get_if<bool>(&value)) return *b ? "true" : "false";
    if (const auto* s = std::get_if<std::string>(&value)) return *s;
    if (const auto* all = std::get_if<std::vector<std::string>>(&value))
        return write_list(*all, [](const std::string& s) { return s; });
    if (const auto* all = std::get_if<header_pairs>(&value))
        return write_list(*all, [](const auto& p) { return p.first; });
    return "";
}

} // namespace headgate::gateway
