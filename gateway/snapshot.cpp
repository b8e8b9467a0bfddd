#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include <gateway/snapshot.hpp>

namespace headgate::gateway {

namespace {

const std::vector<weighted_upstream>& upstreams_of(const route_config& r) {
    static const std::vector<weighted_upstream> none;
    if (const auto* p = std::get_if<proxy_action>(&r.action)) return p->upstreams;
    if (const auto* t = std::get_if<tcp_action>(&r.action)) return t->upstreams;
    return none;
}

bool serves(const route_config& r, const listener_config& l) {
    if (std::holds_alternative<tcp_action>(r.action) != (l.protocol == listener_protocol::tcp)) return false;
    return r.listeners.empty() || std::ranges::find(r.listeners, l.name) != r.listeners.end();
}

// No two that differ give the same text: each part is behind its length.
std::string identity_of(const route_config& r, const listener_config& l) {
    std::string out;
    const auto add = [&out](std::string_view part) {
        fmt::format_to(std::back_inserter(out), "{}:{}", part.size(), part);
    };
    const auto add_all = [&](const auto& list, auto text) {
        fmt::format_to(std::back_inserter(out), "[{}]", list.size());
        for (const auto& item : list) text(item);
    };
    const auto add_matches = [&](const std::vector<value_match>& list) {
        add_all(list, [&](const value_match& m) {
            add(m.name);
            add(m.value ? "=" + *m.value : "");
        });
    };
    add(l.listen.text());
    add_all(r.match.hosts, add);
    add(r.match.path ? "=" + *r.match.path : "");
    add(r.match.path_prefix ? "=" + *r.match.path_prefix : "");
    add_all(r.match.methods, add);
    add_matches(r.match.headers);
    add_matches(r.match.query);
    fmt::format_to(std::back_inserter(out), "{},{}", r.match.priority, r.action.index());
    std::vector<std::string_view> names;
    for (const weighted_upstream& w : upstreams_of(r)) names.push_back(w.upstream);
    std::ranges::sort(names);
    add_all(names, add);
    return out;
}

config one_route(listener_config l, route_config r, const endpoint& to, const upstream_options& o,
                 const server_options& s) {
    config c;
    c.server = s;
    if (s.admin) c.admin = {.enabled = true, .listen = *s.admin, .token_file = s.admin_token_file};
    l.listen = s.listen;
    c.listeners.push_back(std::move(l));
    c.routes.push_back(std::move(r));
    c.upstreams.push_back({.name = "upstream", .endpoints = {{.where = to}}, .options = o});
    return c;
}

} // namespace

template <class Context>
Context snapshot::warned(std::expected<Context, tls_load_error> made, const std::string& of) {
    if (!made) throw std::runtime_error(of + ": " + made.error().message());
    for (const std::string& w : made->warnings()) warnings_.push_back(fmt::format("{}: {}", of, w));
    return std::move(*made);
}

tls_client_context snapshot::client_context(const upstream_config& u, const snapshot* before) {
    if (before) {
        const auto was = std::ranges::find(before->config_.upstreams, u.name, &upstream_config::name);
        if (was != before->config_.upstreams.end() && was->tls == u.tls)
            if (const auto& same = before->tls_of(static_cast<std::size_t>(was - before->config_.upstreams.begin()));
                same && !same->changed())
                return *same;
    }
    return warned(tls_client_context::load(u.tls.options), "upstream " + u.name);
}

tls_server_context snapshot::server_context(const listener_config& l, const snapshot* before) {
    if (before)
        if (const entrance* was = before->find(l.listen.text());
            was && was->tls && was->config->tls == l.tls && !was->tls->changed())
            return *was->tls;
    return warned(tls_server_context::load(l.tls), "listener " + l.name);
}

snapshot::snapshot(config c, const snapshot* before, std::shared_ptr<const config_origin> from)
    : config_(std::move(c)), origin_(std::move(from)) {
    for (const upstream_config& u : config_.upstreams) {
        auto& tls = upstream_tls_.emplace_back();
        if (u.tls.enabled) tls = client_context(u, before);
    }
    spooled_ = before ? before->spooled_ : std::make_shared<disk_account>();
    for (const route_config& r : config_.routes) spools_.push_back(spools(r) ? spooling_of(r, before) : nullptr);
    for (const route_config& r : config_.routes) {
        auto& p = policies_.emplace_back();
        if (r.policies != route_policies_config())
            p = std::make_unique<const route_policies>(r.policies, before ? before->policies_of(r.name) : nullptr);
    }
    for (const listener_config& l : config_.listeners) {
        entrance e{.config = &l,
                   .routes = {},
                   .trusted = network_set(l.trusted_proxies),
                   .addresses = address_rules(l.addresses)};
        if (!l.tls.certificates.empty()) e.tls = server_context(l, before);
        std::vector<route_match> matches;
        for (std::size_t i = 0; i < config_.routes.size(); ++i) {
            if (!serves(config_.routes[i], l)) continue;
            e.routes.push_back(compile(i, l));
            matches.push_back(config_.routes[i].match);
        }
        e.by_name = l.protocol == listener_protocol::tcp &&
                    std::ranges::any_of(matches, [](const route_match& m) { return !m.hosts.empty(); });
        e.table = route_table(matches);
        entrances_.emplace(l.listen.text(), std::move(e));
    }
}

snapshot::route snapshot::compile(std::size_t index, const listener_config& l) {
    const route_config& r = config_.routes[index];
    route out{.config = &r,
              .place = identities_.size(),
              .policies = policies_[index].get(),
              .spool = spools_[index] ? &spools_[index]->options : nullptr,
              .targets = {}};
    identities_.push_back(identity_of(r, l));
    if (const auto* s = std::get_if<static_action>(&r.action)) {
        auto opened = files::folder::open(s->root);
        if (!opened)
            throw std::runtime_error(fmt::format("route {}: {}: {}", r.name, s->root, opened.error().message()));
        out.folder = std::move(*opened);
    }
    if (const auto* e = std::get_if<export_action>(&r.action)) {
        const auto found = std::ranges::find(config_.sources, e->source, &source_config::name);
        auto parsed = db::query::parse(e->query, found->dialect());
        if (!parsed) throw std::runtime_error(fmt::format("route {}: query: {}", r.name, parsed.error().message));
        out.statement = std::make_shared<const db::query>(std::move(*parsed));
        out.source = static_cast<std::size_t>(found - config_.sources.begin());
        out.patterns = compile_patterns(e->parameters);
    }
    const auto place = [this](const std::string& name) {
        const auto found = std::ranges::find(config_.upstreams, name, &upstream_config::name);
        return static_cast<std::size_t>(found - config_.upstreams.begin());
    };
    if (const auto* p = std::get_if<proxy_action>(&r.action); p && p->fallback) out.fallback = place(*p->fallback);
    std::uint32_t weights = 0;
    for (const weighted_upstream& w : upstreams_of(r)) {
        if (w.weight == 0) continue;
        out.targets.push_back({place(w.upstream), weights += w.weight});
    }
    return out;
}

const route_policies* snapshot::policies_of(std::string_view route) const noexcept {
    const auto found = std::ranges::find(config_.routes, route, &route_config::name);
    return found == config_.routes.end() ? nullptr
                                         : policies_[static_cast<std::size_t>(found - config_.routes.begin())].get();
}

// The account of a route is found by its name, as its policies are.
std::unique_ptr<const snapshot::spooling> snapshot::spooling_of(const route_config& r, const snapshot* before) const {
    std::shared_ptr<disk_account> own;
    if (before) {
        const auto was = std::ranges::find(before->config_.routes, r.name, &route_config::name);
        if (was != before->config_.routes.end())
            if (const auto& s = before->spools_[static_cast<std::size_t>(was - before->config_.routes.begin())])
                own = s->quotas[0].of;
    }
    if (!own) own = std::make_shared<disk_account>();
    auto s = std::make_unique<spooling>();
    s->quotas = {{{std::move(own), r.spool_disk_limit}, {spooled_, config_.server.spool.disk_limit}}};
    s->options = {.folder = config_.server.spool.directory, .quotas = &s->quotas};
    return s;
}

std::vector<snapshot::spool_level> snapshot::spool_levels() const {
    std::vector<spool_level> all{{{}, spooled_->used(), config_.server.spool.disk_limit}};
    for (std::size_t i = 0; i < spools_.size(); ++i)
        if (spools_[i]) {
            const disk_quota& own = spools_[i]->quotas[0];
            all.push_back({config_.routes[i].name, own.of->used(), own.limit});
        }
    return all;
}

// Spreads the shares evenly: consecutive numbers go far apart (R. Fibonacci's hashing, by the golden ratio).
std::size_t snapshot::route::choose(std::uint64_t n) const noexcept {
    if (targets.size() == 1) return targets.front().upstream;
    const auto at = static_cast<std::uint32_t>(((n * 0x9e3779b97f4a7c15) >> 32) * targets.back().below >> 32);
    return std::ranges::find_if(targets, [at](const target& t) { return at < t.below; })->upstream;
}

bool snapshot::reads_files() const noexcept {
    return std::ranges::any_of(
        config_.routes, [](const auto& r) { return std::holds_alternative<static_action>(r.action) || spools(r); });
}

bool snapshot::files_changed() const {
    return std::ranges::any_of(upstream_tls_, [](const auto& t) { return t && t->changed(); }) ||
           std::ranges::any_of(entrances_, [](const auto& e) { return e.second.tls && e.second.tls->changed(); });
}

const snapshot::entrance* snapshot::find(std::string_view address) const noexcept {
    const auto found = entrances_.find(address);
    return found == entrances_.end() ? nullptr : &found->second;
}

bool admin_options::open_to_others() const noexcept {
    if (!enabled || !token_file.empty() || listen.family() == AF_UNIX) return false;
    const in6_addr ip = peer_address::of(listen).ip;
    const bool v4 = IN6_IS_ADDR_V4MAPPED(&ip);
    return !(v4 ? ip.s6_addr[12] == 127 : IN6_IS_ADDR_LOOPBACK(&ip));
}

std::shared_ptr<const snapshot> snapshot_of(const proxy_options& o, const server_options& s) {
    listener_config l{.name = "proxy", .http = o.http};
    proxy_action a{.upstreams = {{.upstream = "upstream"}}, .options = o.route};
    return std::make_shared<snapshot>(
        one_route(std::move(l), {.name = "proxy", .action = std::move(a)}, o.to, o.upstream, s));
}

std::shared_ptr<const snapshot> snapshot_of(const tunnel_options& o, const server_options& s) {
    listener_config l{.name = "tunnel", .protocol = listener_protocol::tcp};
    tcp_action a{.upstreams = {{.upstream = "upstream"}},
                 .idle_timeout = o.idle_timeout,
                 .half_close_timeout = o.half_close_timeout};
    return std::make_shared<snapshot>(
        one_route(std::move(l), {.name = "tunnel", .action = std::move(a)}, o.to, o.upstream, s));
}

} // namespace headgate::gateway
