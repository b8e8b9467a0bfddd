#include <headgate/http/authority.hpp>
#include <headgate/http/field.hpp>
#include <headgate/http/token.hpp>

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include <gateway/config/check.hpp>
#include <gateway/config/explain.hpp>
#include <gateway/config/scalars.hpp>
#include <gateway/config/tables.hpp>
#include <gateway/path.hpp>

namespace headgate::gateway {

namespace {

// A request in the form that routes look at; its views are into what it owns.
struct parsed_request {
    std::string text; // of the URL, without the scheme
    std::string method;
    std::string_view authority;
    std::string host;
    std::uint16_t port = 0; // 0: not given
    bool tcp = false;       // a connection that asks for the host, and no request
    std::string path;
    std::string query;
    std::vector<std::pair<std::string, std::string>> fields;
    http::header_list headers;

    route_request view() const { return {host, path, query, method, &headers}; }
};

std::expected<void, std::string> split_url(std::string url, parsed_request& out) {
    const std::string shown = "'" + printable(url) + "'";
    url.resize(std::min(url.find('#'), url.size()));
    if (!url.starts_with('/')) {
        const std::size_t scheme = url.find("://");
        if (scheme == std::string::npos)
            return std::unexpected(shown + " is neither a URL, http://host/path, nor a path");
        url.erase(0, scheme + 3);
        const std::size_t end = std::min(url.find_first_of("/?"), url.size());
        const auto a = http::parse_authority(std::string_view(url).substr(0, end));
        if (!a) return std::unexpected(shown + " has no valid host");
        out.host = a->host;
        out.port = a->port;
        url.erase(0, end);
        if (!url.starts_with('/')) url.insert(url.begin(), '/');
    }
    const std::size_t query = std::min(url.find('?'), url.size());
    out.path = normal_path(url.substr(0, query));
    out.query = url.substr(query);
    return {};
}

std::expected<void, std::string> parse(const explained_request& rq, parsed_request& out) {
    if (rq.url.starts_with("tls://")) {
        out.tcp = true;
        return split_url(rq.url, out);
    }
    out.method = rq.method;
    if (!http::is_token(rq.method)) return std::unexpected("'" + printable(rq.method) + "' is not a method");
    if (auto split = split_url(rq.url, out); !split) return split;
    out.fields = rq.headers;
    for (const auto& [name, value] : out.fields) {
        if (!http::is_token(name))
            return std::unexpected("'" + printable(name) + "' is not the name of a header field");
        if (http::same_token(name, "host") && out.host.empty())
            if (const auto a = http::parse_authority(value)) out.host = a->host;
        if (!out.headers.emplace_back(name, value, http::lookup_field(name)))
            return std::unexpected("there are too many header fields");
    }
    return {};
}

// How specific the part of a match is that took the request; the order is route_table's.
struct specificity {
    std::size_t host; // 2 + its length for an exact host; 1 + that of a wildcard's; 0 for any
    std::size_t path; // the same for a path and a prefix
    std::size_t method;
    std::size_t headers;
    std::size_t query;
    int priority;
};

std::size_t host_rank(const route_match& m, const parsed_request& rq) {
    constexpr std::size_t exact = 1000;
    std::size_t best = 0;
    for (const std::string& h : m.hosts) {
        route_match one{.hosts = {h}};
        if (route_table({one}).find(rq.view())) best = std::max(best, h.starts_with('*') ? h.size() : exact);
    }
    return best;
}

specificity of(const route_match& m, const parsed_request& rq) {
    std::size_t prefix = 0;
    if (m.path_prefix) {
        std::string normal = normal_path(*m.path_prefix);
        while (normal.ends_with('/')) normal.pop_back();
        prefix = 1 + normal.size();
    }
    return {.host = host_rank(m, rq),
            .path = m.path ? static_cast<std::size_t>(-1) : prefix,
            .method = m.methods.empty() ? 0u : 1u,
            .headers = m.headers.size(),
            .query = m.query.size(),
            .priority = m.priority};
}

// Why the first was asked before the second.
std::string_view reason(const specificity& a, const specificity& b) {
    if (a.host != b.host) return "its host is less specific";
    if (a.path != b.path) return "its path is less specific";
    if (a.method != b.method) return "it does not ask for a method";
    if (a.headers != b.headers) return "it asks for fewer header fields";
    if (a.query != b.query) return "it asks for fewer parameters of the query";
    return "its priority is lower";
}

constexpr std::string_view not_shown = "(not shown)";

// How libpq is told of a server, without a password.
std::string without_password(std::string text) {
    if (http::lower_case(text).contains("password")) return std::string(not_shown); // a key, in either form
    const std::size_t scheme = text.find("://");
    if (scheme == std::string::npos) return text;
    const std::size_t begin = scheme + 3;
    const std::size_t at = text.rfind('@', text.find_first_of("/?", begin));
    const std::size_t colon = text.find(':', begin);
    if (at != std::string::npos && at > begin && colon < at) text.replace(colon + 1, at - colon - 1, not_shown);
    return text;
}

// Finds where the values of options come from.
class option_reader {
public:
    option_reader(const config_places& places, const std::string& file) : places_(places), file_(file) {}

