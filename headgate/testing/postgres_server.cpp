#include <headgate/testing/postgres_server.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <stdexcept>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace headgate::testing {

namespace {

// The folder of the newest version's programs; empty if there is none.
std::string find_programs() {
    int newest = 0;
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator("/usr/lib/postgresql", none)) {
        const int version = std::atoi(entry.path().filename().c_str()); // NOLINT(cert-err34-c): 0 is none
        if (std::filesystem::exists(entry.path() / "bin" / "initdb")) newest = std::max(newest, version);
    }
    return newest == 0 ? std::string() : "/usr/lib/postgresql/" + std::to_string(newest) + "/bin/";
}

int free_port() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof any;
    const bool bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&any), size) == 0 &&
                       ::getsockname(fd, reinterpret_cast<sockaddr*>(&any), &size) == 0;
    ::close(fd);
    if (!bound) throw std::runtime_error("no free port");
    return ntohs(any.sin_port);
}

// What a command prints; its status too.
std::pair<std::string, int> output_of(const std::string& command) {
    std::FILE* const pipe = ::popen((command + " 2>&1").c_str(), "re");
    if (!pipe) throw std::runtime_error("cannot run " + command);
    std::string out;
    std::array<char, 4096> buffer;
    while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) out.append(buffer.data(), n);
    return {out, ::pclose(pipe)};
}

std::string shell_word(const std::string& text) {
    std::string out = "'";
    for (const char c : text) out += c == '\'' ? "'\\''" : std::string(1, c);
    return out + "'";
}

const char* as_user() { return ::geteuid() == 0 ? "runuser -u postgres -- " : ""; }

} // namespace

bool postgres_server::available() { return !find_programs().empty(); }

postgres_server::postgres_server() : postgres_server({}, {}) {}

postgres_server::postgres_server(const std::string& certificate, const std::string& key)
    : folder_(home_ / "server"), programs_(find_programs()), port_(free_port()) {
    if (programs_.empty()) throw std::runtime_error("PostgreSQL is not installed");
    if (::geteuid() == 0) run("chown postgres " + shell_word(home_ / ""));
    run(as_user() + programs_ + "initdb --no-sync -U postgres -A trust -E UTF8 --locale=C.UTF-8 -D " +
        shell_word(folder_));
    std::string settings =
        "port = " + std::to_string(port_) + "\nlisten_addresses = '127.0.0.1'\n" + "unix_socket_directories = '" +
        folder_ + "'\nfsync = off\nsynchronous_commit = off\n" +
        "full_page_writes = off\nautovacuum = off\nmax_connections = 40\njit = off\nlog_min_messages = fatal\n";
    if (!certificate.empty()) {
        for (const auto& [from, name] : {std::pair(certificate, "/server.crt"), std::pair(key, "/server.key")})
            run("install -m 600 " + std::string(::geteuid() == 0 ? "-o postgres " : "") + shell_word(from) + " " +
                shell_word(folder_ + name));
        settings += "ssl = on\n";
    }
    std::ofstream(folder_ + "/postgresql.auto.conf") << settings;
    std::ofstream(folder_ + "/pg_hba.conf") << "local all all trust\n"
                                               "host all locked 127.0.0.1/32 scram-sha-256\n"
                                               "host all all 127.0.0.1/32 trust\n";
    const std::string stop = as_user() + programs_ + "pg_ctl -m immediate -w stop -D " + shell_word(folder_);
    guard_ = ::popen(("trap '' HUP INT TERM; cd / && cat >/dev/null; (" + stop + ") >/dev/null 2>&1; rm -rf " +
                      shell_word(home_ / ""))
                         .c_str(),
                     "we");
    if (!guard_) throw std::runtime_error("cannot guard the server");
    start();
    psql("create role reader login; create role locked login password 'open sesame'");
}

postgres_server::~postgres_server() { ::pclose(guard_); } // it stops it

void postgres_server::run(const std::string& command) const {
    const auto [out, status] = output_of("cd / && " + command);
    if (status != 0) throw std::runtime_error(command + ": " + out);
}

void postgres_server::start() {
    run(as_user() + programs_ + "pg_ctl -w -l " + shell_word(folder_ + "/log") + " start -D " + shell_word(folder_));
}

void postgres_server::stop_at_once() {
    run(as_user() + programs_ + "pg_ctl -m immediate -w stop -D " + shell_word(folder_));
}

std::string postgres_server::conninfo(const std::string& user) const {
    return "host=127.0.0.1 port=" + std::to_string(port_) + " dbname=postgres user=" + user;
}

std::string postgres_server::local_conninfo() const {
    return "host=" + folder_ + " port=" + std::to_string(port_) + " dbname=postgres user=postgres";
}

std::string postgres_server::psql(const std::string& sql) const {
    const auto [out, status] = output_of(programs_ + "psql -XqAt -v ON_ERROR_STOP=1 -d " +
                                         shell_word(local_conninfo()) + " -c " + shell_word(sql));
    if (status != 0) throw std::runtime_error("psql: " + out);
    return out.ends_with('\n') ? out.substr(0, out.size() - 1) : out;
}

} // namespace headgate::testing
