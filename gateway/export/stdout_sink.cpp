#include <headgate/io/offload.hpp>

#include <algorithm>
#include <cerrno>
#include <climits>

#include <poll.h>
#include <unistd.h>

#include <gateway/export/stdout_sink.hpp>

namespace headgate::gateway {

namespace {

struct written {
    chunk rest;
    int error = 0;
};

// A pipe that is ready takes PIPE_BUF bytes without waiting.
written write_ready(chunk item) {
    constexpr int wait_ms = std::chrono::duration_cast<std::chrono::milliseconds>(stdout_sink::patience).count();
    for (int wait = wait_ms; !item.empty(); wait = 0) {
        pollfd p{.fd = STDOUT_FILENO, .events = POLLOUT, .revents = 0};
        const int ready = ::poll(&p, 1, wait);
        if (ready == 0 || (ready < 0 && errno == EINTR)) break;
        const ssize_t n = ::write(STDOUT_FILENO, item.data(), std::min<std::size_t>(item.size(), PIPE_BUF));
        if (n < 0 && errno != EAGAIN && errno != EINTR) return {std::move(item), errno};
        if (n > 0) item.remove_prefix(static_cast<std::size_t>(n));
    }
    return {std::move(item), 0};
}

} // namespace

// A chunk whose buffer others refer to must not go to another thread.
task<> stdout_sink::write(chunk item) {
    if (!item.alone()) item = chunk(item.text());
    while (!item.empty()) {
        written done = co_await offload([c = std::move(item)]() mutable { return write_ready(std::move(c)); });
        if (done.error != 0) co_await fail(system_error_code(done.error), "standard output");
        item = std::move(done.rest);
    }
}

} // namespace headgate::gateway
