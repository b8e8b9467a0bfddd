#include <headgate/db/query.hpp>

#include <algorithm>
#include <map>

#include <re2/re2.h>

#include <gateway/config/check.hpp>
#include <gateway/config/check_listeners.hpp>
#include <gateway/config/field.hpp>
#include <gateway/config/suggest.hpp>
#include <gateway/config/tables.hpp>
#include <gateway/export/parameter_type.hpp>
#include <gateway/export/plan.hpp>

namespace headgate::gateway {

namespace {

class checker {
public:
    checker(config& c, const config_places& places, config_errors& errors) : c_(c), places_(places), errors_(errors) {}

    void run() {
        name_routes();
        for (std::size_t i = 0; i < c_.routes.size(); ++i) doubtful_.push_back(places_.doubtful(path_of("routes", i)));
        for (route_config& r : c_.routes) add_extensions(r);
        unique_names("listeners", c_.listeners);
        unique_names("routes", c_.routes);
        check_addresses(c_, places_, errors_);
        check_tracing();
        for (std::size_t i = 0; i < c_.upstreams.size(); ++i) check_weights(c_.upstreams[i]);
        for (std::size_t i = 0; i < c_.upstreams.size(); ++i) check_balancing(c_.upstreams[i]);
        for (std::size_t i = 0; i < c_.routes.size(); ++i) check_route(i);
        derive_limits();
        check_routing(c_, places_, errors_, doubtful_);
    }

private:
    const config_mark* place(const std::string& path) const { return places_.find(path); }

    void name_routes() {
        for (std::size_t i = 0; i < c_.routes.size(); ++i)
            if (c_.routes[i].name.empty()) c_.routes[i].name = "route-" + std::to_string(i + 1);
    }

    // An export with a path is also had by the name of the file that it is: /orders.csv.gz for /orders.
    static void add_extensions(route_config& r) {
        const auto* e = std::get_if<export_action>(&r.action);
        if (!e || !r.match.path) return;
        const std::string_view last = std::string_view(*r.match.path).substr(r.match.path->rfind('/') + 1);
        if (last.empty() || has_export_extension(last)) return;
        for (const std::string& format : e->formats) {
            r.match.extensions.push_back("." + format);
            for (const std::string& coding : e->compression)
                r.match.extensions.push_back("." + format + (coding == "gzip" ? ".gz" : ".zst"));
        }
    }

    template <class Named>
    void unique_names(std::string_view list, const std::vector<Named>& all) {
        std::map<std::string_view, config_mark> seen;
        for (std::size_t i = 0; i < all.size(); ++i) {
            const std::string path = path_of(list, i);
            const config_mark* at = place(path_of(path, "name"));
            if (!at) at = place(path);
            if (!at || all[i].name.empty()) continue;
            if (const auto [first, is_new] = seen.emplace(all[i].name, *at); !is_new)
                errors_.add(*at, "the name " + quoted(all[i].name) + " is taken already, on " + on_line(first->second));
        }
    }

    // Tunnels live long and cannot share a connection: an upstream of theirs has room for more, if nobody says how
    // much.
    void derive_limits() {
        if (place("defaults.upstream.connections_max")) return;
        for (const route_config& r : c_.routes) {
            const auto* t = std::get_if<tcp_action>(&r.action);
            if (!t) continue;
            for (const weighted_upstream& w : t->upstreams) {
                const auto u = std::ranges::find(c_.upstreams, w.upstream, &upstream_config::name);
                if (u != c_.upstreams.end() && !place(path_of(path_of("upstreams", u->name), "connections_max")))
                    u->options.connections_max = tunnel_options{}.upstream.connections_max;
            }
        }
    }

    void check_tracing() {
        const config_mark* at = place("tracing.tls");
        if (at && !c_.tracing.collector.starts_with("https://"))
            errors_.add(*at, "TLS is spoken with a collector at https://; this one is " +
                                 (c_.tracing.collector.empty() ? "not set" : quoted(c_.tracing.collector)));
    }

    void check_weights(const upstream_config& u) {
        const std::string path = path_of(path_of("upstreams", u.name), "endpoints");
        const config_mark* at = place(path);
        if (at && !u.endpoints.empty() && std::ranges::all_of(u.endpoints, [](auto& e) { return e.weight == 0; }))
            errors_.add(*at, "all weights are 0, so none is ever used; give one a weight of 1 or more");
    }

    void check_balancing(const upstream_config& u) {
        const balancing_options& b = u.options.balancing;
        if (b.policy != balancing_policy::consistent_hash || b.hash_on == hash_source::client_address) return;
        const config_mark* at = place(path_of(path_of("upstreams", u.name), "balancing"));
        if (at && b.hash_name.empty()) errors_.add(*at, "which one? hash_name must name the header or the cookie");
    }

