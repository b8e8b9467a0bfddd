#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

#include <gateway/config/starter.hpp>

namespace headgate::gateway {

std::string_view starter_config() {
    return R"(# A configuration of headgate. Check it:   headgate validate -c FILE
# What becomes of a request:                 headgate explain -c FILE GET http://localhost:8080/api/users
# All keys: docs/configuration.md, or `headgate schema` for an editor.

# Where clients come in.
listeners:
  - name: web
    address: "127.0.0.1:8080"

# What is done with their requests. The most specific route takes a request, whatever their order.
routes:
  - name: api
    match: {path_prefix: /api/}
    proxy: {upstream: api, first_byte_timeout: 30s}
  - name: health
    match: {path: /healthz, methods: [GET, HEAD]}
    respond: {body: "ok\n"}

# Where requests are sent, by name.
upstreams:
  api:
    endpoints: ["${API_ADDRESS:-127.0.0.1:9001}", "127.0.0.1:9002"]
    connect_timeout: 2s
)";
}

std::expected<void, std::string> write_starter_config(const std::string& path) {
    const auto failed = [](int e) { return std::unexpected(std::generic_category().message(e)); };
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return errno == EEXIST ? std::unexpected(std::string("it exists already, and is left as it is"))
                               : failed(errno);
    const std::string_view text = starter_config();
    const ssize_t n = ::write(fd, text.data(), text.size());
    int e = n < 0 ? errno : static_cast<std::size_t>(n) != text.size() ? ENOSPC : 0;
    if (::close(fd) != 0 && e == 0) e = errno;
    if (e == 0) return {};
    ::unlink(path.c_str()); // a part of it would be of no use, and in the way
    return failed(e);
}

} // namespace headgate::gateway