    // "gateway.yaml:3", or nothing.
    std::string place(const std::string& path) const {
        const config_mark* at = places_.find(path);
        return at ? fmt::format("{}:{}", file_, at->line) : std::string();
    }

    // Appends those of a table, and of the tables in it. They stand at `own`, or else at `defaults`.
    void read(std::vector<explained_option>& out, const config_table& table, const void* object, const std::string& own,
              const std::string& defaults, const std::string& prefix = {}) const {
        for (const config_field& f : table.fields) {
            if (f.kind == config_kind::sections || f.kind == config_kind::named) continue;
            const std::string key = prefix + std::string(f.key);
            if (f.kind == config_kind::section || f.kind == config_kind::flat) {
                const void* inside = f.peek(object);
                if (!inside) continue;
                if (f.kind == config_kind::flat)
                    read(out, *f.table, inside, own, defaults, prefix);
                else
                    read(out, *f.table, inside, path_of(own, f.key), path_of(defaults, f.key), key + ".");
                continue;
            }
            std::string from = place(path_of(own, f.key));
            if (from.empty())
                if (from = place(path_of(defaults, f.key)); !from.empty()) from += ", defaults";
            std::string value = write_scalar(f, f.load(object));
            if (from.empty()) {
                from = file_.empty() ? "command line, or built in" : "built in";
                if (value.empty() || value == "0") value = f.default_text.empty() ? value : f.default_text;
            }
            const bool secret = f.key == "secret" || (&table == &tables::tracing && f.key == "headers");
            if (secret && !value.empty()) value = not_shown;
            if (&table == &tables::source && f.key == "postgres") value = without_password(std::move(value));
            out.push_back({key, std::move(value), std::move(from)});
        }
    }

private:
    const config_places& places_;
    const std::string& file_;
};

std::string line_of(const explained_option& o) {
    return fmt::format("    {:<36}{:<11} {}\n", o.key, o.value.empty() ? "-" : o.value, o.from);
}

std::string described(const export_parameter& p) {
    const std::string& key = p.key.empty() ? p.name : p.key;
    const std::string where =
        p.from == parameter_place::path
            ? fmt::format("segment {} of the path", p.segment)
            : fmt::format("the {} {}", p.from == parameter_place::header ? "header" : "parameter", key);
    return fmt::format(":{} is {}, from {}", p.name, p.type, where);
}

std::string describe(const route_match& m, bool tcp) {
    std::string out;
    const auto add = [&](std::string text) { out += (out.empty() ? "" : ", ") + std::move(text); };
    for (const std::string& h : m.hosts) add((tcp ? "sni " : "host ") + h);
    if (m.path) add("path " + *m.path + (m.extensions.empty() ? "" : ", alone or with an extension"));
    if (m.path_prefix) add("path_prefix " + *m.path_prefix);
    for (const std::string& method : m.methods) add("method " + method);
    for (const value_match& h : m.headers) add("header " + h.name);
    for (const value_match& q : m.query) add("query " + q.name);
    return !out.empty() ? out : tcp ? "any connection" : "any request";
}

// ": 127.0.0.1:9001, 127.0.0.1:9002 weight 2"
std::string endpoints_of(const upstream_config& u) {
    std::string out;
    for (const endpoint_config& e : u.endpoints) {
        out += (out.empty() ? ": " : ", ") + (e.srv.empty() ? e.where.text() : e.srv);
        if (e.weight != 1) out += fmt::format(" weight {}", e.weight);
    }
    return out;
}

// What an action does, but for its options.
std::string describe(const redirect_action& a) { return fmt::format("redirects with status {}", a.status); }
std::string describe(const respond_action& a) {
    return fmt::format("answers {} with a body of {} bytes", a.status, a.body.size());
}
std::string describe(const static_action& a) { return "serves files below " + a.root; }

// A whole configuration, part by part.
class describer {
public:
    describer(const config& c, const config_origin& from) : c_(c), reader_(from.places, from.file) {}

