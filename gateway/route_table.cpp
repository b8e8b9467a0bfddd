#include <headgate/http/authority.hpp>
#include <headgate/http/token.hpp>

#include <algorithm>
#include <array>
#include <tuple>

#include <fmt/format.h>

#include <gateway/path.hpp>
#include <gateway/route_table.hpp>

namespace headgate::gateway {

namespace {

// The parts of specificity that are not host and path; the greater is asked first.
auto rank(bool method, std::size_t headers, std::size_t query, int priority) {
    return std::tuple(method, headers, query, priority);
}
auto rank(const route_match& m) { return rank(!m.methods.empty(), m.headers.size(), m.query.size(), m.priority); }

std::string prefix_key(std::string_view prefix) {
    std::string key = normal_path(prefix);
    while (key.ends_with('/')) key.pop_back();
    return key;
}

// Whether an encoded name or value of a query is `text`.
bool decodes_to(std::string_view encoded, std::string_view text) noexcept {
    std::size_t at = 0;
    for (std::size_t i = 0; i < encoded.size(); ++i, ++at) {
        if (at == text.size()) return false;
        char c = encoded[i];
        if (c == '+') c = ' ';
        if (const int byte = encoded_byte(encoded, i); byte >= 0) {
            c = static_cast<char>(byte);
            i += 2;
        }
        if (c != text[at]) return false;
    }
    return at == text.size();
}

bool query_has(std::string_view query, const value_match& wanted) noexcept {
    if (query.starts_with('?')) query.remove_prefix(1);
    while (!query.empty()) {
        const std::size_t end = std::min(query.find('&'), query.size());
        const std::string_view pair = query.substr(0, end);
        query.remove_prefix(std::min(end + 1, query.size()));
        const std::size_t equals = std::min(pair.find('='), pair.size());
        if (!decodes_to(pair.substr(0, equals), wanted.name)) continue;
        // The first of that name decides: a service may look at any, but a route must not be had by adding one.
        return !wanted.value || decodes_to(pair.substr(std::min(equals + 1, pair.size())), *wanted.value);
    }
    return false;
}

bool headers_have(const http::header_list* headers, const value_match& wanted) noexcept {
    if (!headers) return false;
    return std::ranges::any_of(*headers, [&](const http::header& h) {
        return http::same_token(h.name, wanted.name) && (!wanted.value || h.value == *wanted.value);
    });
}

// Whether no request can be taken by both, because of one value.
bool exclude_each_other(const std::vector<value_match>& a, const std::vector<value_match>& b, bool any_case) {
    for (const value_match& x : a)
        for (const value_match& y : b) {
            const bool same = any_case ? http::same_token(x.name, y.name) : x.name == y.name;
            if (same && x.value && y.value && *x.value != *y.value) return true;
        }
    return false;
}

template <class Range, class Value>
bool holds(const Range& range, const Value& value) {
    return std::ranges::find(range, value) != std::ranges::end(range);
}

bool share_method(const route_match& a, const route_match& b) {
    if (a.methods.empty() || b.methods.empty()) return true;
    return std::ranges::any_of(a.methods, [&](const std::string& m) { return holds(b.methods, m); });
}

std::vector<std::string> hosts_of(const route_match& m) {
    std::vector<std::string> hosts;
    for (const std::string& h : m.hosts) hosts.push_back(http::lower_case(h));
    if (hosts.empty()) hosts.emplace_back();
    return hosts;
}

// The path, and with each of the extensions.
std::vector<std::string> paths_of(const route_match& m) {
    std::vector<std::string> paths{normal_path(*m.path)};
    for (const std::string& e : m.extensions) paths.push_back(paths.front() + e);
    return paths;
}

// Host and path as one key: only routes with the same are ever asked one after the other.
std::vector<std::string> places_of(const route_match& m) {
    std::vector<std::string> places;
    for (const std::string& host : hosts_of(m)) {
        if (m.path)
            for (const std::string& path : paths_of(m)) places.push_back(fmt::format("{} ={}", host, path));
        else
            places.push_back(host + " ^" + (m.path_prefix ? prefix_key(*m.path_prefix) : ""));
    }
    return places;
}

// Whether all that `a` asks, `b` asks too.
bool asks_no_more(const route_match& a, const route_match& b) {
    const auto within = [](const auto& some, const auto& all) {
        return std::ranges::all_of(some, [&](const auto& one) { return holds(all, one); });
    };
    return (a.methods.empty() || (!b.methods.empty() && within(b.methods, a.methods))) &&
           within(a.headers, b.headers) && within(a.query, b.query);
}

} // namespace

bool route_table::candidate::takes(const route_request& rq) const {
    if (!methods.empty() && !holds(methods, rq.method)) return false;
    return std::ranges::all_of(headers, [&](const value_match& v) { return headers_have(rq.headers, v); }) &&
           std::ranges::all_of(query, [&](const value_match& v) { return query_has(rq.query, v); });
}

bool route_table::candidate::before(const candidate& other) const noexcept {
    return rank(!methods.empty(), headers.size(), query.size(), priority) >
           rank(!other.methods.empty(), other.headers.size(), other.query.size(), other.priority);
}

route_table::route_table(const std::vector<route_match>& routes) {
    for (std::size_t i = 0; i < routes.size(); ++i) {
        for (const std::string& host : hosts_of(routes[i])) {
            if (host.empty())
                add(any_host_, routes[i], i);
            else if (host.starts_with('*'))
                add(wildcards_[host.substr(1)], routes[i], i);
            else
                add(hosts_[host], routes[i], i);
        }
    }
}

void route_table::add(paths& to, const route_match& m, std::size_t index) {
    const candidate c{index, m.methods, m.headers, m.query, m.priority};
    const auto add_to = [&c](candidates& all) {
        all.insert(std::ranges::find_if(all, [&](const candidate& other) { return c.before(other); }), c);
    };
    if (m.path)
        for (const std::string& path : paths_of(m)) add_to(to.exact[path]);
    else
        add_to(m.path_prefix ? to.prefixes[prefix_key(*m.path_prefix)] : to.any);
}

std::optional<std::size_t> route_table::paths::find(const route_request& rq) const {
    const auto among = [&](const candidates& all) -> std::optional<std::size_t> {
        for (const candidate& c : all)
            if (c.takes(rq)) return c.route;
        return std::nullopt;
    };
    if (!exact.empty())
        if (const auto found = exact.find(rq.path); found != exact.end())
            if (const auto route = among(found->second)) return route;
    if (!prefixes.empty() && rq.path.starts_with('/')) {
        std::string_view prefix = rq.path;
        for (;;) {
            if (const auto found = prefixes.find(prefix.ends_with('/') ? prefix.substr(0, prefix.size() - 1) : prefix);
                found != prefixes.end())
                if (const auto route = among(found->second)) return route;
            if (prefix.empty()) break;
            prefix = prefix.substr(0, prefix.rfind('/'));
        }
    }
    return among(any);
}

std::optional<std::size_t> route_table::find(const route_request& rq) const {
    if (!hosts_.empty() || !wildcards_.empty()) {
        // Names are short; one that is longer than a name may be (RFC 1035, section 2.3.4) has no route of its own.
        std::array<char, 256> lowered;
        std::string_view host = rq.host.ends_with('.') ? rq.host.substr(0, rq.host.size() - 1) : rq.host;
        if (host.size() <= lowered.size()) {
            std::ranges::transform(host, lowered.begin(), http::detail::lower);
            host = {lowered.data(), host.size()};
            if (const auto found = hosts_.find(host); found != hosts_.end())
                if (const auto route = found->second.find(rq)) return route;
            if (!wildcards_.empty())
                for (std::size_t dot = host.find('.', 1); dot != std::string_view::npos; dot = host.find('.', dot + 1))
                    if (const auto found = wildcards_.find(host.substr(dot)); found != wildcards_.end())
                        if (const auto route = found->second.find(rq)) return route;
        }
    }
    return any_host_.find(rq);
}

std::vector<route_conflict> route_table::conflicts(const std::vector<route_match>& routes, std::size_t most) {
    std::unordered_map<std::string, std::vector<std::size_t>> by_place;
    std::vector<route_conflict> found;
    for (std::size_t i = 0; i < routes.size() && found.size() < most; ++i) {
        for (const std::string& place : places_of(routes[i])) {
            auto& others = by_place[place];
            for (const std::size_t j : others) {
                const route_match& a = routes[j];
                const route_match& b = routes[i];
                if (!share_method(a, b) || exclude_each_other(a.headers, b.headers, true) ||
                    exclude_each_other(a.query, b.query, false))
                    continue;
                if (rank(a) == rank(b))
                    found.push_back({j, i, false});
                else if (rank(a) > rank(b) && asks_no_more(a, b))
                    found.push_back({j, i, true});
                else if (rank(b) > rank(a) && asks_no_more(b, a))
                    found.push_back({i, j, true});
            }
            others.push_back(i);
        }
    }
    // Routes with several hosts or extensions meet once for each. What is reached at one of them is reached.
    const auto key = [](const route_conflict& c) { return std::tuple(c.first, c.second, c.unreachable); };
    std::ranges::sort(found, {}, key);
    std::erase_if(found, [&, all = found](const route_conflict& c) {
        const auto same = std::ranges::equal_range(all, key(c), {}, key);
        return c.unreachable && same.size() < places_of(routes[c.second]).size();
    });
    const auto again = std::ranges::unique(found, {}, key);
    found.erase(again.begin(), again.end());
    return found;
}

bool is_route_host(std::string_view host) noexcept {
    const bool wildcard = host.starts_with("*.");
    if (wildcard) host.remove_prefix(2);
    const auto parsed = http::parse_authority(host);
    return parsed && parsed->text == parsed->host && host.find('*') == std::string_view::npos && host.size() <= 255 &&
           !(wildcard && host.starts_with('['));
}

} // namespace headgate::gateway
