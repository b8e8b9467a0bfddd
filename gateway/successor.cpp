#include <headgate/core/sleep.hpp>

#include <algorithm>
#include <csignal>
#include <cstring>

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gateway/successor.hpp>

namespace headgate::gateway {

namespace {

constexpr std::size_t report_bytes_max = 256 * 1024;
// How long a process that says nothing more may take to end, and how often it is looked at.
constexpr duration end_time = std::chrono::seconds(1);
constexpr duration end_pause = std::chrono::milliseconds(10);

// The environment of this process, with what is told of the sockets. LISTEN_PID and WATCHDOG_PID name this process.
std::vector<std::string> surroundings(const std::vector<handed_socket>& sockets) {
    std::vector<std::string> all;
    for (char** e = environ; *e; ++e) {
        const std::string_view variable = *e;
        if (!variable.starts_with("LISTEN_") && !variable.starts_with("WATCHDOG_PID=")) all.emplace_back(variable);
    }
    std::string names = std::string(handed_variable) + "=";
    for (const handed_socket& s : sockets) names += fmt::format("{}{}\n", s.keep_path ? '-' : '+', s.name);
    all.push_back(std::move(names));
    all.push_back(fmt::format("{}={}", report_variable, first_handed_fd + static_cast<int>(sockets.size())));
    return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> all;
    for (std::string& t : texts) all.push_back(t.data());
    all.push_back(nullptr);
    return all;
}

// What posix_spawn() is told. The sockets get the numbers from first_handed_fd on; `copies` are out of their way.
class plan {
public:
    explicit plan(const std::vector<owned_fd>& copies) {
        ::posix_spawn_file_actions_init(&files);
        ::posix_spawnattr_init(&attributes);
        for (std::size_t i = 0; i < copies.size(); ++i)
            ::posix_spawn_file_actions_adddup2(&files, copies[i].get(), first_handed_fd + static_cast<int>(i));
        sigset_t none;
        sigset_t pipe;
        ::sigemptyset(&none);
        ::sigemptyset(&pipe);
        ::sigaddset(&pipe, SIGPIPE);
        ::posix_spawnattr_setsigmask(&attributes, &none);
        ::posix_spawnattr_setsigdefault(&attributes, &pipe);
        ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    }
    plan(const plan&) = delete;
    plan& operator=(const plan&) = delete;
    ~plan() {
        ::posix_spawn_file_actions_destroy(&files);
        ::posix_spawnattr_destroy(&attributes);
    }

    posix_spawn_file_actions_t files{};
    posix_spawnattr_t attributes{};
};

} // namespace

std::expected<successor, std::string> successor::start(const std::vector<std::string>& arguments,
                                                       std::vector<handed_socket> sockets) {
    auto ends = socket_pair();
    if (!ends) return std::unexpected("cannot start another process: " + ends.error().message());
    const int beyond = first_handed_fd + static_cast<int>(sockets.size()) + 1;
    std::vector<owned_fd> copies;
    copies.reserve(sockets.size() + 1);
    for (const handed_socket& s : sockets) copies.push_back(owned_fd::copy_of(s.fd.get(), beyond));
    copies.push_back(owned_fd::copy_of(ends->second.fd(), beyond));
    const plan how(copies);
    std::vector<std::string> variables = surroundings(sockets);
    std::vector<std::string> words = arguments;
    pid_t pid = -1;
    const int wrong = ::posix_spawnp(&pid, words.front().c_str(), &how.files, &how.attributes, pointers(words).data(),
                                     pointers(variables).data());
    if (wrong != 0) return std::unexpected("cannot start " + words.front() + ": " + system_error_code(wrong).message());
    return successor(pid, std::move(ends->first));
}

successor::~successor() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
}

task<std::string> successor::ready(duration limit) {
    const time_point deadline = executor::current().turn_time() + limit;
    std::string said;
    std::array<char, 4096> buffer;
    for (;;) {
        const duration left = std::max(deadline - executor::current().turn_time(), duration::zero());
        const auto n = co_await report_.read_some(buffer, left);
        if (!n && n.error() == errc::timed_out) co_return "the new process was not ready in time";
        if (!n || *n == 0) break;
        said.append(buffer.data(), std::min(*n, report_bytes_max - said.size()));
        if (said == "ready\n") co_return std::string();
    }
    while (said.ends_with('\n')) said.pop_back();
    co_return said.empty() ? co_await ended() : said;
}

task<std::string> successor::ended() {
    const time_point deadline = executor::current().turn_time() + end_time;
    int status = 0;
    while (::waitpid(pid_, &status, WNOHANG) != pid_) {
        if (executor::current().turn_time() >= deadline) co_return "the new process does not say that it is ready";
        co_await sleep_for(end_pause);
    }
    pid_ = -1;
    if (WIFSIGNALED(status))
        co_return fmt::format("the new process was ended by signal {} ({})", WTERMSIG(status),
                              ::strsignal(WTERMSIG(status)));
    co_return fmt::format("the new process ended with status {}", WEXITSTATUS(status));
}

} // namespace headgate::gateway