    std::vector<explained_part> run() {
        begin("server", {}, "server");
        options(tables::server, &c_.server, "server");
        if (c_.admin.enabled) {
            begin("admin", {}, "admin");
            options(tables::admin, &c_.admin, "admin");
        }
        if (c_.tracing.enabled) {
            begin("tracing", {}, "tracing");
            options(tables::tracing, &c_.tracing, "tracing");
        }
        for (std::size_t i = 0; i < c_.listeners.size(); ++i) add_listener(i);
        for (std::size_t i = 0; i < c_.routes.size(); ++i) add_route(i);
        for (const upstream_config& u : c_.upstreams) add_upstream(u);
        for (const source_config& s : c_.sources) {
            const std::string path = path_of("sources", s.name);
            begin("source", s.name, path);
            options(tables::source, &s, path);
        }
        return std::move(all_);
    }

private:
    void begin(std::string kind, std::string name, const std::string& path) {
        all_.push_back({.kind = std::move(kind), .name = std::move(name), .from = reader_.place(path)});
    }
    void about(std::string text) { all_.back().about.push_back(std::move(text)); }
    void options(const config_table& table, const void* object, const std::string& own,
                 const std::string& defaults = {}, const std::string& prefix = {}) {
        reader_.read(all_.back().options, table, object, own, defaults, prefix);
    }

    void add_listener(std::size_t i) {
        const listener_config& l = c_.listeners[i];
        const std::string path = path_of("listeners", i);
        begin("listener", l.name, path);
        const bool http = l.protocol == listener_protocol::http;
        const bool tls = !l.tls.certificates.empty();
        about(fmt::format("{}{} at {}", http ? "http" : "tcp", tls ? " over TLS" : "", l.listen.text()));
        options(tables::listener_policies, &l, path);
        if (http) options(tables::listener_options, &l.http, path, "defaults.listener");
        if (!tls) return;
        const std::string at = path_of(path, "tls");
        for (std::size_t c = 0; c < l.tls.certificates.size(); ++c)
            options(tables::certificate, &l.tls.certificates[c], path_of(path_of(at, "certificates"), c), {},
                    fmt::format("tls.certificates[{}].", c));
        options(tables::listener_tls, &l.tls, at, {}, "tls.");
    }

    void add_route(std::size_t i) {
        const route_config& r = c_.routes[i];
        const std::string path = path_of("routes", i);
        begin("route", r.name, path);
        const bool tcp = std::holds_alternative<tcp_action>(r.action);
        about("takes " + describe(r.match, tcp));
        std::string where;
        for (const std::size_t l : listeners_of(c_, i)) where += (where.empty() ? "" : ", ") + c_.listeners[l].name;
        about("at the listeners " + where);
        if (const auto* a = std::get_if<redirect_action>(&r.action)) about(describe(*a));
        if (const auto* a = std::get_if<respond_action>(&r.action)) about(describe(*a));
        if (const auto* a = std::get_if<static_action>(&r.action)) {
            about(describe(*a));
            options(tables::static_files, a, path_of(path, "static"));
        } else if (const auto* e = std::get_if<export_action>(&r.action)) {
            about("answers with the rows of a query to the source " + e->source);
            for (const export_parameter& p : e->parameters) about(described(p));
            options(tables::export_rows, e, path_of(path, "export"));
        } else if (const auto* p = std::get_if<proxy_action>(&r.action)) {
            add_targets(p->upstreams);
            if (p->fallback) about("falls back to the upstream " + *p->fallback);
            options(tables::proxy_options, &p->options, path_of(path, "proxy"), "defaults.proxy");
        } else if (const auto* t = std::get_if<tcp_action>(&r.action)) {
            add_targets(t->upstreams);
            options(tables::tcp_options, t, path_of(path, "tcp"), "defaults.tcp");
        }
        options(tables::route_policies, &r, path);
    }

    void add_targets(const std::vector<weighted_upstream>& all) {
        for (const weighted_upstream& w : all)
            about(fmt::format("goes to the upstream {}", w.upstream) +
                  (all.size() > 1 ? fmt::format(", weight {}", w.weight) : ""));
    }

