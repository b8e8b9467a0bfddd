#include <algorithm>

#include <gateway/endpoint_names.hpp>

namespace headgate::gateway {

namespace {

void add(std::vector<endpoint_target>& to, const endpoint_target& like, const std::vector<address>& found) {
    for (const address& a : found) {
        endpoint_target t = like;
        t.srv.clear();
        t.where = {.host = a.host(), .port = a.port()};
        if (std::ranges::none_of(to, [&](const endpoint_target& other) { return other.where == t.where; }))
            to.push_back(std::move(t));
    }
}

} // namespace

task<result<found_targets>> find_targets(resolver& names, const endpoint_target& of, duration limit) {
    found_targets out{.targets = {}, .ttl = forever};
    if (of.srv.empty()) {
        auto found = co_await names.lookup_addresses(of.where.host, of.where.port, limit);
        if (!found) co_return std::unexpected(found.error());
        out.ttl = found->ttl;
        add(out.targets, of, found->addresses);
        co_return out;
    }
    const auto records = co_await names.lookup_srv(of.srv, limit);
    if (!records) co_return std::unexpected(records.error());
    out.ttl = records->ttl;
    std::error_code last;
    for (const srv_record& r : records->records) {
        auto found = co_await names.lookup_addresses(r.target, r.port, limit);
        if (!found) {
            last = found.error();
            continue;
        }
        endpoint_target like = of;
        like.authority = r.target + ":" + std::to_string(r.port);
        like.weight = of.weight * std::max<std::uint32_t>(r.weight, 1); // 0 is for those that are hardly to be used
        like.priority = r.priority;
        out.ttl = std::min(out.ttl, found->ttl);
        add(out.targets, like, found->addresses);
    }
    if (out.targets.empty()) co_return std::unexpected(last);
    co_return out;
}

std::string domain_of_srv(std::string_view name) {
    while (name.starts_with('_') && name.contains('.')) name.remove_prefix(name.find('.') + 1);
    return std::string(name);
}

} // namespace headgate::gateway
