#pragma once

#include <headgate/http/message.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace headgate::gateway {

// What a field or a parameter of the query must be.
struct value_match {
    std::string name;                 // of a field: whatever its case
    std::optional<std::string> value; // exactly this, decoded in a query; without one, any
    bool operator==(const value_match&) const = default;
};

// Which requests a route takes: those for which all that is stated holds (Gateway API's HTTPRouteMatch).
struct route_match {
    // "api.example.org", or "*.example.org" for one label or more; none: any host. Of tcp routes: what TLS clients ask
    // for (SNI), and there is nothing else.
    std::vector<std::string> hosts{};
    std::optional<std::string> path{};
    std::optional<std::string> path_prefix{}; // by whole segments
    std::vector<std::string> extensions{};    // what may stand behind `path`: ".csv"
    std::vector<std::string> methods{};       // none: any
    std::vector<value_match> headers{};
    std::vector<value_match> query{};
    int priority = 0; // among routes that are equally specific, the higher one is asked first

    // What of a path that it takes replace_prefix stands for.
    std::string_view matched_prefix() const noexcept {
        return path_prefix ? *path_prefix : path ? *path : std::string_view("/");
    }
};

// Two routes of which the table cannot tell which to ask first, or of which one is never reached.
struct route_conflict {
    std::size_t first;
    std::size_t second;
    bool unreachable; // `second` is: `first` takes all its requests
};

// What of a request routes look at.
struct route_request {
    std::string_view host;  // without the port
    std::string_view path;  // normal: see path.hpp
    std::string_view query; // with its '?', or empty
    std::string_view method;
    const http::header_list* headers = nullptr;
};

// Finds the route of a request: the most specific one. An exact host comes before a wildcard, a longer wildcard before
// a shorter, any host last; then an exact path before a prefix, a longer prefix before a shorter; then a method; then
// more fields; then more parameters; then the priority. What a lookup costs depends on the labels of the host and the
// segments of the path, not on the number of routes.
class route_table {
public:
    // Hosts are taken in lower case, paths in their normal spelling.
    explicit route_table(const std::vector<route_match>& routes);

    // The index of the route; none if no route takes the request.
    std::optional<std::size_t> find(const route_request& rq) const;

    // The pairs of routes that an operator must tell apart. About `most` of them are looked for.
    static std::vector<route_conflict> conflicts(const std::vector<route_match>& routes, std::size_t most = 1000);

private:
    struct hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>()(text); }
    };
    template <class T>
    using by_name = std::unordered_map<std::string, T, hash, std::equal_to<>>;

    // What a route asks beyond host and path.
    struct candidate {
        std::size_t route;
        std::vector<std::string> methods;
        std::vector<value_match> headers;
        std::vector<value_match> query;
        int priority;

        bool takes(const route_request& rq) const;
        bool before(const candidate& other) const noexcept;
    };
    using candidates = std::vector<candidate>; // the one to ask first, first

    struct paths {
        by_name<candidates> exact;
        by_name<candidates> prefixes; // without a slash at the end; "" for "/"
        candidates any;

        std::optional<std::size_t> find(const route_request& rq) const;
    };

    void add(paths& to, const route_match& m, std::size_t index);

    by_name<paths> hosts_;
    by_name<paths> wildcards_; // by what follows the '*': ".example.org"
    paths any_host_;
};

// Whether a host may stand in a route: a name or an address, or "*." and a name.
bool is_route_host(std::string_view host) noexcept;

} // namespace headgate::gateway
