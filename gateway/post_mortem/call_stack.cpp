#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>

#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gateway/post_mortem/call_stack.hpp>
#include <gateway/post_mortem/symbols.hpp>

namespace headgate::gateway {

namespace {

using std::chrono::steady_clock;
constexpr auto lookup_time = std::chrono::seconds(5);

Dl_info module_of(const void* address) {
    Dl_info in{};
    if (::dladdr(address, &in) == 0) in = {};
    return in;
}
const void* own_base() { return module_of(reinterpret_cast<const void*>(&own_base)).dli_fbase; }

std::ptrdiff_t offset_in(const void* base, const void* address) {
    return static_cast<const char*>(address) - static_cast<const char*>(base);
}

// What can be said without debug information.
std::string plain_text(const void* address) {
    const Dl_info in = module_of(address);
    if (!in.dli_fbase) return fmt::format("{}", fmt::ptr(address));
    const std::string_view path = in.dli_fname;
    const std::string_view name = path.substr(path.rfind('/') + 1);
    if (in.dli_sname) return fmt::format("{} ({})", in.dli_sname, name);
    return fmt::format("{}+{:#x}", name, offset_in(in.dli_fbase, address));
}

// All that can be read from `fd` until its end or `until`.
std::string read_all(int fd, steady_clock::time_point until) {
    std::string text;
    for (;;) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - steady_clock::now()).count();
        pollfd wait{.fd = fd, .events = POLLIN, .revents = 0};
        if (left <= 0 || ::poll(&wait, 1, static_cast<int>(left)) <= 0) return text;
        char piece[4096];
        const ssize_t n = ::read(fd, piece, sizeof piece);
        if (n <= 0) return text;
        text.append(piece, static_cast<std::size_t>(n));
    }
}

// What the other process says. Empty if it cannot be started or does not end in time.
std::string ask_for_names(const std::vector<std::string>& offsets) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return {};
    posix_spawn_file_actions_t with{};
    ::posix_spawn_file_actions_init(&with);
    ::posix_spawn_file_actions_adddup2(&with, ends[1], STDOUT_FILENO);
    std::string program = "/proc/self/exe";
    std::string command = "symbolize";
    std::vector<char*> arguments = {program.data(), command.data()};
    std::vector<std::string> texts = offsets;
    for (std::string& t : texts) arguments.push_back(t.data());
    arguments.push_back(nullptr);
    pid_t pid = 0;
    const int wrong = ::posix_spawn(&pid, program.c_str(), &with, nullptr, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&with);
    ::close(ends[1]);
    std::string text;
    if (wrong == 0) {
        text = read_all(ends[0], steady_clock::now() + lookup_time);
        ::kill(pid, SIGKILL); // it has ended, or takes too long
        ::waitpid(pid, nullptr, 0);
    }
    ::close(ends[0]);
    return text;
}

} // namespace

std::string text_of_calls(std::span<void* const> calls) {
    if (calls.empty()) return "    (it does not answer)\n";
    const void* const base = own_base();
    std::vector<std::string> offsets;
    for (const void* c : calls)
        if (module_of(c).dli_fbase == base) offsets.push_back(fmt::format("{:x}", offset_in(base, c)));
    const std::string names = offsets.empty() ? std::string() : ask_for_names(offsets);
    std::string_view rest = names;
    std::string text;
    for (const void* c : calls) {
        const std::size_t end = rest.find('\n');
        if (module_of(c).dli_fbase == base && end != rest.npos) {
            text += fmt::format("    {}\n", rest.substr(0, end));
            rest.remove_prefix(end + 1);
        } else {
            text += fmt::format("    {}\n", plain_text(c));
        }
    }
    return text;
}

int symbolize(const std::vector<std::string>& offsets) {
    const symbols names;
    const char* const base = static_cast<const char*>(own_base());
    for (const std::string& text : offsets) {
        std::uintptr_t offset = 0;
        if (std::from_chars(text.data(), text.data() + text.size(), offset, 16).ec != std::errc()) return 2;
        fmt::print("{}\n", names.call(base + offset));
    }
    return 0;
}

} // namespace headgate::gateway
