#include <headgate/http/authority.hpp>
#include <headgate/http/token.hpp>

#include <algorithm>

#include <gateway/policy/cors.hpp>

namespace headgate::gateway {

using http::field;

namespace {

constexpr std::string_view any = "*";
constexpr std::string_view request_method = "Access-Control-Request-Method";
constexpr std::string_view request_headers = "Access-Control-Request-Headers";

bool has_any(const std::vector<std::string>& all) noexcept { return std::ranges::find(all, any) != all.end(); }

std::string joined(const std::vector<std::string>& all) {
    std::string out;
    for (const std::string& one : all) out.append(out.empty() ? "" : ", ").append(one);
    return out;
}

std::string_view value_of(const http::request_head& head, std::string_view name) noexcept {
    const http::header* const found = head.find(name);
    return found ? found->value : std::string_view();
}

// What an answer is given back with goes into a field of it: only names.
bool is_list_of_tokens(std::string_view list) noexcept {
    while (!list.empty())
        if (const std::string_view one = http::next_element(list); !one.empty() && !http::is_token(one)) return false;
    return true;
}

bool below(std::string_view origin, std::string_view pattern) noexcept {
    const std::size_t star = pattern.find(any);
    if (star == std::string_view::npos || origin.size() <= pattern.size() - 1) return false;
    const std::string_view before = pattern.substr(0, star);
    const std::string_view after = pattern.substr(star + 1);
    if (!origin.starts_with(before) || !origin.ends_with(after)) return false;
    const std::string_view name = origin.substr(before.size(), origin.size() - before.size() - after.size());
    return name.front() != '.' && std::ranges::all_of(name, [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
           });
}

// The origin's own permission. Gives whether it has one.
bool add_origin(const cors_options& o, std::string_view origin, header_edits& to) {
    if (origin.empty() || !admits_origin(o, origin)) return false;
    to.set.emplace_back("Access-Control-Allow-Origin", has_any(o.allow_origins) ? any : origin);
    if (o.allow_credentials) to.set.emplace_back("Access-Control-Allow-Credentials", "true");
    return true;
}

} // namespace

bool is_origin_pattern(std::string_view text) noexcept {
    if (text == any) return true;
    const std::size_t scheme = text.find("://");
    if (scheme == 0 || scheme == std::string_view::npos) return false;
    if (!std::ranges::all_of(text.substr(0, scheme), [](char c) { return c >= 'a' && c <= 'z'; })) return false;
    std::string_view host = text.substr(scheme + 3);
    if (host.starts_with("*.")) host.remove_prefix(2);
    http::authority parsed;
    return !host.contains('*') && http::parse_authority(host, parsed) && !host.ends_with(':') &&
           std::ranges::none_of(host, [](char c) { return c >= 'A' && c <= 'Z'; });
}

// Browsers write an origin in one way, so that bytes are compared.
bool admits_origin(const cors_options& o, std::string_view origin) noexcept {
    return std::ranges::any_of(o.allow_origins, [origin](const std::string& allowed) {
        return allowed == any || (allowed == origin && !origin.contains(any)) || below(origin, allowed);
    });
}

bool is_preflight(const http::request_head& head) noexcept {
    return head.method == http::method::options && head.find(field::origin) && head.find(request_method);
}

std::string_view requested_method(const http::request_head& head) noexcept { return value_of(head, request_method); }

void add_preflight_fields(const cors_options& o, const http::request_head& head, header_edits& to) {
    to.set.emplace_back("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
    if (!add_origin(o, head.value(field::origin), to)) return;
    const std::string_view method = requested_method(head);
    if (!has_any(o.allow_methods))
        to.set.emplace_back("Access-Control-Allow-Methods", joined(o.allow_methods));
    else if (http::is_token(method))
        to.set.emplace_back("Access-Control-Allow-Methods", method);
    const std::string_view headers = value_of(head, request_headers);
    if (!has_any(o.allow_headers) && !o.allow_headers.empty())
        to.set.emplace_back("Access-Control-Allow-Headers", joined(o.allow_headers));
    else if (has_any(o.allow_headers) && !headers.empty() && is_list_of_tokens(headers))
        to.set.emplace_back("Access-Control-Allow-Headers", headers);
    to.set.emplace_back("Access-Control-Max-Age",
                        std::to_string(std::chrono::duration_cast<std::chrono::seconds>(o.max_age).count()));
}

// Where the answer is not the same for all origins, that is so also for a request that has none.
void add_cors_fields(const cors_options& o, const http::request_head& head, header_edits& to) {
    for (const char* name :
         {"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers"})
        to.remove.emplace_back(name);
    if (!has_any(o.allow_origins)) to.add.emplace_back("Vary", "Origin");
    if (add_origin(o, head.value(field::origin), to) && !o.expose_headers.empty())
        to.set.emplace_back("Access-Control-Expose-Headers", joined(o.expose_headers));
}

} // namespace headgate::gateway
