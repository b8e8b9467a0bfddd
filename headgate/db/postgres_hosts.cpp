#include <headgate/db/postgres_session.hpp>

#include <algorithm>
#include <charconv>
#include <ranges>

namespace headgate::db::detail {

namespace {

struct settings {
    std::string host;
    std::string hostaddr;
    std::string port;
};

// What libpq makes of a conninfo with the environment and services: only a connection tells. An sslmode that does not
// exist stops it when it has gathered everything and before it does anything.
settings effective(const std::string& conninfo) {
    const char* const keys[] = {"dbname", "sslmode", nullptr};
    const char* const values[] = {conninfo.c_str(), "no such mode", nullptr};
    const postgres_handle c(PQconnectStartParams(keys, values, 1));
    settings s;
    PQconninfoOption* const options = c ? PQconninfo(c.get()) : nullptr;
    for (const PQconninfoOption* o = options; o && o->keyword; ++o) {
        const std::string_view name = o->keyword;
        std::string* const to = name == "host"       ? &s.host
                                : name == "hostaddr" ? &s.hostaddr
                                : name == "port"     ? &s.port
                                                     : nullptr;
        if (to && o->val) *to = o->val;
    }
    PQconninfoFree(options);
    return s;
}

std::vector<std::string> split(std::string_view list) {
    std::vector<std::string> parts;
    for (const auto part : std::views::split(list, ',')) parts.emplace_back(part.begin(), part.end());
    if (parts.empty()) parts.emplace_back();
    return parts;
}

bool is_path(std::string_view host) noexcept { return host.empty() || host.front() == '/' || host.front() == '@'; }

void append(std::string& list, std::string_view part, bool first) {
    if (!first) list += ',';
    list += part;
}

} // namespace

task<postgres_hosts> resolve_hosts(std::string conninfo, resolver* names, time_point until) {
    postgres_hosts out;
    const settings s = effective(conninfo);
    const std::vector<std::string> hosts = split(s.host);
    const std::vector<std::string> ports = split(s.port);
    if (!s.hostaddr.empty() || std::ranges::all_of(hosts, is_path)) co_return out;
    if (ports.size() != 1 && ports.size() != hosts.size()) co_return out; // libpq says it better

    std::error_code last;
    std::string unknown;
    bool first = true;
    for (std::size_t i = 0; i < hosts.size(); ++i) {
        const std::string& port = ports.size() == 1 ? ports[0] : ports[i];
        std::vector<std::string> found;
        if (is_path(hosts[i])) {
            found.emplace_back();
        } else if (auto addresses = co_await names->resolve(hosts[i], 0, left_until(until))) {
            for (const address& a : *addresses) found.push_back(a.host());
        } else {
            last = addresses.error();
            unknown = hosts[i];
        }
        for (const std::string& a : found) {
            append(out.host, hosts[i], first);
            append(out.hostaddr, a, first);
            append(out.port, port, first);
            first = false;
        }
    }
    if (first) co_await fail(last, "looking up " + unknown);
    out.changed = true;
    co_return out;
}

} // namespace headgate::db::detail
