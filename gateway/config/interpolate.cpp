#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gateway/config/interpolate.hpp>

namespace headgate::gateway {

namespace {

constexpr std::size_t value_file_max = 1 << 20;

bool is_variable_name(std::string_view text) noexcept {
    const auto letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'; };
    return !text.empty() && letter(text.front()) &&
           std::ranges::all_of(text, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

class interpolator {
public:
    interpolator(const config_surroundings& from, config_errors& errors) : from_(from), errors_(errors) {}

    void walk(yaml_node& n) {
        if (n.scalar() && n.text.contains("${")) put_in(n);
        for (yaml_node& i : n.items) walk(i);
    }

private:
    void put_in(yaml_node& n) {
        n.written = std::exchange(n.text, {});
        std::string_view rest = n.written;
        for (;;) {
            const std::size_t at = rest.find("${");
            n.text += rest.substr(0, at);
            if (at == std::string_view::npos) break;
            if (at > 0 && rest[at - 1] == '$') { // $${
                n.text += '{';
                rest.remove_prefix(at + 2);
                continue;
            }
            const std::size_t end = rest.find('}', at);
            if (end == std::string_view::npos)
                return fail(n, "this has a ${ without its }; for a ${ as it is, write $${");
            n.text += value_of(n, rest.substr(at + 2, end - at - 2));
            rest.remove_prefix(end + 1);
        }
        if (n.secret) errors_.hide(n.text);
    }

    std::string value_of(yaml_node& n, std::string_view what) {
        constexpr std::string_view file = "file:";
        if (what.starts_with(file)) {
            n.secret = true;
            const std::string path(what.substr(file.size()));
            auto content = from_.file(path);
            if (!content) {
                fail(n, "'" + printable(path) + "' cannot be read: " + content.error());
                return {};
            }
            if (content->ends_with('\n')) content->pop_back();
            if (content->ends_with('\r')) content->pop_back();
            return std::move(*content);
        }
        const std::size_t minus = what.find(":-");
        const std::string name(what.substr(0, minus));
        if (!is_variable_name(name)) {
            fail(n, "'${" + printable(what) + "}' is not understood; write ${NAME}, ${NAME:-default} or ${file:/path}");
            return {};
        }
        std::optional<std::string> value = from_.variable(name);
        if (minus != std::string_view::npos && (!value || value->empty())) return std::string(what.substr(minus + 2));
        if (!value) fail(n, "the variable " + name + " is not set; set it, or write ${" + name + ":-default}");
        return value.value_or("");
    }

    void fail(yaml_node& n, std::string message) {
        n.broken = true;
        errors_.add(n.at, std::move(message));
    }

    const config_surroundings& from_;
    config_errors& errors_;
};

struct open_file {
    int fd;
    explicit open_file(const char* path) noexcept : fd(::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) {}
    open_file(const open_file&) = delete;
    open_file& operator=(const open_file&) = delete;
    ~open_file() {
        if (fd >= 0) ::close(fd);
    }
};

std::string system_message() { return std::generic_category().message(errno); }

} // namespace

std::expected<std::string, std::string> read_whole_file(const std::string& path, std::size_t most) {
    const open_file f(path.c_str());
    struct stat about{};
    if (f.fd < 0 || ::fstat(f.fd, &about) != 0) return std::unexpected(system_message());
    if (!S_ISREG(about.st_mode)) return std::unexpected("it is not a regular file");
    std::string out;
    for (;;) {
        const std::size_t had = out.size();
        out.resize(had + 16 * 1024);
        const ssize_t n = ::read(f.fd, out.data() + had, out.size() - had);
        if (n < 0 && errno != EINTR) return std::unexpected(system_message());
        out.resize(had + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
        if (out.size() > most) return std::unexpected("it is longer than " + std::to_string(most) + " bytes");
        if (n == 0) return out;
    }
}

config_surroundings config_surroundings::of_process() {
    return {.variable = [](const std::string& name) -> std::optional<std::string> {
                const char* value = std::getenv(name.c_str()); // NOLINT(concurrency-mt-unsafe)
                return value ? std::optional<std::string>(value) : std::nullopt;
            },
            .file = [](const std::string& path) { return read_whole_file(path, value_file_max); }};
}

void interpolate(yaml_node& root, const config_surroundings& from, config_errors& errors) {
    interpolator(from, errors).walk(root);
}

} // namespace headgate::gateway
