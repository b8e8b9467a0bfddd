#include <headgate/http/inbound.hpp>
#include <headgate/http/parser.hpp>
#include <headgate/io/run.hpp>

#include <cstdio>
#include <cstring>
#include <memory>

#include <fmt/format.h>

#include <gateway/admin/client.hpp>
#include <gateway/config/load.hpp>

namespace headgate::gateway::admin {

namespace {

constexpr duration connect_timeout = std::chrono::seconds(5);
constexpr std::size_t answer_bytes_max = 4 << 20;

struct reply {
    int status = 0;
    std::string body{};
};

// Sends a request without a body and reads the whole answer.
task<reply> get_answer(address to, std::string method, std::string path, duration limit) {
    auto s = co_await connect(to, connect_timeout);
    if (!s) co_await fail(s.error(), "cannot reach a gateway at " + to.text());
    const std::string host = to.family() == AF_UNIX ? "localhost" : to.text();
    const std::string request = method + " " + path + " HTTP/1.1\r\nHost: " + host +
                                "\r\nAccept: text/plain\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    if (const auto sent = co_await s->write_all(request, limit); !sent)
        co_await fail(sent.error(), "asking the gateway");
    http::response_parser parser(http::method::get);
    http::inbound in;
    in.make_contiguous(answer_bytes_max);
    bool ended = false;
    for (;;) {
        if (const auto p = parser.parse(in.bytes()); p.state == http::parse_state::error) {
            co_await fail(errc::protocol, "what answers at " + to.text() + " is no gateway");
        } else if (p.state == http::parse_state::complete) {
            const http::response_head& head = parser.head();
            const std::string_view body = in.bytes().substr(head.head_bytes);
            if (head.framing.how == http::body_framing::kind::length && body.size() >= head.framing.length)
                co_return reply{head.status, std::string(body.substr(0, head.framing.length))};
        }
        if (ended || in.bytes().size() >= answer_bytes_max)
            co_await fail(errc::premature_close, "the gateway's answer was cut");
        const auto n = co_await s->read_some(in.room(answer_bytes_max), limit);
        if (!n) co_await fail(n.error(), "waiting for the gateway");
        in.received(*n);
        ended = *n == 0;
    }
}

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
task<int> ask(address to, std::string method, std::string path, duration limit, std::string output) {
    const reply r = co_await get_answer(std::move(to), std::move(method), std::move(path), limit);
    const bool good = r.status >= 200 && r.status < 300;
    if (good && !output.empty()) co_return write_file(output, r.body) ? 0 : 1;
    std::fputs(r.body.c_str(), good ? stdout : stderr);
    co_return good ? 0 : 1;
}

} // namespace

commands::commands(CLI::App& app) {
    const auto add = [&](const char* name, const char* help, const char* method, const char* path, int wait_seconds) {
        CLI::App* c = app.add_subcommand(name, help);
        auto* at = c->add_option("--admin", address_, "Where the gateway's admin server listens")->type_name("ADDRESS");
        c->add_option("-c,--config", file_, "The gateway's configuration file, which says where")
            ->type_name("FILE")
            ->excludes(at);
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

std::optional<address> commands::where(int& status) const {
    if (!file_.empty()) {
        const auto c = load_config(file_);
        status = 1;
        if (!c) {
            fmt::print(stderr, "{}", format_errors(c.error()));
            return std::nullopt;
        }
        if (c->admin.enabled) return c->admin.listen;
        fmt::print(stderr, "{}: has no `admin`, so that there is no way to reach the gateway\n", file_);
        return std::nullopt;
    }
    if (address_.empty()) return admin_options().listen;
    auto a = address::parse(address_);
    if (a) return *a;
    fmt::print(stderr, "--admin: {}\n", a.error());
    status = 2;
    return std::nullopt;
}

std::optional<int> commands::run() const {
    for (const command& c : all_) {
        if (!*c.app) continue;
        int status = 0;
        auto to = where(status);
        if (!to) return status;
        return headgate::run(ask(std::move(*to), c.method, c.path, std::chrono::seconds(c.wait_seconds), output_));
    }
    return std::nullopt;
}

} // namespace headgate::gateway::admin
