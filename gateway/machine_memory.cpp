#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>

#include <sys/resource.h>
#include <unistd.h>

#include <gateway/machine_memory.hpp>

namespace headgate::gateway {

namespace {

constexpr std::size_t none = std::numeric_limits<std::size_t>::max();

// What a file says that holds one number; "max", or no file, is no limit.
std::size_t number_in(const std::string& file) {
    std::ifstream in(file);
    std::string text;
    std::size_t n = none;
    if (in >> text) std::from_chars(text.data(), text.data() + text.size(), n);
    return n;
}

// The least of the limits of a group and of those that it is in.
std::size_t least_of(const std::string& root, std::string group, const char* file) {
    std::size_t least = none;
    for (;;) {
        least = std::min(least, number_in(root + group + "/" + file));
        const auto slash = group.rfind('/');
        if (slash == std::string::npos) return least;
        group.resize(slash);
    }
}

std::size_t group_memory() {
    std::ifstream groups("/proc/self/cgroup");
    std::size_t least = none;
    for (std::string line; std::getline(groups, line);) { // "0::/system.slice/headgate.service", "4:memory:/..."
        const auto first = line.find(':');
        const auto second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string_view controllers = std::string_view(line).substr(first + 1, second - first - 1);
        const std::string path = line.substr(second + 1);
        if (controllers.empty())
            least = std::min(least, least_of("/sys/fs/cgroup", path, "memory.max"));
        else if (controllers == "memory")
            least = std::min(least, least_of("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes"));
    }
    return least;
}

} // namespace

std::size_t machine_memory() {
    const auto pages = static_cast<std::size_t>(std::max(sysconf(_SC_PHYS_PAGES), 1L));
    const auto page = static_cast<std::size_t>(std::max(sysconf(_SC_PAGESIZE), 1L));
    std::size_t least = std::min(pages * page, group_memory());
    rlimit space{};
    if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY)
        least = std::min<std::size_t>(least, space.rlim_cur);
    return least;
}

} // namespace headgate::gateway
