#include <headgate/core/race.hpp>
#include <headgate/io/linux_kernel.hpp>
#include <headgate/io/offload.hpp>
#include <headgate/io/run.hpp>
#include <headgate/io/signals.hpp>

#include <csignal>
#include <cstdio>

namespace headgate {

namespace {

task<int> next_of(signal_set* signals) { co_return co_await signals->next(); }

task<int> until_signal(task<int> work, signal_set* signals) {
    const auto first = co_await race(std::move(work), next_of(signals));
    co_return first.index() == 0 ? std::get<0>(first) : 128 + std::get<1>(first);
}

} // namespace

int run(task<int> work) {
    try {
        linux_kernel os;
        offload_pool pool;
        loop l(os);
        l.set_offload_pool(pool);
        signal_set stop({SIGINT, SIGTERM});
        std::signal(SIGPIPE, SIG_IGN);
        const auto end = l.run(until_signal(std::move(work), &stop));
        if (end) return *end;
        std::fprintf(stderr, "error: %s\n", end.error().message().c_str());
    } catch (const std::exception& e) {
        std::fprintf(stderr, "error: %s\n", e.what());
    }
    return 1;
}

} // namespace headgate
