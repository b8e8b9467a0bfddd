#pragma once

#include <expected>
#include <string>
#include <utility>
#include <vector>

#include <gateway/config/load.hpp>

namespace headgate::gateway {

// A request to think about.
struct explained_request {
    std::string method;
    std::string url; // http://host[:port]/path?query, or only its path; tls://host[:port] for a tcp connection
    std::vector<std::pair<std::string, std::string>> headers{};
};

// What becomes of it, as text: at which listeners it can arrive, which route takes it there and why that one, which
// upstreams it goes to, and every time and limit with where it comes from: a line of `file`, its defaults, or the
// program. The error says what is wrong with the request.
std::expected<std::string, std::string> explain(const loaded_config& c, const std::string& file,
                                                const explained_request& rq);

// Where a configuration was read from: "headgate.yaml", and where in it its values stand. Without a file: options of a
// command line.
struct config_origin {
    std::string file{};
    config_places places{};
};

// One option that holds, with where it comes from.
struct explained_option {
    std::string key;
    std::string value; // "(not shown)" for what is secret; empty: none
    std::string from;
};

// What holds for one part of a configuration.
struct explained_part {
    std::string kind; // server, admin, tracing, listener, route, upstream or source
    std::string name; // of the last four
    std::string from; // where it stands; empty: nowhere
    std::vector<std::string> about{};
    std::vector<explained_option> options{};
};

// All of it: what the file says, and what it leaves to its defaults and to the program. Nothing secret is in it.
std::vector<explained_part> explain_all(const config& c, const config_origin& from);

// As `headgate explain` prints it.
std::string text_of(const std::vector<explained_part>& parts);

} // namespace headgate::gateway
