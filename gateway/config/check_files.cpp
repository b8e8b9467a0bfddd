#include <headgate/io/tls_context.hpp>
#include <headgate/io/unnamed_file.hpp>

#include <gateway/config/check_files.hpp>

namespace headgate::gateway {

namespace {

// Each file is read by itself as far as that is possible, so that all that is wrong is told at once.
class file_checker {
public:
    file_checker(const loaded_config& c, std::string_view file) : c_(c), errors_(file, c.text) {}

    file_findings run() {
        for (std::size_t i = 0; i < c_.value.listeners.size(); ++i)
            if (const listener_config& l = c_.value.listeners[i]; !l.tls.certificates.empty())
                check_server(l.tls, path_of(path_of("listeners", i), "tls"));
        for (const upstream_config& u : c_.value.upstreams)
            if (u.tls.enabled) check_client(u.tls.options, path_of(path_of("upstreams", u.name), "tls"));
        if (const tracing_options& t = c_.value.tracing; t.enabled && t.tls.enabled)
            check_client(t.tls.options, "tracing.tls");
        for (std::size_t i = 0; i < c_.value.routes.size(); ++i)
            if (const auto* s = std::get_if<static_action>(&c_.value.routes[i].action))
                if (const auto root = files::folder::open(s->root); !root)
                    errors_.add(mark(path_of(path_of(path_of("routes", i), "static"), "root")),
                                printable(s->root + ": " + root.error().message()));
        if (const std::string& spool = c_.value.server.spool.directory; !spool.empty())
            if (const auto e = unnamed_file().open_in(spool))
                errors_.add(mark("server.spool.directory"), printable(spool + ": " + e.message()));
        return {.errors = std::move(errors_).take(), .warnings = std::move(warnings_)};
    }

private:
    using named_file = std::pair<std::string_view, const std::string&>; // its key, and where it is

    // Gives whether there is nothing wrong.
    template <class Context>
    bool tried(const std::expected<Context, tls_load_error>& made, const std::string& path,
               std::initializer_list<named_file> files) {
        if (made) {
            warnings_.insert(warnings_.end(), made->warnings().begin(), made->warnings().end());
            return true;
        }
        config_mark at = mark(path);
        for (const auto& [key, name] : files)
            if (!name.empty() && name == made.error().file) at = mark(path_of(path, key));
        errors_.add(at, printable(made.error().message()));
        return false;
    }

    config_mark mark(const std::string& path) const {
        const config_mark* at = c_.places.find(path);
        return at ? *at : config_mark{};
    }

    void check_server(const tls_server_options& o, const std::string& path) {
        bool good = true;
        for (std::size_t i = 0; i < o.certificates.size(); ++i) {
            const tls_certificate_files& f = o.certificates[i];
            const auto one = tls_server_context::load({.certificates = {f}});
            good = tried(one, path_of(path_of(path, "certificates"), i),
                         {{"certificate", f.certificate}, {"key", f.key}, {"ocsp", f.ocsp}}) &&
                   good;
        }
        if (!good || o.clients == client_certificates::off) return;
        tls_server_options with_clients = o;
        with_clients.certificates.resize(1);
        const auto clients = tls_server_context::load(with_clients);
        if (!clients) tried(clients, path, {{"client_ca", o.client_ca}});
    }

    void check_client(const tls_client_options& o, const std::string& path) {
        tried(tls_client_context::load({.ca = o.ca}), path, {{"ca", o.ca}});
        if (o.certificate.empty()) return;
        const auto own = tls_client_context::load(
            {.certificate = o.certificate, .key = o.key, .insecure_accept_any_certificate = true});
        tried(own, path, {{"certificate", o.certificate}, {"key", o.key}});
    }

    const loaded_config& c_;
    config_errors errors_;
    std::vector<std::string> warnings_;
};

} // namespace

file_findings check_files(const loaded_config& c, std::string_view file) { return file_checker(c, file).run(); }

} // namespace headgate::gateway
