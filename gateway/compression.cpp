#include <headgate/http/accept_encoding.hpp>
#include <headgate/http/list_fields.hpp>
#include <headgate/http/token.hpp>
#include <headgate/stages/gzip.hpp>
#include <headgate/stages/zstd.hpp>

#include <algorithm>

#include <gateway/compression.hpp>

namespace headgate::gateway {

using http::field;

namespace {

// How far back zstd looks, so that a stream keeps less than 1 MB, at any level.
constexpr int zstd_window_log = 16;

// "text/html; charset=utf-8" is of "text/html" and of "text/*".
bool is_of(std::string_view content_type, std::string_view pattern) noexcept {
    const std::string_view type = http::detail::trim(content_type.substr(0, content_type.find(';')));
    if (!pattern.ends_with("/*")) return http::same_token(type, pattern);
    pattern.remove_suffix(1);
    return type.size() > pattern.size() && http::same_token(type.substr(0, pattern.size()), pattern);
}

stream<chunk> one(std::string_view text) { co_yield chunk(text); }

} // namespace

std::string_view wanted_coding(const compression_options& o, const http::header_list& rq) {
    if (o.algorithms.empty() || http::lists(rq, field::cache_control, "no-transform")) return {};
    std::string_view codings[2];
    const std::size_t n = std::min(o.algorithms.size(), std::size(codings));
    std::copy_n(o.algorithms.begin(), n, codings);
    const auto best = http::choose_coding(rq, std::span(codings, n));
    return best ? codings[*best] : std::string_view();
}

bool may_compress(const compression_options& o, std::string_view content_type, std::uint64_t length) noexcept {
    return !o.algorithms.empty() && length >= o.min_length &&
           std::ranges::any_of(o.types, [&](const std::string& t) { return is_of(content_type, t); });
}

bool may_compress(const compression_options& o, const http::response_head& head) noexcept {
    if (o.algorithms.empty() || head.status == 206 || head.framing.how == http::body_framing::kind::none) return false;
    if (head.find(field::content_encoding) || head.find(field::content_range)) return false;
    const bool known = head.framing.how == http::body_framing::kind::length;
    return may_compress(o, head.value(field::content_type), known ? head.framing.length : unlimited) &&
           !http::lists(head.headers, field::cache_control, "no-transform");
}

bool varies_by_encoding(const http::header_list& headers) noexcept {
    return http::lists(headers, field::vary, "Accept-Encoding") || http::lists(headers, field::vary, "*");
}

stream<chunk> encoder::operator()(stream<chunk> in) const {
    if (zstd_) return zstd({.level = level_, .window_log = zstd_window_log, .flush_when_idle = true})(std::move(in));
    return gzip({.level = level_, .flush_when_idle = true})(std::move(in));
}

task<std::string> compressed(std::string_view text, encoder with) {
    stream<chunk> out = with(one(text));
    std::string all;
    while (const auto item = co_await out.next()) all += item->text();
    co_return all;
}

} // namespace headgate::gateway
