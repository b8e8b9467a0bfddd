#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include <gateway/config/check_listeners.hpp>
#include <gateway/config/tables.hpp>

namespace headgate::gateway {

namespace {

// Whether one of them takes connections that are meant for the other. [::] is all of IPv4, too.
bool overlap(const address& a, const address& b) {
    if (a.text() == b.text()) return true; // port 0, too: it is by its address that a listener is known
    if (a.family() == AF_UNIX || b.family() == AF_UNIX || a.port() != b.port() || a.port() == 0) return false;
    const auto all = [](const address& x) { return x.host() == "0.0.0.0" || x.host() == "::"; };
    if (a.host() == "::" || b.host() == "::") return true;
    return a.family() == b.family() && (all(a) || all(b) || a.host() == b.host());
}

// Whether the route is meant for the listener; by name, its protocol may still be another.
bool applies(const route_config& r, const listener_config& l) {
    if (r.listeners.empty()) return is_tcp(r) == (l.protocol == listener_protocol::tcp);
    return std::ranges::find(r.listeners, l.name) != r.listeners.end();
}

class address_checker {
public:
    address_checker(const config& c, const config_places& places, config_errors& errors)
        : c_(c), places_(places), errors_(errors) {}

    void check_address(std::size_t i) {
        const config_mark* at = place(path_of(path_of("listeners", i), "address"));
        if (!at) return;
        for (std::size_t j = 0; j < i; ++j) {
            const config_mark* other = place(path_of(path_of("listeners", j), "address"));
            if (!other || !overlap(c_.listeners[i].listen, c_.listeners[j].listen)) continue;
            errors_.add(*at, "two listeners on one address: this one and that of " + on_line(*other) + " overlap");
            return;
        }
    }

    void check_admin() {
        const config_mark* at = place("admin.address");
        if (!at) at = place("admin");
        if (!at || !c_.admin.enabled) return;
        if (c_.admin.open_to_others())
            errors_.add(*at, "others than this machine can connect to " + quoted(c_.admin.listen.text()) +
                                 ", and may do all there is to do: set token_file, or listen on 127.0.0.1, [::1] or "
                                 "unix:/path");
        for (std::size_t i = 0; i < c_.listeners.size(); ++i) {
            const config_mark* other = place(path_of(path_of("listeners", i), "address"));
            if (!other || !overlap(c_.admin.listen, c_.listeners[i].listen)) continue;
            errors_.add(*at, "the address " + quoted(c_.admin.listen.text()) +
                                 " of admin overlaps with that of the listener on " + on_line(*other));
            return;
        }
    }

private:
    const config_mark* place(const std::string& path) const { return places_.find(path); }

    const config& c_;
    const config_places& places_;
    config_errors& errors_;
};

class routing_checker {
public:
    routing_checker(config& c, const config_places& places, config_errors& errors, const std::vector<bool>& doubtful)
        : c_(c), places_(places), errors_(errors), doubtful_(doubtful),
          any_doubtful_(std::ranges::find(doubtful, true) != doubtful.end()) {}

    void run() {
        derive_protocols();
        for (std::size_t i = 0; i < c_.listeners.size(); ++i) check_listener(i);
        for (std::size_t i = 0; i < c_.routes.size(); ++i) check_reached(i);
        check_conflicts();
    }

private:
    const config_mark* place(const std::string& path) const { return places_.find(path); }

    // A listener speaks tcp if a tcp route names it; or if no route names it and there are only tcp routes.
    void derive_protocols() {
        const bool only_tcp = !c_.routes.empty() && std::ranges::all_of(c_.routes, is_tcp);
        for (std::size_t i = 0; i < c_.listeners.size(); ++i) {
            listener_config& l = c_.listeners[i];
            if (place(path_of(path_of("listeners", i), "protocol"))) continue;
            bool named = false;
            bool tcp = false;
            for (const route_config& r : c_.routes) {
                if (std::ranges::find(r.listeners, l.name) == r.listeners.end()) continue;
                named = true;
                tcp = tcp || is_tcp(r);
            }
            if (tcp || (!named && only_tcp)) l.protocol = listener_protocol::tcp;
        }
    }

    void check_listener(std::size_t i) {
        const std::string path = path_of("listeners", i);
        const listener_config& l = c_.listeners[i];
        const config_mark* at = place(path);
        if (!at || l.name.empty()) return;
        const bool tcp = l.protocol == listener_protocol::tcp;
        if (tcp)
            for (const config_field* f : all_fields(tables::listener_options))
                if (const config_mark* option = place(path_of(path, f->key)); option && f->key != "header_timeout")
                    errors_.add(*option, quoted(f->key) + " has no meaning on a tcp listener");

        bool doubt = any_doubtful_;
        std::vector<std::size_t> routes;
        for (std::size_t r = 0; r < c_.routes.size(); ++r) {
            if (!applies(c_.routes[r], l)) continue;
            if (is_tcp(c_.routes[r]) != tcp) {
                mixed(r, l);
                doubt = true;
            } else {
                routes.push_back(r);
            }
        }
        if (doubt) return;
        if (routes.empty()) errors_.add(*at, "no route is for the listener " + quoted(l.name));
        if (tcp) check_tcp_routes(routes, l);
    }

    // Of routes without a name to choose by there can be one. The others are compared with each other by
    // check_conflicts.
    void check_tcp_routes(const std::vector<std::size_t>& routes, const listener_config& l) {
        std::optional<std::size_t> any;
        for (const std::size_t r : routes) {
            if (!c_.routes[r].match.hosts.empty())
                check_readable(r, l);
            else if (any)
                second_tcp_route(r, *any, l);
            else
                any = r;
        }
    }

