#include <headgate/http/token.hpp>

#include <algorithm>
#include <cstdio>
#include <thread>

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <gateway/admin/client.hpp>
#include <gateway/cli.hpp>
#include <gateway/config/check_files.hpp>
#include <gateway/config/commands.hpp>
#include <gateway/config/explain.hpp>
#include <gateway/config/load.hpp>
#include <gateway/export/command.hpp>
#include <gateway/post_mortem/call_stack.hpp>
#include <gateway/server.hpp>
#include <gateway/tell.hpp>
#include <gateway/top/commands.hpp>
#include <gateway/units.hpp>

namespace headgate::gateway {

namespace {

// Options whose values have units, or a form of their own: the text is parsed by `parse`, and its error is the
// option's.
template <class Value, class Parse>
CLI::Option* add_parsed(CLI::App& app, const std::string& name, Value& value, Parse parse, const std::string& help) {
    return app.add_option_function<std::string>(
        name,
        [&value, parse, name](const std::string& text) {
            auto parsed = parse(text);
            if (!parsed) throw CLI::ValidationError(name, parsed.error());
            value = *parsed;
        },
        help);
}

CLI::Option* add_duration(CLI::App& app, const std::string& name, duration& value, const std::string& help) {
    return add_parsed(app, name, value, parse_duration, help)->type_name("TIME")->default_str(format_duration(value));
}

std::expected<bool, std::string> parse_switch(std::string_view text) {
    if (text == "on" || text == "off") return text == "on";
    return std::unexpected("'" + std::string(text) + "' is neither on nor off");
}

void add_bytes(CLI::App& app, const std::string& name, std::size_t& value, std::size_t least, std::size_t most,
               const std::string& help) {
    auto parse = [least, most](std::string_view text) -> std::expected<std::size_t, std::string> {
        const auto n = parse_bytes(text);
        if (!n || (*n >= least && *n <= most)) return n;
        return std::unexpected("it must be from " + format_bytes(least) + " to " + format_bytes(most));
    };
    add_parsed(app, name, value, parse, help)->type_name("SIZE")->default_str(format_bytes(value));
}

std::expected<std::size_t, std::string> parse_bytes_or_none(std::string_view text) {
    if (text == "none") return unlimited;
    auto n = parse_bytes(text);
    if (!n) n.error() += ", or none";
    return n;
}

std::expected<std::size_t, std::string> parse_memory_limit(std::string_view text) {
    auto n = parse_bytes_or_none(text);
    if (n && *n < memory_limit_min) return std::unexpected("it must be at least " + format_bytes(memory_limit_min));
    return n;
}

std::expected<std::size_t, std::string> parse_slow_stream_bytes(std::string_view text) {
    auto n = parse_bytes_or_none(text);
    if (n && *n != unlimited && (*n < slow_stream_bytes_min || *n > slow_stream_bytes_max))
        return std::unexpected(fmt::format("it must be from {} to {}, or none", format_bytes(slow_stream_bytes_min),
                                           format_bytes(slow_stream_bytes_max)));
    return n;
}

std::expected<access_log_options, std::string> parse_access_log(std::string_view text) {
    access_log_options o;
    if (text == "off")
        o.enabled = false;
    else if (text == "json")
        o.format = log_format::json;
    else if (text == "text")
        o.format = log_format::text;
    else if (text != "on")
        return std::unexpected("'" + std::string(text) + "' is none of on, off, json and text");
    return o;
}

// Names of protocols, in lower case.
std::expected<std::vector<std::string>, std::string> parse_protocols(std::string_view text) {
    std::vector<std::string> all;
    while (!text.empty()) {
        const std::string& name = all.emplace_back(http::lower_case(http::next_element(text)));
        if (!http::is_token(name))
            return std::unexpected("'" + name + "' is no protocol's name; it would be like websocket");
    }
    return all;
}

void add_count(CLI::App& app, const std::string& name, std::size_t& value, std::size_t least, const std::string& help) {
    app.add_option(name, value, help)
        ->check(CLI::Range(least, std::size_t{10'000'000}))
        ->type_name("N")
        ->capture_default_str();
}

void add_rate(CLI::App& app, const std::string& name, std::uint64_t& value, const std::string& help) {
    add_parsed(app, name, value, parse_bytes, help)->type_name("SIZE/s")->default_str(std::to_string(value));
}

void add_server_options(CLI::App& app, server_options& o) {
    add_parsed(app, "--listen", o.listen, address::parse, "Where to accept connections: address:port, or unix:path")
        ->type_name("ADDRESS")
        ->default_str(o.listen.text());
    app.add_option("--workers", o.workers, "Threads, each with its own event loop and listener; one on a Unix socket")
        ->check(CLI::Range(1u, 1024u))
        ->type_name("N")
        ->default_str("one per core");
    add_duration(app, "--drain-timeout", o.drain_timeout, "How long requests may still run after SIGTERM");
    add_parsed(app, "--access-log", o.access_log, parse_access_log,
               "A line per request on standard output: on (text to a terminal, else JSON), off, json or text")
        ->type_name("on|off|json|text")
        ->default_str("on");
    app.add_option_function<std::string>(
           "--admin",
           [&o](const std::string& text) {
               auto at = address::parse(text);
               if (!at) throw CLI::ValidationError("--admin", at.error());
               o.admin = *at;
           },
           "Where to serve those who look after it: the page, the admin API, metrics")
        ->type_name("ADDRESS")
        ->default_str("nowhere");
    app.add_option("--admin-token-file", o.admin_token_file,
                   "A file with the token that they need; for an --admin that others than this machine can reach")
        ->type_name("FILE");
    add_count(app, "--connections-max", o.connections_max, 1, "Client connections per worker; more get 503");
    add_bytes(app, "--stream-buffer", o.stream_buffer, 4096, 64 << 20,
              "The most bytes copied through memory per stream and direction");
    add_parsed(app, "--slow-stream-bytes", o.slow_stream_bytes, parse_slow_stream_bytes,
               "The most that the kernel holds of a stream that is taken more slowly than it comes, up to 1GiB")
        ->type_name("SIZE|none")
        ->default_str(format_bytes(o.slow_stream_bytes));
    add_parsed(app, "--memory-limit", o.memory_limit, parse_memory_limit,
               "What all streams together hold in buffers; near it they get smaller ones, at it new requests get 503")
        ->type_name("SIZE|none")
        ->default_str("half of the machine's");
    add_count(app, "--splice-pipes-max", o.splice_pipes_max, 0, "Kernel pipes per worker for bulk streams; more copy");
    add_count(app, "--connections-per-client-max", o.connections_per_client_max, 0,
              "Connections of one client address (IPv6: /64) over all workers; more get 429; 0 for no limit");
    add_duration(app, "--tcp-keepalive-time", o.alive.probe_after,
                 "Without traffic until a peer is probed; it is gone after three probes in 30s");
    add_duration(app, "--tcp-user-timeout", o.alive.unconfirmed_max,
                 "For a peer's system to confirm what was sent to it")
        ->default_str("the longest idle timeout");
}

void add_upstream_options(CLI::App& app, upstream_options& o) {
    add_duration(app, "--connect-timeout", o.connect_timeout, "For a connection to the upstream");
    add_count(app, "--upstream-connections-max", o.connections_max, 1,
              "Connections to the upstream in use per worker; who needs more waits");
    add_count(app, "--upstream-queue-max", o.queue_max, 0, "How many may wait for one per worker (else 503)");
    add_duration(app, "--upstream-queue-timeout", o.queue_timeout, "For a connection to become free (else 503)");
}

void add_proxy(CLI::App& app, server_options& s, proxy_options& o) {
    add_parsed(app, "--to", o.to, parse_http_url, "The upstream: http://host:port")->type_name("URL")->required();
    add_server_options(app, s);
    add_upstream_options(app, o.upstream);
    add_duration(app, "--header-timeout", o.http.header_timeout, "For a client's whole request head");
    add_duration(app, "--keep-alive-timeout", o.http.keep_alive_timeout, "Between a client's requests");
    add_duration(app, "--client-idle-timeout", o.route.client_idle_timeout,
                 "With no byte of a body to or from the client");
    add_duration(app, "--first-byte-timeout", o.route.first_byte_timeout, "For the upstream's response head");
    add_duration(app, "--upstream-idle-timeout", o.route.upstream_idle_timeout,
                 "With no byte of a body to or from the upstream");
    add_duration(app, "--upstream-keep-alive-timeout", o.upstream.keep_alive_timeout,
                 "For an unused connection to the upstream");
    add_count(app, "--upstream-idle-max", o.upstream.idle_max, 0, "Unused upstream connections kept per worker");
    add_parsed(app, "--upstream-connection-lifetime-max", o.upstream.connection_lifetime_max, parse_duration,
               "For a connection to the upstream, from when it was made")
        ->type_name("TIME")
        ->default_str("no limit");
    app.add_option("--upstream-requests-per-connection-max", o.upstream.requests_per_connection_max,
                   "Requests on a connection to the upstream; it is closed after the last")
        ->check(CLI::Range(std::size_t{1}, std::size_t{10'000'000}))
        ->type_name("N")
        ->default_str("no limit");
    add_bytes(app, "--head-bytes-max", o.http.heads.head_bytes_max, 1024, 1 << 20,
              "The longest head of a request (else 431)");
    add_bytes(app, "--request-line-max", o.http.heads.request_line_max, 64, 1 << 20,
              "The longest request line (else 414)");
    app.add_option("--headers-max", o.http.heads.headers_max, "The most fields in a head (else 431, or 502)")
        ->check(CLI::Range(std::size_t{1}, http::header_list::capacity))
        ->type_name("N")
        ->capture_default_str();
    add_bytes(app, "--response-head-bytes-max", o.route.response_heads.head_bytes_max, 1024, 1 << 20,
              "The longest head of a response (else 502)");
    add_count(app, "--interim-responses-max", o.route.interim_responses_max, 0,
              "1xx responses before the final one (else 502)");
    add_parsed(app, "--request-body-max", o.route.request_body_max, parse_bytes_or_none,
               "The longest body of a request (else 413)")
        ->type_name("SIZE|none")
        ->default_str("none");
    add_bytes(app, "--chunk-line-max", o.route.chunks.line_bytes_max, 16, 1 << 20,
              "The longest size line of a chunk, with its extensions (else 400, or 502)");
    add_bytes(app, "--trailer-bytes-max", o.route.chunks.trailer_bytes_max, 2, 1 << 20,
              "The most bytes of trailers (else 400, or 502)");
    add_count(app, "--requests-per-connection-max", o.http.requests_per_connection_max, 1,
              "Requests of a client's connection; the last answer closes it");
    add_rate(app, "--client-rate-min", o.route.client_rate_min,
             "The least rate of a body from (else 408) or to a client");
    add_rate(app, "--upstream-rate-min", o.route.upstream_rate_min, "The least rate of a body to or from the upstream");
    add_duration(app, "--rate-grace", o.route.rate_grace, "How much waiting for a peer it takes to tell its rate");
    add_parsed(app, "--upgrade", o.route.upgrades, parse_protocols, "Protocols that clients may switch to: websocket")
        ->type_name("NAME,...")
        ->default_str("none");
    add_parsed(app, "--connect", o.route.connect, parse_switch, "Serve CONNECT, as a tunnel to the upstream: on or off")
        ->type_name("on|off")
        ->default_str("off");
    add_duration(app, "--upgrade-idle-timeout", o.route.upgrade_idle_timeout,
                 "With nothing moved either way, after a switch of protocols");
    add_duration(app, "--upgrade-half-close-timeout", o.route.upgrade_half_close_timeout,
                 "The same, after one side has ended");
}

void add_tunnel(CLI::App& app, server_options& s, tunnel_options& o) {
    add_parsed(app, "--to", o.to, parse_endpoint, "The upstream: host:port")->type_name("HOST:PORT")->required();
    add_server_options(app, s);
    add_upstream_options(app, o.upstream);
    add_duration(app, "--idle-timeout", o.idle_timeout, "With nothing moved either way");
    add_duration(app, "--half-close-timeout", o.half_close_timeout, "With nothing moved, after one side has ended");
}

bool is_command(const CLI::App& app, std::string_view name) {
    return !app.get_subcommands([&](const CLI::App* command) { return command->get_name() == name; }).empty();
}

std::string commands_of(const CLI::App& app) {
    std::string out;
    for (const CLI::App* c : app.get_subcommands([](const CLI::App* command) { return !command->get_group().empty(); }))
        out += (out.empty() ? "" : ", ") + c->get_name();
    return out;
}

using source_or_error = std::expected<std::shared_ptr<const snapshot>, std::string>;

source_or_error read_snapshot(const std::string& file, const snapshot* before) {
    const auto c = load_config_with_places(file);
    if (!c) return std::unexpected(format_errors(c.error()));
    try {
        auto from = std::make_shared<const config_origin>(file, c->places);
        auto made = std::make_shared<snapshot>(c->value, before, std::move(from));
        for (const std::string& w : made->warnings()) tell_line(log_level::warning, "warning: {}", w);
        return made;
    } catch (const std::runtime_error& e) {
        const file_findings found = check_files(*c, file);
        return std::unexpected(found.errors.empty() ? file + ": " + e.what() + "\n" : format_errors(found.errors));
    }
}

// Serves what a file says, and reads it again on SIGHUP.
int run_from_file(const std::string& file, std::vector<std::string> arguments, inheritance given) {
    auto first = read_snapshot(file, nullptr);
    if (!first) {
        std::fputs(first.error().c_str(), stderr);
        given.failed(first.error());
        return 1;
    }
    const config& c = (*first)->of();
    const std::string about = fmt::format("{} routes, {} upstreams", c.routes.size(), c.upstreams.size());
    return run_server({.first = std::move(*first),
                       .again = [file](const snapshot& now) { return read_snapshot(file, &now); },
                       .about = about,
                       .arguments = std::move(arguments),
                       .given = std::move(given)});
}

} // namespace

int run_command_line(int argc, char** argv) {
    // Not for people: see call_stack.hpp.
    if (argc > 1 && argv[1] == std::string_view("symbolize")) return symbolize({argv + 2, argv + argc});
    CLI::App app("headgate: a streaming gateway. Moves bytes between clients and services, and lets nothing leak.",
                 "headgate");
    app.require_subcommand(1);
    app.set_version_flag("--version", "headgate " HEADGATE_VERSION);
    app.footer(
        "Times: 500ms, 30s, 5m, 1h. Sizes: 64KiB, 1MiB, bytes.\n"
        "Signals: TERM and INT drain and end, a second one ends at once; USR1 prints what is alive; USR2 starts\n"
        "the program anew to take over; HUP reads the configuration of `run` again.");

    server_options s;
    s.listen = *address::parse("127.0.0.1:8080");
    s.workers = std::max(1u, std::thread::hardware_concurrency());
    proxy_options p;
    tunnel_options t;
    CLI::App* proxy_command = app.add_subcommand("proxy", "HTTP/1.1 reverse proxy to one upstream");
    add_proxy(*proxy_command, s, p);
    CLI::App* tunnel_command = app.add_subcommand("tunnel", "TCP tunnel to one upstream");
    add_tunnel(*tunnel_command, s, t);
    std::string file;
    CLI::App* run_command = app.add_subcommand("run", "Serve what a configuration file says; SIGHUP reads it again");
    run_command->add_option("-c,--config", file, "The configuration file")->type_name("FILE")->required();
    const config_commands configs(app);
    const export_command exports(app);
    const admin::commands admin_commands(app);
    const top::commands top_commands(app);

    try {
        // CLI11 would only say that there is no command.
        if (argc > 1 && argv[1][0] != '-' && !is_command(app, argv[1]))
            throw CLI::ValidationError(argv[1], "is not a command; there are " + commands_of(app));
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? 0 : 2;
    }
    if (const auto status = configs.run()) return *status;
    if (const auto status = exports.run()) return *status;
    if (const auto status = admin_commands.run()) return *status;
    if (const auto status = top_commands.run()) return *status;
    const admin_options shown{
        .enabled = s.admin.has_value(), .listen = s.admin.value_or(address()), .token_file = s.admin_token_file};
    if (shown.open_to_others()) {
        fmt::print(stderr, "--admin {}: others than this machine can connect: --admin-token-file is needed\n",
                   shown.listen.text());
        return 2;
    }
    std::vector<std::string> arguments(argv, argv + argc);
    inheritance given = inheritance::of_process();
    if (*run_command) return run_from_file(file, std::move(arguments), std::move(given));
    p.route.response_heads.headers_max = p.http.heads.headers_max;
    p.http.client_idle_timeout = p.route.client_idle_timeout;
    if (s.alive.unconfirmed_max == forever)
        s.alive.unconfirmed_max =
            *proxy_command ? std::max(p.route.client_idle_timeout, p.route.upstream_idle_timeout) : t.idle_timeout;
    return run_server({.first = *proxy_command ? snapshot_of(p, s) : snapshot_of(t, s),
                       .about = *proxy_command ? "forwarding to http://" + p.to.text() : "forwarding to " + t.to.text(),
                       .arguments = std::move(arguments),
                       .given = std::move(given)});
}

} // namespace headgate::gateway
