#include <cstdio>

#include <fmt/format.h>

#include <gateway/config/check_files.hpp>
#include <gateway/config/commands.hpp>
#include <gateway/config/explain.hpp>
#include <gateway/config/load.hpp>
#include <gateway/config/reference.hpp>
#include <gateway/config/schema.hpp>
#include <gateway/config/starter.hpp>

namespace headgate::gateway {

namespace {

std::string counted(std::size_t n, const char* what) { return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s"); }

int print(const std::string& text) {
    std::fputs(text.c_str(), stdout);
    return std::fflush(stdout) == 0 ? 0 : 1;
}

int tell(const std::vector<config_error>& errors) {
    fmt::print(stderr, "{}", format_errors(errors));
    return 1;
}

int usage(const std::string& message) {
    fmt::print(stderr, "{}\nRun with --help for more information.\n", message);
    return 2;
}

int validate(const std::string& file, bool without_files) {
    const auto loaded = load_config_with_places(file);
    if (!loaded) return tell(loaded.error());
    const file_findings found = without_files ? file_findings{} : check_files(*loaded, file);
    if (!found.errors.empty()) return tell(found.errors);
    for (const std::string& w : found.warnings) fmt::print(stderr, "{}: warning: {}\n", file, w);
    const config& c = loaded->value;
    return print(fmt::format("{}: ok, {}, {}, {}\n", file, counted(c.listeners.size(), "listener"),
                             counted(c.routes.size(), "route"), counted(c.upstreams.size(), "upstream")));
}

int explain_file(const std::string& file, explained_request rq, const std::vector<std::string>& headers) {
    for (const std::string& h : headers) {
        const std::size_t colon = h.find(':');
        if (colon == std::string::npos) return usage("--header: '" + h + "' is not 'Name: value'");
        const std::size_t value = std::min(h.find_first_not_of(" \t", colon + 1), h.size());
        rq.headers.emplace_back(h.substr(0, colon), h.substr(value));
    }
    if (rq.url.empty() && !(rq.method.empty() && rq.headers.empty())) {
        if (!rq.method.starts_with("tls://")) return usage("URL is required");
        rq.url = std::move(rq.method);
        rq.method = {};
    }
    const auto c = load_config_with_places(file);
    if (!c) return tell(c.error());
    if (rq.url.empty()) return print(text_of(explain_all(c->value, {.file = file, .places = c->places})));
    const auto text = explain(*c, file, rq);
    return text ? print(*text) : usage(text.error());
}

int init(const std::string& file) {
    if (const auto written = write_starter_config(file); !written) {
        fmt::print(stderr, "{}: {}\n", file, written.error());
        return 1;
    }
    return print(fmt::format("{}: written; to check it: headgate validate -c {}\n", file, file));
}

CLI::App* add_with_file(CLI::App& app, const char* name, const char* help, std::string& file) {
    CLI::App* command = app.add_subcommand(name, help);
    command->add_option("-c,--config", file, "The configuration file")->type_name("FILE")->required();
    return command;
}

} // namespace

config_commands::config_commands(CLI::App& app)
    : validate_(
          add_with_file(app, "validate", "Check a configuration file, and tell all that is wrong with it", file_)),
      explain_(add_with_file(app, "explain", "Tell what becomes of a request, and why; or all that holds", file_)),
      schema_(app.add_subcommand("schema", "Print the JSON Schema of configuration files")),
      init_(app.add_subcommand("init", "Write a small configuration file to begin with")),
      reference_(app.add_subcommand("reference", "Print the keys of configuration files, in Markdown")->group("")) {
    validate_->add_flag("--without-files", without_files_, "Do not open the files of TLS, which may be elsewhere");
    explain_->add_option("METHOD", method_,
                         "The request's method, for example GET; or tls://host[:port] alone. Without it, the whole "
                         "configuration is explained");
    explain_->add_option("URL", url_, "http://host[:port]/path, or only the path");
    explain_->add_option("-H,--header", headers_, "A header field of the request")
        ->type_name("'Name: value'")
        ->allow_extra_args(false);
    init_->add_option("FILE", new_file_, "Where to; a file that exists is left alone")->capture_default_str();
}

std::optional<int> config_commands::run() const {
    if (*validate_) return validate(file_, without_files_);
    if (*explain_) return explain_file(file_, {.method = method_, .url = url_}, headers_);
    if (*schema_) return print(config_schema());
    if (*init_) return init(new_file_);
    if (*reference_) return print(config_reference());
    return std::nullopt;
}

} // namespace headgate::gateway