    void add_upstream(const upstream_config& u) {
        const std::string path = path_of("upstreams", u.name);
        begin("upstream", u.name, path);
        about("is" + endpoints_of(u).substr(1));
        options(tables::upstream_options, &u.options, path, "defaults.upstream");
        if (u.tls.enabled) options(tables::upstream_tls, &u.tls, path_of(path, "tls"), {}, "tls.");
    }

    const config& c_;
    option_reader reader_;
    std::vector<explained_part> all_;
};

class explainer {
public:
    explainer(const loaded_config& c, const std::string& file, const parsed_request& rq)
        : c_(c.value), reader_(c.places, file), rq_(rq) {}

    std::string run() {
        if (rq_.tcp)
            print("tls://{}\n", rq_.host);
        else
            print("{} {}{}{}\n", rq_.method, rq_.host, rq_.path, rq_.query);
        bool arrives = false;
        for (std::size_t i = 0; i < c_.listeners.size(); ++i) {
            const listener_config& l = c_.listeners[i];
            if ((l.protocol == listener_protocol::tcp) != rq_.tcp || (rq_.port != 0 && l.listen.port() != rq_.port))
                continue;
            arrives = true;
            at_listener(i);
        }
        if (!arrives)
            print("\nno {} listener{} takes it\n", rq_.tcp ? "tcp" : "http",
                  rq_.port == 0 ? "" : " on port " + std::to_string(rq_.port));
        print("\naccess log\n");
        options(tables::access_log, &c_.server.access_log, "server.access_log", {});
        if (c_.tracing.enabled) print("\ntracing\n");
        if (c_.tracing.enabled) options(tables::tracing, &c_.tracing, "tracing", {});
        return std::move(out_);
    }

private:
    template <class... Args>
    void print(fmt::format_string<Args...> format, Args&&... args) {
        fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
    }

    std::string place(const std::string& path) const { return reader_.place(path); }

    void at_listener(std::size_t index) {
        const listener_config& l = c_.listeners[index];
        const std::string path = path_of("listeners", index);
        print("\nat the listener {} ({}), {}\n", l.name, place(path), l.listen.text());
        std::vector<std::size_t> routes;
        std::vector<route_match> matches;
        for (std::size_t r = 0; r < c_.routes.size(); ++r) {
            const auto at = listeners_of(c_, r);
            if (std::ranges::find(at, index) == at.end()) continue;
            routes.push_back(r);
            matches.push_back(c_.routes[r].match);
        }
        const auto found = route_table(matches).find(rq_.view());
        if (!found) {
            print("  no route takes it: it is {}\n", rq_.tcp ? "told so, and closed" : "answered 404");
        } else {
            explain_route(routes[*found]);
            explain_losers(routes, routes[*found]);
            explain_action(routes[*found]);
            print("\n  policies of the route {}\n", c_.routes[routes[*found]].name);
            options(tables::route_policies, &c_.routes[routes[*found]], path_of("routes", routes[*found]), "");
        }
        print("\n  policies of the listener {}\n", l.name);
        options(tables::listener_policies, &l, path, "");
        if (rq_.tcp) return;
        print("\n  limits of the listener {}\n", l.name);
        options(tables::listener_options, &l.http, path, "defaults.listener");
        if (l.tls.certificates.empty()) return;
        const std::string tls = path_of(path, "tls");
        print("\n  tls of the listener {}\n", l.name);
        for (std::size_t c = 0; c < l.tls.certificates.size(); ++c)
            options(tables::certificate, &l.tls.certificates[c], path_of(path_of(tls, "certificates"), c), {},
                    fmt::format("certificates[{}].", c));
        options(tables::listener_tls, &l.tls, tls, {});
    }

    void explain_route(std::size_t r) {
        print("  takes the route {} ({}): {}\n", c_.routes[r].name, place(path_of("routes", r)),
              describe(c_.routes[r].match, rq_.tcp));
    }

    void explain_losers(const std::vector<std::size_t>& routes, std::size_t winner) {
        const specificity best = of(c_.routes[winner].match, rq_);
        for (const std::size_t r : routes) {
            const route_match& m = c_.routes[r].match;
            if (r == winner || !route_table({m}).find(rq_.view())) continue;
            print("    not {} ({}), which would take it, too: {}\n", c_.routes[r].name, place(path_of("routes", r)),
                  reason(best, of(m, rq_)));
        }
    }