    void check_readable(std::size_t route, const listener_config& l) {
        const config_mark* at = place(path_of(path_of(path_of("routes", route), "match"), "sni"));
        if (at && !l.tls.certificates.empty())
            errors_.add(*at, "the listener " + quoted(l.name) +
                                 " ends TLS itself, and sni is for connections that are passed on as they are; leave "
                                 "out one of sni and the listener's tls");
    }

    // One that names its listeners has been checked with them.
    void check_reached(std::size_t i) {
        const config_mark* at = place(path_of("routes", i));
        if (!at || doubtful_[i] || !c_.routes[i].listeners.empty()) return;
        for (std::size_t l = 0; l < c_.listeners.size(); ++l)
            if (places_.doubtful(path_of("listeners", l))) return;
        if (!c_.listeners.empty() && listeners_of(c_, i).empty())
            errors_.add(*at, std::string("there is no ") + (is_tcp(c_.routes[i]) ? "tcp" : "http") +
                                 " listener for the route " + quoted(c_.routes[i].name));
    }

    const config_mark* place_of_listener(std::size_t route, const std::string& name) const {
        const std::string path = path_of(path_of("routes", route), "listeners");
        const auto& all = c_.routes[route].listeners;
        const auto found = std::ranges::find(all, name);
        if (found == all.end()) return place(path_of("routes", route));
        return place(path_of(path, static_cast<std::size_t>(found - all.begin())));
    }

    void mixed(std::size_t route, const listener_config& l) {
        const config_mark* at = place_of_listener(route, l.name);
        if (!at) return;
        const bool tcp = l.protocol == listener_protocol::tcp;
        errors_.add(*at, "the listener " + quoted(l.name) + " speaks " + (tcp ? "tcp" : "http") + " and the route " +
                             quoted(c_.routes[route].name) + (tcp ? " is for requests" : " is for tcp connections") +
                             "; a listener serves one kind of routes");
    }

    void second_tcp_route(std::size_t route, std::size_t first, const listener_config& l) {
        const config_mark* at = place_of_listener(route, l.name);
        const config_mark* other = place(path_of("routes", first));
        if (at && other)
            errors_.add(*at, "the tcp listener " + quoted(l.name) + " has a route already, on " + on_line(*other) +
                                 "; give one of them an sni to choose by");
    }

    void check_conflicts() {
        std::set<std::vector<std::size_t>> seen;
        std::set<std::pair<std::size_t, std::size_t>> told;
        for (const listener_config& l : c_.listeners) {
            const bool tcp = l.protocol == listener_protocol::tcp;
            std::vector<std::size_t> routes;
            for (std::size_t r = 0; r < c_.routes.size(); ++r) {
                if (is_tcp(c_.routes[r]) != tcp || !applies(c_.routes[r], l) || doubtful_[r]) continue;
                if (!tcp || !c_.routes[r].match.hosts.empty()) routes.push_back(r);
            }
            if (!seen.insert(routes).second) continue;
            std::vector<route_match> matches;
            for (const std::size_t r : routes) matches.push_back(c_.routes[r].match);
            for (const route_conflict& k : route_table::conflicts(matches))
                if (const auto pair = std::pair(routes[k.first], routes[k.second]); told.insert(pair).second)
                    tell(pair.first, pair.second, k.unreachable);
        }
    }

    void tell(std::size_t first, std::size_t second, bool unreachable) {
        const auto where = [&](std::size_t r) {
            const config_mark* at = place(path_of(path_of("routes", r), "match"));
            return at ? *at : *place(path_of("routes", r));
        };
        const std::string a = quoted(c_.routes[first].name);
        const std::string b = quoted(c_.routes[second].name);
        if (unreachable)
            return errors_.add(where(second), "the route " + b + " is never reached: " + a + " on " +
                                                  on_line(where(first)) +
                                                  " takes all its requests and is asked first; remove one");
        if (is_tcp(c_.routes[first]))
            return errors_.add(where(second), "the routes " + a + " on " + on_line(where(first)) + " and " + b +
                                                  " have an sni in common; remove it from one");
        errors_.add(where(second), "the routes " + a + " on " + on_line(where(first)) + " and " + b +
                                       " can take the same request and are equally specific; make one more specific, "
                                       "or give one a priority");
    }

    config& c_;
    const config_places& places_;
    config_errors& errors_;
    const std::vector<bool>& doubtful_;
    bool any_doubtful_;
};

} // namespace

void check_addresses(const config& c, const config_places& places, config_errors& errors) {
    address_checker checker(c, places, errors);
    for (std::size_t i = 0; i < c.listeners.size(); ++i) checker.check_address(i);
    checker.check_admin();
}

void check_routing(config& c, const config_places& places, config_errors& errors, const std::vector<bool>& doubtful) {
    routing_checker(c, places, errors, doubtful).run();
}

std::vector<std::size_t> listeners_of(const config& c, std::size_t route) {
    const route_config& r = c.routes[route];
    std::vector<std::size_t> all;
    for (std::size_t i = 0; i < c.listeners.size(); ++i)
        if (is_tcp(r) == (c.listeners[i].protocol == listener_protocol::tcp) && applies(r, c.listeners[i]))
            all.push_back(i);
    return all;
}

} // namespace headgate::gateway