    void check_route(std::size_t i) {
        const std::string path = path_of("routes", i);
        if (!place(path)) return;
        if (const config_mark* at = place(path_of(path_of(path, "match"), "sni")); at && !is_tcp(c_.routes[i]))
            errors_.add(*at, "'sni' is for tcp routes, which pass TLS on as it is; write hosts");
        route_config& r = c_.routes[i];
        for (std::size_t n = 0; n < r.listeners.size(); ++n)
            refers(path_of(path_of(path, "listeners"), n), "listener", r.listeners[n], c_.listeners);
        check_policies(path, r);
        if (const config_mark* at = place(path_of(path, "spool_disk_limit")); at && !spools(r))
            errors_.add(*at, "nothing of this route is spooled; that is for export routes, and for proxy routes with "
                             "`response: {buffering: spool}`");
        if (const auto* p = std::get_if<proxy_action>(&r.action)) {
            check_upstreams(path_of(path, "proxy"), p->upstreams);
            check_prefix(path, "proxy", r.match);
            check_retries(path_of(path, "proxy"), p->options.retries);
            check_fallback(path_of(path, "proxy"), *p);
        } else if (const auto* e = std::get_if<export_action>(&r.action)) {
            check_export(path_of(path, "export"), *e);
        } else if (const auto* t = std::get_if<tcp_action>(&r.action)) {
            check_upstreams(path_of(path, "tcp"), t->upstreams);
            check_tcp(i);
        } else if (const auto* to = std::get_if<redirect_action>(&r.action)) {
            check_prefix(path, "redirect", r.match);
            check_redirect(path_of(path, "redirect"), *to);
        } else if (const auto* answer = std::get_if<respond_action>(&r.action)) {
            check_answer(path_of(path, "respond"), *answer);
        }
    }

    template <class Named>
    void refers(const std::string& path, std::string_view kind, const std::string& name,
                const std::vector<Named>& known) {
        const config_mark* at = place(path);
        if (!at || std::ranges::any_of(known, [&](const Named& n) { return n.name == name; })) return;
        if (errors_.full()) return errors_.add(*at, {});
        std::vector<std::string_view> names;
        for (const Named& n : known)
            if (!n.name.empty()) names.push_back(n.name);
        errors_.add(*at, "there is no " + std::string(kind) + " " + quoted(name) + "; " + suggest(name, names));
    }

    void check_upstreams(const std::string& path, const std::vector<weighted_upstream>& all) {
        refers(path_of(path, "upstream"), "upstream", all.empty() ? "" : all.front().upstream, c_.upstreams);
        const std::string list = path_of(path, "upstreams");
        const config_mark* at = place(list);
        if (!at) return;
        for (std::size_t i = 0; i < all.size(); ++i)
            refers(path_of(path_of(list, i), "upstream"), "upstream", all[i].upstream, c_.upstreams);
        if (!all.empty() && std::ranges::all_of(all, [](auto& u) { return u.weight == 0; }))
            errors_.add(*at, "all weights are 0, so none is ever used; give one a weight of 1 or more");
    }

    void check_prefix(const std::string& route, std::string_view action, const route_match& m) {
        const config_mark* at = place(path_of(path_of(route, action), "replace_prefix"));
        if (at && !m.path_prefix && !places_.doubtful(route))
            errors_.add(*at, "replace_prefix needs a path_prefix in the route's match: that is what it replaces");
    }

    void check_policies(const std::string& path, const route_config& r) {
        const rate_limit_options& l = r.policies.rate_limit;
        const std::string limit = path_of(path, "rate_limit");
        if (const config_mark* at = place(path_of(limit, "per"));
            at && (l.per % std::chrono::seconds(1) != duration::zero() || l.per > std::chrono::hours(1)))
            errors_.add(*at, "this must be whole seconds, at most 1h");
        if (const config_mark* at = place(limit); at && l.key == rate_key::header && l.header.empty())
            errors_.add(*at, "which one? header must name the header whose value is the key");
        const cors_options& c = r.policies.cors;
        if (const config_mark* at = place(path_of(path_of(path, "cors"), "allow_credentials"));
            at && c.allow_credentials && std::ranges::find(c.allow_origins, "*") != c.allow_origins.end())
            errors_.add(*at, "credentials cannot be allowed for the origin *, which is every page there is; name the "
                             "origins that may send them");
        if (!is_tcp(r)) return;
        for (const char* key : {"requests_max", "rate_limit", "cors"})
            if (const config_mark* at = place(path_of(path, key)))
                errors_.add(*at, quoted(key) + " has no meaning in a tcp route");
    }

    void check_fallback(const std::string& path, const proxy_action& a) {
        if (!a.fallback) return;
        refers(path_of(path, "fallback"), "upstream", *a.fallback, c_.upstreams);
        const config_mark* at = place(path_of(path, "fallback"));
        if (at && std::ranges::any_of(a.upstreams, [&](auto& u) { return u.upstream == *a.fallback; }))
            errors_.add(*at,
                        quoted(*a.fallback) + " is an upstream of this route already; the fallback must be another");
    }

