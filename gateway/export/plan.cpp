#include <headgate/http/accept_encoding.hpp>
#include <headgate/http/list_fields.hpp>
#include <headgate/http/token.hpp>
#include <headgate/stages/utf8.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>
#include <re2/re2.h>

#include <gateway/export/parameter_type.hpp>
#include <gateway/export/plan.hpp>
#include <gateway/path.hpp>

namespace headgate::gateway {

namespace {

using http::field;

std::string decoded(std::string_view text, bool form) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const int byte = text[i] == '%' ? encoded_byte(text, i) : -1;
        if (byte >= 0) i += 2;
        out += byte >= 0 ? static_cast<char>(byte) : form && text[i] == '+' ? ' ' : text[i];
    }
    return out;
}

// The segments of the path behind the prefix, not decoded.
std::vector<std::string_view> segments_of(std::string_view path, std::string_view prefix) {
    path.remove_prefix(std::min(prefix.size(), path.size()));
    std::vector<std::string_view> out;
    while (!path.empty()) {
        const std::string_view s = path.substr(0, path.find('/'));
        path.remove_prefix(std::min(s.size() + 1, path.size()));
        if (!s.empty()) out.push_back(s);
    }
    return out;
}

// Takes ".csv", or ".csv.gz", off the end of a name.
bool take_extension(std::string_view& name, export_plan& plan) {
    std::string_view rest = name;
    export_coding coding = export_coding::identity;
    for (const export_coding c : {export_coding::gzip, export_coding::zstd})
        if (rest.ends_with(extension(c))) {
            rest.remove_suffix(extension(c).size());
            coding = c;
            break;
        }
    const std::size_t dot = rest.rfind('.');
    if (dot == std::string_view::npos) return false;
    const auto format = format_named(rest.substr(dot + 1));
    if (!format) return false;
    plan.format = *format;
    plan.coding = coding;
    plan.packed = coding != export_coding::identity;
    name = rest.substr(0, dot);
    return true;
}

// How exactly a media range of Accept names the type; -1 if it does not.
int exactness(std::string_view range, std::string_view type) noexcept {
    range = http::detail::trim(range.substr(0, range.find(';')));
    if (http::same_token(range, type)) return 2;
    const auto all_of = [](std::string_view t) { return t.substr(0, t.find('/')); };
    if (range.ends_with("/*") && http::same_token(all_of(range), all_of(type))) return 1;
    return range == "*/*" ? 0 : -1;
}

// The weight of the range that names it most exactly, in thousandths; 1000 if there is no Accept.
int media_weight(const http::header_list& headers, std::string_view type) {
    if (!headers.contains(field::accept)) return 1000;
    int weight = 0;
    int best = -1;
    for (const std::string_view element : http::elements(headers, field::accept)) {
        const http::weighted range = http::read_weighted(element);
        const int e = exactness(range.name, type);
        if (e > best) weight = range.weight;
        best = std::max(best, e);
    }
    return weight;
}

bool among(const std::vector<std::string>& list, std::string_view name) {
    return std::ranges::find(list, name) != list.end();
}

std::expected<void, export_refusal> choose_format(const http::request_head& head, std::string_view last,
                                                  const export_action& a, export_plan& plan) {
    const auto not_here = [&](std::string_view what) {
        return std::unexpected(
            export_refusal{406, fmt::format("there is no {} of this; there are {}", what, fmt::join(a.formats, ", "))});
    };
    if (take_extension(last, plan)) {
        if (!among(a.formats, to_string(plan.format))) return not_here(to_string(plan.format));
        if (plan.packed && !among(a.compression, to_string(plan.coding))) return not_here(to_string(plan.coding));
        return {};
    }
    if (const auto named = query_value(head.query, "format")) {
        const auto f = format_named(*named);
        if (!f || !among(a.formats, *named))
            return std::unexpected(
                export_refusal{400, fmt::format("format: there are {}", fmt::join(a.formats, ", "))});
        plan.format = *f;
        return {};
    }
    int best = 0;
    for (const std::string& name : a.formats) {
        const export_format f = *format_named(name);
        const int weight = media_weight(head.headers, media_type(f));
        if (weight <= best) continue;
        best = weight;
        plan.format = f;
    }
    if (best == 0) return not_here("such media type");
    return {};
}

std::optional<std::string> given(const http::request_head& head, const std::vector<std::string_view>& segments,
                                 const export_parameter& p) {
    const std::string_view key = p.key.empty() ? p.name : p.key;
    switch (p.from) {
    case parameter_place::query: return query_value(head.query, key);
    case parameter_place::header: {
        const http::header* h = head.find(key);
        return h ? std::optional(std::string(h->value)) : std::nullopt;
    }
    case parameter_place::path: break;
    }
    if (p.segment > segments.size()) return std::nullopt;
    return decoded(segments[p.segment - 1], false);
}

std::string where(const export_parameter& p) {
    const std::string_view key = p.key.empty() ? p.name : p.key;
    switch (p.from) {
    case parameter_place::query: return fmt::format("the parameter {}", key);
    case parameter_place::header: return fmt::format("the header {}", key);
    case parameter_place::path: break;
    }
    return fmt::format("{}, segment {} of the path", p.name, p.segment);
}

