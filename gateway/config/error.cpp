#include <algorithm>
#include <tuple>

#include <gateway/config/error.hpp>

namespace headgate::gateway {

namespace {

constexpr std::size_t width_max = 100; // columns of a source line that are shown
constexpr std::size_t value_max = 200; // bytes of a value that are shown

bool continues(char c) noexcept { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }
bool control(char c) noexcept { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

// Where character `n` (from 0) begins.
std::size_t offset_of(std::string_view text, std::size_t n) noexcept {
    std::size_t i = 0;
    while (i < text.size() && n > 0) {
        ++i;
        while (i < text.size() && continues(text[i])) ++i;
        --n;
    }
    return i;
}

std::size_t characters(std::string_view text) noexcept {
    return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return !continues(c); }));
}

std::string harmless(std::string_view text, char instead) {
    std::string out(text);
    for (char& c : out)
        if (control(c)) c = instead;
    return out;
}

} // namespace

std::string printable(std::string_view text) {
    if (text.size() <= value_max) return harmless(text, '?');
    std::size_t end = value_max;
    while (end > 0 && continues(text[end])) --end;
    return harmless(text.substr(0, end), '?') + "...";
}

std::string config_error::text() const {
    std::string out = file;
    if (at.line != 0) {
        out += ':' + std::to_string(at.line);
        out += ':' + std::to_string(at.column);
    }
    if (!out.empty()) out += ": ";
    out += message;
    if (source.empty()) return out;
    const std::string number = std::to_string(at.line);
    out += "\n  " + number + " | " + source;
    out += "\n  " + std::string(number.size(), ' ') + " | " + std::string(caret, ' ') + "^";
    return out;
}

std::string format_errors(std::span<const config_error> errors) {
    std::string out;
    for (const config_error& e : errors) out += e.text() + "\n";
    return out;
}

config_errors::config_errors(std::string_view file, std::string_view text) : file_(file) {
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        if (line.ends_with('\r')) line.remove_suffix(1);
        lines_.push_back(line);
        text.remove_prefix(std::min(end + 1, text.size()));
    }
}

void config_errors::add(config_mark at, std::string message) {
    ++count_;
    if (found_.size() < kept_max) found_.push_back({at, std::move(message)});
}

void config_errors::hide(std::string_view value) {
    if (!value.empty()) hidden_.push_back("'" + printable(value) + "'");
}

std::string config_errors::without_hidden(std::string message) const {
    for (const std::string& h : hidden_)
        for (std::size_t at = message.find(h); at != std::string::npos; at = message.find(h, at))
            message.replace(at, h.size(), "(from a file)");
    return message;
}

// Shows the part of the line around the place.
void config_errors::point_at(config_error& e) const {
    if (e.at.line == 0 || e.at.line > lines_.size()) return;
    const std::string_view line = lines_[e.at.line - 1];
    const std::size_t column = std::min<std::size_t>(e.at.column == 0 ? 0 : e.at.column - 1, characters(line));
    const std::size_t from = characters(line) <= width_max || column < width_max * 3 / 4 ? 0 : column - width_max / 2;
    const std::size_t begin = offset_of(line, from);
    const std::size_t length = offset_of(line.substr(begin), width_max);
    e.source = (from == 0 ? "" : "...") + harmless(line.substr(begin, length), ' ');
    if (begin + length < line.size()) e.source += "...";
    e.caret = column - from + (from == 0 ? 0 : 3);
    if (e.source.empty()) e.source = " "; // of an empty line; the caret needs one to stand below
}

std::vector<config_error> config_errors::take() && {
    std::ranges::sort(found_, {}, [](const found& f) { return std::tie(f.at, f.message); });
    std::vector<config_error> out;
    for (found& f : found_) {
        if (out.size() == shown_max) break;
        config_error& e = out.emplace_back(config_error{file_, f.at, without_hidden(std::move(f.message)), {}, 0});
        point_at(e);
    }
    if (const std::size_t more = count_ - out.size(); more != 0)
        out.push_back({file_, {}, "and " + std::to_string(more) + " more", {}, 0});
    return out;
}

} // namespace headgate::gateway
