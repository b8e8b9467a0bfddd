#include <algorithm>
#include <thread>

#include <gateway/config/check.hpp>
#include <gateway/config/load.hpp>
#include <gateway/config/tables.hpp>

namespace headgate::gateway {

namespace {

// The longest time that a peer may be silent without being at fault: only beyond it, one that confirms nothing is gone.
duration longest_idle(const config& c) {
    duration longest = 1ms;
    for (const route_config& r : c.routes) {
        if (const auto* p = std::get_if<proxy_action>(&r.action))
            longest = std::max({longest, p->options.client_idle_timeout, p->options.upstream_idle_timeout});
        if (const auto* e = std::get_if<export_action>(&r.action)) longest = std::max(longest, e->client_idle_timeout);
        if (const auto* t = std::get_if<tcp_action>(&r.action)) longest = std::max(longest, t->idle_timeout);
    }
    for (const listener_config& l : c.listeners)
        if (l.protocol == listener_protocol::http) longest = std::max(longest, l.http.client_idle_timeout);
    return longest;
}

void fill_in(config& c, const config_places& places) {
    if (!places.find("server.workers")) c.server.workers = std::max(1u, std::thread::hardware_concurrency());
    if (!places.find("server.tcp_user_timeout")) c.server.alive.unconfirmed_max = longest_idle(c);
}

} // namespace

std::expected<loaded_config, std::vector<config_error>> read_config(std::string_view text, std::string_view file,
                                                                    const config_surroundings& from) {
    config_errors errors(file, text);
    yaml_node root = parse_yaml(text, errors);
    if (root.what == yaml_node::type::null) {
        if (errors.empty()) errors.add({}, "is empty; `headgate init` writes a configuration to begin with");
        return std::unexpected(std::move(errors).take());
    }
    interpolate(root, from, errors);
    config_document d;
    config_places places;
    decode(tables::document, root, &d, d.defaults, places, errors);
    check_config(d.value, places, errors);
    if (!errors.empty()) return std::unexpected(std::move(errors).take());
    fill_in(d.value, places);
    return loaded_config{std::move(d.value), std::move(places), std::string(text)};
}

std::expected<loaded_config, std::vector<config_error>> load_config_with_places(const std::string& path) {
    const auto text = read_whole_file(path, yaml_bytes_max);
    if (!text) return std::unexpected(std::vector{config_error{path, {}, "cannot be read: " + text.error(), {}, 0}});
    return read_config(*text, path, config_surroundings::of_process());
}

std::expected<config, std::vector<config_error>> load_config(const std::string& path) {
    auto loaded = load_config_with_places(path);
    if (!loaded) return std::unexpected(std::move(loaded.error()));
    return std::move(loaded->value);
}

} // namespace headgate::gateway
