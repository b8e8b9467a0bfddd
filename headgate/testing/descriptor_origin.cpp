#include <headgate/testing/descriptor_origin.hpp>

#if defined(NDEBUG) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HEADGATE_ORIGINS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define HEADGATE_ORIGINS 0
#endif
#endif
#ifndef HEADGATE_ORIGINS
#define HEADGATE_ORIGINS 1
#endif

#if HEADGATE_ORIGINS

#include <array>
#include <cstdarg>
#include <cstdio>
#include <memory>
#include <vector>

#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace headgate::testing {
namespace {

// The callers of whoever opened a descriptor. A slot belongs to whoever has the descriptor, so threads do not meet in
// one.
struct origin {
    std::array<void*, 14> callers;
    int depth;
};
std::array<origin, 1024> origins; // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

constexpr int own_calls = 2; // note() and the replaced function

int note(int fd) noexcept {
    if (fd >= 0 && static_cast<std::size_t>(fd) < origins.size()) {
        origin& o = origins[static_cast<std::size_t>(fd)];
        o.depth = ::backtrace(o.callers.data(), static_cast<int>(o.callers.size()));
    }
    return fd;
}

// The function that ours of the same name stands in front of.
template <class Function>
Function* next(const char* name) noexcept {
    return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

std::vector<std::string> lines_of(const std::string& command) {
    const std::unique_ptr<FILE, int (*)(FILE*)> from(::popen(command.c_str(), "re"),
                                                     [](FILE* f) { return ::pclose(f); });
    std::vector<std::string> lines;
    std::array<char, 4096> line{};
    while (from && std::fgets(line.data(), line.size(), from.get()))
        lines.emplace_back(line.data()).pop_back(); // the end of the line
    return lines;
}

} // namespace

// Calls in shared libraries are left out.
std::string descriptor_origin(int fd) {
    if (fd < 0 || static_cast<std::size_t>(fd) >= origins.size()) return {};
    Dl_info self{};
    if (::dladdr(origins.data(), &self) == 0) return {};
    const origin o = origins[static_cast<std::size_t>(fd)];
    std::vector<std::string> offsets;
    for (int i = own_calls; i < o.depth; ++i) {
        const auto* caller = static_cast<const char*>(o.callers[static_cast<std::size_t>(i)]);
        Dl_info in{};
        if (::dladdr(caller, &in) == 0 || in.dli_fbase != self.dli_fbase) continue;
        std::array<char, 32> hex{}; // of the call, which is before the address to which it returns
        std::snprintf(hex.data(), hex.size(), "0x%tx", caller - static_cast<const char*>(in.dli_fbase) - 1);
        offsets.emplace_back(hex.data());
    }
    if (offsets.empty()) return {};
    std::string command = "addr2line -Cfpe /proc/" + std::to_string(::getpid()) + "/exe";
    for (const std::string& offset : offsets) command += " " + offset;
    std::vector<std::string> lines = lines_of(command + " 2>/dev/null");
    if (lines.size() != offsets.size()) lines = std::move(offsets);
    std::string out;
    for (const std::string& line : lines)
        if (!line.ends_with(":?")) out += "    " + line + "\n"; // without a source: GoogleTest's own
    return out;
}

} // namespace headgate::testing

// NOLINTBEGIN(readability-identifier-naming,cert-dcl50-cpp,cert-dcl51-cpp,bugprone-reserved-identifier)
using headgate::testing::next;
using headgate::testing::note;

// The mode is only there when something may be created.
#define HEADGATE_MODE_OF(flags)                                                                                        \
    mode_t mode = 0;                                                                                                   \
    if (((flags) & (O_CREAT | O_TMPFILE)) != 0) {                                                                      \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode = va_arg(rest, mode_t);                                                                                   \
        va_end(rest);                                                                                                  \
    }

extern "C" {

int open(const char* path, int flags, ...) {
    HEADGATE_MODE_OF(flags)
    return note(next<int(const char*, int, ...)>("open")(path, flags, mode));
}
int openat(int folder, const char* path, int flags, ...) {
    HEADGATE_MODE_OF(flags)
    return note(next<int(int, const char*, int, ...)>("openat")(folder, path, flags, mode));
}
int mkostemp(char* name, int flags) { return note(next<decltype(mkostemp)>("mkostemp")(name, flags)); }
int socket(int domain, int type, int protocol) noexcept {
    return note(next<int(int, int, int)>("socket")(domain, type, protocol));
}
int accept4(int fd, sockaddr* from, socklen_t* size, int flags) {
    return note(next<int(int, sockaddr*, socklen_t*, int)>("accept4")(fd, from, size, flags));
}
int epoll_create1(int flags) noexcept { return note(next<int(int)>("epoll_create1")(flags)); }
int eventfd(unsigned value, int flags) noexcept { return note(next<int(unsigned, int)>("eventfd")(value, flags)); }
int dup(int fd) noexcept { return note(next<int(int)>("dup")(fd)); }
int socketpair(int domain, int type, int protocol, int* ends) noexcept {
    const int done = next<int(int, int, int, int*)>("socketpair")(domain, type, protocol, ends);
    if (done == 0) note(ends[0]), note(ends[1]);
    return done;
}
int pipe2(int* ends, int flags) noexcept {
    const int done = next<int(int*, int)>("pipe2")(ends, flags);
    if (done == 0) note(ends[0]), note(ends[1]);
    return done;
}

} // extern "C"
// NOLINTEND(readability-identifier-naming,cert-dcl50-cpp,cert-dcl51-cpp,bugprone-reserved-identifier)

#else

std::string headgate::testing::descriptor_origin(int) { return {}; }

#endif
