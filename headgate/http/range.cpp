#include <headgate/http/date.hpp>
#include <headgate/http/range.hpp>
#include <headgate/http/token.hpp>

#include <algorithm>
#include <charconv>
#include <limits>

namespace headgate::http {

namespace {

// A number of digits alone; one that is too large counts as the largest there is.
std::optional<std::uint64_t> number(std::string_view text) {
    if (text.empty() || !detail::all(detail::digit_byte, text)) return std::nullopt;
    std::uint64_t value = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc())
        return std::numeric_limits<std::uint64_t>::max();
    return value;
}

struct one_range {
    bool valid = false;
    byte_range part{}; // of no length if there is none of it
};

one_range parse_one(std::string_view text, std::uint64_t size) {
    const std::size_t dash = text.find('-');
    if (dash == std::string_view::npos) return {};
    const auto last = number(text.substr(dash + 1));
    if (dash == 0) {
        if (!last) return {};
        const std::uint64_t length = std::min(*last, size);
        return {true, {size - length, length}};
    }
    const auto first = number(text.substr(0, dash));
    if (!first || (!last && dash + 1 != text.size()) || (last && *last < *first)) return {};
    if (*first >= size) return {true, {}};
    return {true, {*first, std::min(last.value_or(size - 1), size - 1) - *first + 1}};
}

// One entity-tag off the front of a list (RFC 9110, section 8.8.3); empty at its end, or where it is malformed.
std::string_view next_etag(std::string_view& list) {
    list.remove_prefix(std::min(list.find_first_not_of(" \t,"), list.size()));
    const std::size_t quote = list.starts_with("W/") ? 2 : 0;
    const std::size_t end = quote < list.size() && list[quote] == '"' ? list.find('"', quote + 1) : list.npos;
    if (end == list.npos) return list = {};
    const std::string_view tag = list.substr(0, end + 1);
    list.remove_prefix(tag.size());
    return tag;
}

std::string_view opaque(std::string_view etag) { return etag.starts_with("W/") ? etag.substr(2) : etag; }

bool same_strongly(std::string_view a, std::string_view b) { return a == b && !a.starts_with("W/"); }
bool same_weakly(std::string_view a, std::string_view b) { return opaque(a) == opaque(b); }

// Whether a field of the request, which may come several times, names the tag, or any.
template <class Same>
bool names(const request_head& rq, field id, std::string_view etag, Same same) {
    for (const header& h : rq.headers) {
        if (h.id != id) continue;
        if (h.value == "*") return true;
        std::string_view list = h.value;
        for (std::string_view tag = next_etag(list); !tag.empty(); tag = next_etag(list))
            if (same(tag, etag)) return true;
    }
    return false;
}

// The date in a field; nothing if it is not one, or comes twice: then the field is ignored.
std::optional<std::int64_t> date_in(const request_head& rq, field id, std::int64_t now) {
    const auto same = [id](const header& h) { return h.id == id; };
    if (std::ranges::count_if(rq.headers, same) != 1) return std::nullopt;
    return parse_date(rq.value(id), now);
}

} // namespace

std::optional<std::vector<byte_range>> parse_ranges(std::string_view value, std::uint64_t size, std::size_t most) {
    const std::size_t equals = value.find('=');
    if (equals == std::string_view::npos || !same_token(value.substr(0, equals), "bytes")) return std::nullopt;
    value.remove_prefix(equals + 1);
    std::vector<byte_range> parts;
    std::size_t asked = 0;
    std::uint64_t left = size; // what the parts may still have
    while (!value.empty()) {
        const std::string_view text = next_element(value);
        if (text.empty()) continue;
        const one_range r = parse_one(text, size);
        if (!r.valid || ++asked > most || r.part.length > left) return std::nullopt;
        left -= r.part.length;
        if (r.part.length != 0) parts.push_back(r.part);
    }
    if (asked == 0) return std::nullopt;
    return parts;
}

std::string content_range(byte_range r, std::uint64_t size) {
    return "bytes " + std::to_string(r.first) + "-" + std::to_string(r.first + r.length - 1) + "/" +
           std::to_string(size);
}

precondition check_preconditions(const request_head& rq, const validators& v, std::int64_t now) {
    if (rq.find(field::if_match)) {
        if (!names(rq, field::if_match, v.etag, same_strongly)) return precondition::failed;
    } else if (const auto date = date_in(rq, field::if_unmodified_since, now); date && v.modified > *date) {
        return precondition::failed;
    }
    if (rq.find(field::if_none_match)) {
        if (names(rq, field::if_none_match, v.etag, same_weakly)) return precondition::not_modified;
    } else if (const auto date = date_in(rq, field::if_modified_since, now); date && v.modified <= *date) {
        return precondition::not_modified;
    }
    return precondition::holds;
}

bool if_range_holds(const request_head& rq, const validators& v, std::int64_t now) {
    const header* condition = rq.find(field::if_range);
    if (!condition) return true;
    if (condition->value.find('"') != std::string_view::npos) return same_strongly(condition->value, v.etag);
    const auto date = date_in(rq, field::if_range, now);
    return date && *date == v.modified && v.modified + 1 < now;
}

} // namespace headgate::http