    void explain_action(std::size_t r) {
        const std::string path = path_of("routes", r);
        const auto& action = c_.routes[r].action;
        if (const auto* to = std::get_if<redirect_action>(&action)) {
            print("  {}\n", describe(*to));
        } else if (const auto* answer = std::get_if<respond_action>(&action)) {
            print("  {}\n", describe(*answer));
        } else if (const auto* s = std::get_if<static_action>(&action)) {
            print("  {}\n\n  settings of the route {}\n", describe(*s), c_.routes[r].name);
            options(tables::static_files, s, path_of(path, "static"), {});
            buffers();
        } else if (const auto* e = std::get_if<export_action>(&action)) {
            print("  answers with the rows of a query to the source {} ({})\n", e->source,
                  place(path_of("sources", e->source)));
            for (const export_parameter& p : e->parameters) print("    {}\n", described(p));
            print("\n  settings of the route {}\n", c_.routes[r].name);
            options(tables::export_rows, e, path_of(path, "export"), {});
            buffers();
        } else if (const auto* p = std::get_if<proxy_action>(&action)) {
            for (const weighted_upstream& w : p->upstreams) explain_upstream(w, p->upstreams.size() > 1);
            if (p->fallback) {
                const auto u = std::ranges::find(c_.upstreams, *p->fallback, &upstream_config::name);
                print("  falls back to the upstream {} ({})\n", u->name, place(path_of("upstreams", u->name)));
            }
            print("\n  limits of the route {}\n", c_.routes[r].name);
            options(tables::proxy_options, &p->options, path_of(path, "proxy"), "defaults.proxy");
            limits_of(p->upstreams);
            buffers();
        } else if (const auto* t = std::get_if<tcp_action>(&action)) {
            for (const weighted_upstream& w : t->upstreams) explain_upstream(w, t->upstreams.size() > 1);
            print("\n  limits of the route {}\n", c_.routes[r].name);
            options(tables::tcp_options, t, path_of(path, "tcp"), "defaults.tcp");
            limits_of(t->upstreams);
            buffers();
        }
    }

    void limits_of(const std::vector<weighted_upstream>& upstreams) {
        for (const weighted_upstream& w : upstreams) {
            const auto u = std::ranges::find(c_.upstreams, w.upstream, &upstream_config::name);
            print("\n  limits of the upstream {}\n", u->name);
            const std::string own = path_of("upstreams", u->name);
            options(tables::upstream_options, &u->options, own, "defaults.upstream");
            if (!u->tls.enabled) continue;
            print("\n  tls of the upstream {}\n", u->name);
            options(tables::upstream_tls, &u->tls, path_of(own, "tls"), {});
        }
    }

    void explain_upstream(const weighted_upstream& w, bool shared) {
        const auto u = std::ranges::find(c_.upstreams, w.upstream, &upstream_config::name);
        print("  goes to the upstream {} ({})", u->name, place(path_of("upstreams", u->name)));
        if (shared) print(", weight {}", w.weight);
        print("{}\n", endpoints_of(*u));
    }

    // One line per option: its value and where that comes from.
    void options(const config_table& table, const void* object, const std::string& own, const std::string& defaults,
                 const std::string& prefix = {}) {
        std::vector<explained_option> all;
        reader_.read(all, table, object, own, defaults, prefix);
        for (const explained_option& o : all) out_ += line_of(o);
    }

    // What the server allows each stream.
    void buffers() {
        print("\n  buffers of each stream\n");
        std::vector<explained_option> all;
        reader_.read(all, tables::server, &c_.server, "server", {});
        for (const explained_option& o : all)
            if (o.key == "stream_buffer" || o.key == "slow_stream_bytes") out_ += line_of(o);
    }

    const config& c_;
    option_reader reader_;
    const parsed_request& rq_;
    std::string out_;
};

} // namespace

std::expected<std::string, std::string> explain(const loaded_config& c, const std::string& file,
                                                const explained_request& rq) {
    parsed_request parsed;
    if (auto ok = parse(rq, parsed); !ok) return std::unexpected(ok.error());
    return explainer(c, file, parsed).run();
}

std::vector<explained_part> explain_all(const config& c, const config_origin& from) { return describer(c, from).run(); }

std::string text_of(const std::vector<explained_part>& parts) {
    std::string out;
    for (const explained_part& p : parts) {
        out += (out.empty() ? "" : "\n") + p.kind + (p.name.empty() ? "" : " " + p.name) +
               (p.from.empty() ? "" : " (" + p.from + ")") + "\n";
        for (const std::string& a : p.about) out += "  " + a + "\n";
        for (const explained_option& o : p.options) out += line_of(o);
    }
    return out;
}

} // namespace headgate::gateway
