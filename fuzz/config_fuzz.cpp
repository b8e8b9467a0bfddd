#include <algorithm>
#include <string>
#include <variant>

#include <fuzz/check.hpp>
#include <fuzz/target.hpp>
#include <gateway/config/load.hpp>
#include <gateway/snapshot.hpp>

using namespace headgate::fuzz;
using namespace headgate::gateway;

namespace {

constexpr std::string_view secret = "what-no-message-may-show";

config_surroundings surroundings() {
    return {.variable = [](const std::string& name) -> std::optional<std::string> {
                if (name.size() > 8) return std::nullopt;
                return "a: [b, {" + name + "}]\n";
            },
            .file = [](const std::string& path) -> std::expected<std::string, std::string> {
                if (path.empty()) return std::unexpected("no name");
                return std::string(secret);
            }};
}

bool one_line(std::string_view text) {
    return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

void check_errors(const std::vector<config_error>& errors, bool knows_secret) {
    check(!errors.empty() && errors.size() <= config_errors::shown_max + 1, "the errors are bounded");
    for (const config_error& e : errors) {
        check(!e.message.empty() && one_line(e.message) && one_line(e.source), "an error is harmless to print");
        check(knows_secret || !e.message.contains(secret), "what a file holds is not shown");
        check(e.caret <= 110 && e.caret <= e.source.size(), "the caret stands below the line");
    }
    check(std::ranges::is_sorted(errors.begin(), errors.end() - 1, {}, &config_error::at), "in the file's order");
}

bool known(const config& c, const std::string& upstream) {
    return std::ranges::find(c.upstreams, upstream, &upstream_config::name) != c.upstreams.end();
}

void check_targets(const config& c, const std::vector<weighted_upstream>& targets) {
    check(std::ranges::any_of(targets, [](auto& t) { return t.weight != 0; }), "a route has somewhere to go");
    for (const weighted_upstream& t : targets) check(known(c, t.upstream), "its upstreams exist");
}

// What the gateway takes for granted.
void check_config(const config& c) {
    check(!c.listeners.empty() && !c.routes.empty() && c.server.workers > 0, "there is something to serve");
    for (const upstream_config& u : c.upstreams)
        check(std::ranges::any_of(u.endpoints, [](auto& e) { return e.weight != 0 && e.where.port != 0; }),
              "an upstream has an endpoint");
    for (const route_config& r : c.routes) {
        if (const auto* p = std::get_if<proxy_action>(&r.action)) check_targets(c, p->upstreams);
        if (const auto* t = std::get_if<tcp_action>(&r.action)) check_targets(c, t->upstreams);
    }
    const snapshot s(c);
    for (const listener_config& l : c.listeners) {
        const auto* e = s.find(l.listen.text());
        check(e && e->config->name == l.name && !e->routes.empty(), "a listener has routes, and an address of its own");
        check(l.protocol == listener_protocol::http || e->routes.size() == 1, "a tcp listener has one");
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const exact_bytes bytes(data, size);
    const auto c = read_config(bytes.text(), "fuzzed.yaml", surroundings());
    if (c)
        check_config(c->value);
    else
        check_errors(c.error(), bytes.text().contains(secret));
    return 0;
}

std::string headgate::fuzz::after_corpus() { return {}; }
