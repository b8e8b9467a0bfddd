#include <headgate/http/authority.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include <fmt/format.h>

#include <gateway/units.hpp>

namespace headgate::gateway {

namespace {

struct unit {
    std::string_view name;
    std::int64_t factor;
};

constexpr std::array<unit, 4> times{{{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}}};
constexpr std::array<unit, 5> sizes{
    {{"", 1}, {"B", 1}, {"KiB", 1024}, {"MiB", 1024 * 1024}, {"GiB", std::int64_t{1024} * 1024 * 1024}}};

// A whole number and one of the units.
template <std::size_t N>
std::expected<std::int64_t, std::string> parse_with_unit(std::string_view text, const std::array<unit, N>& units,
                                                         std::string_view what) {
    std::int64_t n = 0;
    const char* end = text.data() + text.size();
    const auto [rest, e] = std::from_chars(text.data(), end, n);
    const std::string_view name(rest, static_cast<std::size_t>(end - rest));
    if (e == std::errc() && n >= 0)
        for (const unit& u : units)
            if (u.name == name && n <= std::numeric_limits<std::int64_t>::max() / 1'000'000 / u.factor)
                return n * u.factor;
    return std::unexpected("'" + std::string(text) + "' is not " + std::string(what));
}

} // namespace

std::expected<duration, std::string> parse_duration(std::string_view text) {
    const auto ms = parse_with_unit(text, times, "a duration: a whole number and ms, s, m or h, for example 30s");
    if (!ms) return std::unexpected(ms.error());
    if (*ms == 0) return std::unexpected("'" + std::string(text) + "' is no time at all; the shortest is 1ms");
    return std::chrono::milliseconds(*ms);
}

std::expected<std::size_t, std::string> parse_bytes(std::string_view text) {
    const auto n = parse_with_unit(text, sizes, "a size: a whole number and KiB, MiB or GiB, for example 64KiB");
    if (!n) return std::unexpected(n.error());
    return static_cast<std::size_t>(*n);
}

std::expected<endpoint, std::string> parse_endpoint(std::string_view text) {
    const auto a = http::parse_authority(text);
    if (!a || a->port == 0)
        return std::unexpected("'" + std::string(text) + "' is not host:port, for example 127.0.0.1:9000");
    std::string_view host = a->host;
    if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
    return endpoint{std::string(host), a->port};
}

std::expected<endpoint, std::string> parse_http_url(std::string_view text) {
    constexpr std::string_view scheme = "http://";
    const std::string quoted = "'" + std::string(text) + "'";
    if (!text.starts_with(scheme)) {
        if (text.starts_with("https://")) return std::unexpected(quoted + ": https upstreams are not supported yet");
        return std::unexpected(quoted +
                               " is not an upstream; write http://host:port, for example http://127.0.0.1:9000");
    }
    std::string_view rest = text.substr(scheme.size());
    if (rest.ends_with('/')) rest.remove_suffix(1);
    if (rest.find_first_of("/?#") != std::string_view::npos)
        return std::unexpected(quoted + " has a path; requests keep their own, so write only http://host:port");
    const auto a = http::parse_authority(rest);
    if (!a) return std::unexpected(quoted + " has no valid host; write http://host:port");
    std::string with_port(rest);
    if (a->port == 0) with_port = std::string(a->host) + ":80";
    return parse_endpoint(with_port);
}

std::expected<status_range, std::string> parse_status_range(std::string_view text) {
    status_range r;
    const std::size_t dash = std::min(text.find('-'), text.size());
    const auto read = [](std::string_view number, int& to) {
        const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), to);
        return error == std::errc() && end == number.data() + number.size() && to >= 200 && to <= 599;
    };
    const std::string_view last = dash == text.size() ? text : text.substr(dash + 1);
    if (!read(text.substr(0, dash), r.from) || !read(last, r.to) || r.from > r.to)
        return std::unexpected("'" + std::string(text) + "' is not statuses; write 200-399, or 204");
    return r;
}

namespace {

constexpr std::pair<std::string_view, bool retry_conditions::*> conditions[] = {
    {"connect_failure", &retry_conditions::connect_failure},
    {"reset", &retry_conditions::reset},
    {"timeout", &retry_conditions::timeout},
    {"gateway_error", &retry_conditions::gateway_error},
    {"5xx", &retry_conditions::server_error}};

} // namespace

bool add_retry_condition(retry_conditions& to, std::string_view text) {
    for (const auto& [name, member] : conditions)
        if (name == text) return to.*member = true;
    const auto statuses = parse_status_range(text);
    if (!statuses || statuses->from < 400) return false;
    to.statuses.push_back(*statuses);
    return true;
}

std::vector<std::string> format_retry_conditions(const retry_conditions& c) {
    std::vector<std::string> all;
    for (const auto& [name, member] : conditions)
        if (c.*member) all.emplace_back(name);
    for (const status_range& r : c.statuses) all.push_back(r.text());
    return all;
}

std::expected<ratio, std::string> parse_ratio(std::string_view text) {
    ratio r;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), r.value, std::chars_format::fixed);
    if (error != std::errc() || end != text.data() + text.size() || !(r.value >= 0 && r.value <= 1))
        return std::unexpected("'" + std::string(text) + "' is not a number from 0 to 1");
    return r;
}

std::string ratio::text() const { return fmt::format("{}", value); }

std::string status_range::text() const {
    return from == to ? std::to_string(from) : std::to_string(from) + "-" + std::to_string(to);
}

std::string endpoint::text() const {
    const bool v6 = host.find(':') != std::string::npos;
    return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::string format_duration(duration d) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
    for (std::size_t i = times.size(); i-- > 0;)
        if (ms != 0 && ms % times[i].factor == 0)
            return std::to_string(ms / times[i].factor) + std::string(times[i].name);
    return "0s";
}

std::string format_bytes(std::size_t n) {
    const auto bytes = static_cast<std::int64_t>(n);
    for (std::size_t i = sizes.size(); i-- > 2;)
        if (bytes != 0 && bytes % sizes[i].factor == 0)
            return std::to_string(bytes / sizes[i].factor) + std::string(sizes[i].name);
    return std::to_string(bytes);
}

} // namespace headgate::gateway