    // All tries together have first_byte_timeout: after one without a limit of its own there is no time left.
    void check_retries(const std::string& path, const retry_options& o) {
        const config_mark* at = place(path_of(path_of(path, "retries"), "retry_on"));
        if (!at) at = place("defaults.proxy.retries.retry_on");
        if (at && o.retry_on.timeout && o.per_try_timeout == forever)
            errors_.add(*at, "timeout needs a per_try_timeout: that is what a try must take no longer than");
    }

    void check_export(const std::string& path, const export_action& a) {
        if (const config_mark* null = place(path_of(path_of(path, "csv"), "null_text"));
            null && a.csv.null.contains(a.csv.delimiter))
            errors_.add(*null, "the delimiter stands in it, so it would be read as several values; change one of them");
        refers(path_of(path, "source"), "source", a.source, c_.sources);
        if (const config_mark* name = place(path_of(path, "filename")))
            for (const std::string_view p : names_in_filename(a.filename))
                if (std::ranges::find(a.parameters, p, &export_parameter::name) == a.parameters.end())
                    errors_.add(*name, "there is no parameter " + quoted(p) + " whose value could stand in it");
        const config_mark* at = place(path_of(path, "query"));
        if (!at) return;
        const auto source = std::ranges::find(c_.sources, a.source, &source_config::name);
        if (source == c_.sources.end()) return; // whose SQL it is, is not known
        const auto parsed = db::query::parse(a.query, source->dialect());
        if (!parsed)
            return errors_.add(*at, parsed.error().message + ", at byte " + std::to_string(parsed.error().offset));
        if (parsed->positions() != 0) return errors_.add(*at, "parameters need names: :name");
        const auto names = parsed->names();
        for (const std::string& name : names)
            if (std::ranges::find(a.parameters, name, &export_parameter::name) == a.parameters.end())
                errors_.add(*at, "nothing is said of the parameter " + quoted(name) + "; put it under `parameters`");
        for (const export_parameter& p : a.parameters)
            check_parameter(path_of(path_of(path, "parameters"), p.name), p, names);
    }

    void check_parameter(const std::string& path, const export_parameter& p, std::span<const std::string> names) {
        if (const config_mark* at = place(path); at && std::ranges::find(names, p.name) == names.end())
            errors_.add(*at, "the query has no parameter " + quoted(p.name));
        const RE2 pattern(p.pattern, RE2::Quiet);
        if (const config_mark* at = place(path_of(path, "pattern")); at && !pattern.ok())
            return errors_.add(*at, "RE2 does not take this: " + printable(pattern.error()) +
                                        "; patterns are those of re2's syntax, without back references");
        const config_mark* at = place(path_of(path, "default"));
        if (!at) return;
        if (p.required) return errors_.add(*at, "a parameter that is required has no use for a default");
        if (!p.values.empty() && std::ranges::find(p.values, *p.default_value) == p.values.end())
            return errors_.add(*at, "the default is none of the values");
        if (!p.pattern.empty() && !RE2::FullMatch(*p.default_value, pattern))
            return errors_.add(*at, "the default does not match the pattern");
        if (const auto value = parameter_value(parameter_type(p.type).value_or(value_type::text), *p.default_value);
            !value)
            errors_.add(*at, value.error());
    }

    void check_tcp(std::size_t i) {
        const std::string path = path_of("routes", i);
        for (const config_field* f : all_fields(tables::match))
            if (const config_mark* at = place(path_of(path_of(path, "match"), f->key)); at && f->key != "sni")
                errors_.add(*at, quoted(f->key) + " has no meaning in a tcp route: a connection tells at most the sni");
    }

    void check_redirect(const std::string& path, const redirect_action& r) {
        const config_mark* at = place(path);
        if (at && !r.scheme && !r.host && !r.port && !r.replace_prefix && !r.replace_path)
            errors_.add(*at, "this sends clients back to where they are; give a scheme, host, port, replace_prefix or "
                             "replace_path");
    }

    void check_answer(const std::string& path, const respond_action& r) {
        if (const config_mark* at = place(path_of(path, "body"));
            at && !r.body.empty() && (r.status == 204 || r.status == 205 || r.status == 304))
            errors_.add(*at,
                        "an answer with status " + std::to_string(r.status) + " has no body (RFC 9110, section 15)");
    }

    config& c_;
    const config_places& places_;
    config_errors& errors_;
    std::vector<bool> doubtful_{}; // routes in which something is wrong
};

} // namespace

void check_config(config& c, const config_places& places, config_errors& errors) { checker(c, places, errors).run(); }

} // namespace headgate::gateway
