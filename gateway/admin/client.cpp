#include <headgate/io/run.hpp>

#include <cstdio>
#include <cstring>
#include <memory>

#include <fmt/format.h>

#include <gateway/admin/client.hpp>

namespace headgate::gateway::admin {

namespace {

// The whole text, or none of it and the reason on standard error.
bool write_file(const std::string& path, const std::string& text) {
    const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "we"),
                                                     [](FILE* f) { return std::fclose(f); });
    if (file && std::fwrite(text.data(), 1, text.size(), file.get()) == text.size() && std::fflush(file.get()) == 0)
        return true;
    fmt::print(stderr, "{}: {}\n", path, std::strerror(errno));
    return false;
}

// `output`: where the answer goes; empty for the terminal.
task<int> ask_and_print(target to, std::string method, std::string path, duration limit, std::string output) {
    const reply r = co_await ask(std::move(to), std::move(method), std::move(path), "text/plain", limit);
    if (r.good() && !output.empty()) co_return write_file(output, r.body) ? 0 : 1;
    std::fputs(r.body.c_str(), r.good() ? stdout : stderr);
    co_return r.good() ? 0 : 1;
}

} // namespace

commands::commands(CLI::App& app) {
    const auto add = [&](const char* name, const char* help, const char* method, const char* path, int wait_seconds) {
        CLI::App* c = app.add_subcommand(name, help);
        where_.add(*c);
        all_.push_back({c, method, path, wait_seconds});
        return c;
    };
    add("reload", "Have a running gateway read its configuration again, and tell what it says", "POST",
        "/api/v1/reload", 60);
    add("upgrade", "Have a running gateway replaced by a new process of the program, without an interruption", "POST",
        "/api/v1/upgrade", 3600);
    add("drain", "Have a running gateway end, as SIGTERM does", "POST", "/api/v1/drain", 5);
    add("dump", "Write what every coroutine of a running gateway waits for, without stopping it", "GET", "/api/v1/dump",
        60)
        ->add_option("-o,--output", output_, "Write it there instead of the terminal")
        ->type_name("FILE");
}

std::optional<int> commands::run() const {
    for (const command& c : all_) {
        if (!*c.app) continue;
        auto to = where_.resolve();
        if (!to) return to.error();
        return headgate::run(
            ask_and_print(std::move(*to), c.method, c.path, std::chrono::seconds(c.wait_seconds), output_));
    }
    return std::nullopt;
}

} // namespace headgate::gateway::admin