std::expected<db::parameter, export_refusal> value_of(const export_parameter& p, const RE2* pattern,
                                                      std::optional<std::string> text) {
    const auto refused = [&p](std::string_view why) {
        return std::unexpected(export_refusal{400, where(p) + ": " + std::string(why)});
    };
    if (!text && p.required) return refused("is missing");
    if (!text) text = p.default_value;
    if (!text) return db::parameter{.name = p.name, .type = value_type::null};
    if (!p.values.empty() && !among(p.values, *text))
        return refused(fmt::format("must be one of {}", fmt::join(p.values, ", ")));
    if (pattern && !matches(*pattern, *text))
        return refused(fmt::format("does not match the pattern {}", pattern->pattern()));
    const value_type type = *parameter_type(p.type);
    auto value = parameter_value(type, *text);
    if (!value) return refused(value.error());
    return db::parameter{.name = p.name, .type = type, .text = std::move(*value)};
}

} // namespace

std::optional<std::string> query_value(std::string_view query, std::string_view name) {
    if (query.starts_with('?')) query.remove_prefix(1);
    while (!query.empty()) {
        const std::string_view pair = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(pair.size() + 1, query.size()));
        const std::size_t equals = std::min(pair.find('='), pair.size());
        if (decoded(pair.substr(0, equals), true) == name)
            return decoded(pair.substr(std::min(equals + 1, pair.size())), true);
    }
    return std::nullopt;
}

bool has_export_extension(std::string_view name) {
    export_plan any;
    return take_extension(name, any);
}

namespace {

// Takes what stands before the next `{name}`, and the name; an empty name at the end.
std::pair<std::string_view, std::string_view> take_name(std::string_view& pattern) {
    const std::size_t open = pattern.find('{');
    const std::size_t close = pattern.find('}', std::min(open, pattern.size()));
    if (close == std::string_view::npos) return {std::exchange(pattern, {}), {}};
    const std::pair taken(pattern.substr(0, open), pattern.substr(open + 1, close - open - 1));
    pattern.remove_prefix(close + 1);
    return taken;
}

std::string part_of_name(std::string_view value) {
    constexpr std::size_t bytes_max = 100;
    const std::size_t valid = headgate::detail::utf8_valid(value);
    std::string out(value.substr(0, headgate::detail::utf8_cut(value.substr(0, valid), bytes_max)));
    for (char& c : out)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '/' || c == '\\') c = '_';
    return out;
}

} // namespace

std::vector<std::string_view> names_in_filename(std::string_view pattern) {
    std::vector<std::string_view> names;
    while (!pattern.empty())
        if (const auto name = take_name(pattern).second; name.data()) names.push_back(name);
    return names;
}

std::string export_filename(std::string_view pattern, const std::vector<db::parameter>& values) {
    std::string out;
    while (!pattern.empty()) {
        const auto [plain, name] = take_name(pattern);
        out += plain;
        const auto value = std::ranges::find(values, name, &db::parameter::name);
        if (value != values.end() && value->type != value_type::null) out += part_of_name(value->text);
    }
    return out;
}

std::string content_disposition(std::string_view filename) {
    std::string plain, encoded;
    bool differ = false;
    for (const char c : filename) {
        const auto u = static_cast<unsigned char>(c);
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        const bool attr_char = letter || (c != 0 && std::string_view("!#$&+-.^_`|~").contains(c));
        const bool keep = u >= 0x20 && u < 0x7f && c != '"' && c != '\\' && c != '%';
        plain += keep ? c : '_';
        differ |= !keep;
        encoded += attr_char ? std::string(1, c) : fmt::format("%{:02X}", u);
    }
    std::string out = "attachment; filename=\"" + plain + '"';
    if (differ) out += "; filename*=UTF-8''" + encoded;
    return out;
}

export_patterns compile_patterns(const std::vector<export_parameter>& all) {
    export_patterns out;
    for (const export_parameter& p : all) {
        auto& pattern = out.emplace_back();
        if (p.pattern.empty()) continue;
        pattern = std::make_shared<const RE2>(p.pattern, RE2::Quiet);
        if (!pattern->ok()) throw std::invalid_argument("the pattern of " + p.name + ": " + pattern->error());
    }
    return out;
}

bool matches(const RE2& pattern, std::string_view value) {
    return RE2::FullMatch({value.data(), value.size()}, pattern);
}

std::expected<export_plan, export_refusal> plan_export(const http::request_head& head, std::string_view prefix,
                                                       const export_action& a, const export_patterns& patterns) {
    export_plan plan;
    const std::string path = normal_path(head.path);
    std::vector<std::string_view> segments = segments_of(path, prefix);
    const std::string_view last = std::string_view(path).substr(path.rfind('/') + 1);
    if (auto chosen = choose_format(head, last, a, plan); !chosen) return std::unexpected(std::move(chosen.error()));
    if (export_plan named; !segments.empty() && take_extension(segments.back(), named) && segments.back().empty())
        segments.pop_back();
    for (std::size_t i = 0; i < a.parameters.size(); ++i) {
        const export_parameter& p = a.parameters[i];
        auto value = value_of(p, patterns[i].get(), given(head, segments, p));
        if (!value) return std::unexpected(std::move(value.error()));
        plan.values.push_back(std::move(*value));
    }
    if (plan.coding == export_coding::identity) {
        const std::vector<std::string_view> codings(a.compression.begin(), a.compression.end());
        if (const auto best = http::choose_coding(head.headers, codings))
            plan.coding = codings[*best] == "gzip" ? export_coding::gzip : export_coding::zstd;
    }
    plan.trailers = head.minor_version != 0 && http::lists(head.headers, field::te, "trailers");
    plan.content_type =
        plan.packed ? fmt::format("application/{}", to_string(plan.coding)) : content_type(plan.format, a.csv);
    plan.disposition =
        content_disposition(fmt::format("{}.{}{}", export_filename(a.filename, plan.values), to_string(plan.format),
                                        plan.packed ? extension(plan.coding) : std::string_view()));
    return plan;
}

} // namespace headgate::gateway
