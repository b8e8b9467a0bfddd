#pragma once

#include <headgate/core/channel.hpp>
#include <headgate/core/stream.hpp>
#include <headgate/core/task.hpp>

namespace headgate {

namespace detail {

template <class T>
task<> read_ahead(stream<T> in, channel<T>& queue, place& holder) {
    while (auto item = co_await in.next()) {
        co_await queue.room(item_bytes(*item));
        queue.push(std::move(*item));
        hold(holder, queue.bytes(), queue.limit());
    }
    queue.close();
}

template <class T>
stream<T> buffer(stream<T> in, std::size_t limit) {
    place& at = co_await here();
    channel<T> queue(limit);
    strand reading;
    reading.start(read_ahead(std::move(in), queue, at), at);
    for (;;) {
        co_await queue.filled();
        std::optional<T> item = queue.pop();
        if (!item) co_return;
        hold(at, queue.bytes(), queue.limit());
        co_yield std::move(*item);
    }
}

} // namespace detail

// A stage that reads ahead of its consumer, in memory, up to `limit` bytes: its source then runs while the consumer is
// busy. At the limit the source waits. The item that is read but does not fit yet comes on top, one at the most.
//
// When the source fails, the chain fails at once, and what was read ahead is not delivered any more.
struct buffered {
    explicit buffered(std::size_t limit_bytes) noexcept : limit(limit_bytes) {}

    template <class T>
    stream<T> operator()(stream<T> in) const {
        return detail::buffer(std::move(in), limit);
    }
    const char* name() const noexcept { return "buffered"; }

    std::size_t limit;
};

} // namespace headgate
