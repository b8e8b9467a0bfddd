#pragma once

#include <headgate/core/joint.hpp>
#include <headgate/core/stream.hpp>

#include <algorithm>
#include <ostream>

namespace headgate::testing {

// Measures one queue from both of its ends: everything that a producer has given out and a consumer has not yet taken.
// The producer's side is a stream or a stage that the probe is put around, the consumer's a stage, or a sink that
// reports to it (slow_sink). It does not trust what the parts between say of themselves. Must outlive the chain. The
// test of backpressure is three lines:
//
//     probe queue;
//     run(pipeline(queue.producer(rows(1000)), slow_sink<row>(64, 10ms, queue)));
//     EXPECT_TRUE(queue.held_back(64)) << queue;
class probe {
public:
    std::size_t items = 0; // that the producer has given out
    std::size_t bytes = 0;
    std::size_t items_held = 0; // of these, not yet taken by the consumer
    std::size_t bytes_held = 0;
    std::size_t items_held_max = 0;
    std::size_t bytes_held_max = 0;
    std::size_t item_bytes_max = 0; // the largest item
    std::size_t pauses = 0;         // how often the producer was not asked for more for some time, in the middle
    duration paused{};              // how long in all, and the longest
    duration pause_max{};

    // Whether the queue never held more than `limit_bytes`, and the one item that is on its way to it; and whether the
    // producer was really stopped: a producer that is slower than its consumer shows nothing.
    bool held_back(std::size_t limit_bytes) const noexcept { return within(limit_bytes) && pauses != 0; }
    bool within(std::size_t limit_bytes) const noexcept { return bytes_held_max <= limit_bytes + item_bytes_max; }

    // The producer, watched.
    template <class T>
    stream<T> producer(stream<T> in) {
        return watch(std::move(in), this);
    }
    // A stage, watched from both sides, that gives out what it takes in. The producer is what is before it.
    template <class Stage>
    auto around(Stage stage) {
        return around_stage<Stage>{std::move(stage), this};
    }

    // What producers and consumers report.
    void gave(std::size_t item) noexcept {
        ++items;
        bytes += item;
        items_held_max = std::max(items_held_max, ++items_held);
        bytes_held_max = std::max(bytes_held_max, bytes_held += item);
        item_bytes_max = std::max(item_bytes_max, item);
    }
    void took(std::size_t item) noexcept {
        --items_held;
        bytes_held -= item;
    }

    friend std::ostream& operator<<(std::ostream& to, const probe& p) {
        const auto ms = [](duration d) { return std::chrono::duration_cast<std::chrono::milliseconds>(d).count(); };
        return to << p.items << " items (" << p.bytes << " bytes) passed; at most " << p.items_held_max << " items ("
                  << p.bytes_held_max << " bytes) were held; the producer paused " << p.pauses << " times, "
                  << ms(p.paused) << " ms in all, " << ms(p.pause_max) << " ms at the longest";
    }

private:
    template <class Stage>
    struct around_stage {
        Stage stage;
        probe* p;

        template <class T>
        auto operator()(stream<T> in) const {
            return taken(stage(watch(std::move(in), p)), p);
        }
        const char* name() const noexcept { return "probed stage"; }
    };

    template <class T>
    static stream<T> watch(stream<T> in, probe* p) {
        while (auto item = co_await in.next()) {
            p->gave(item_bytes(*item));
            const time_point given = executor::current().now();
            co_yield std::move(*item);
            p->asked_again(executor::current().now() - given);
        }
    }
    template <class T>
    static stream<T> taken(stream<T> in, probe* p) {
        while (auto item = co_await in.next()) {
            p->took(item_bytes(*item));
            co_yield std::move(*item);
        }
    }
    void asked_again(duration after) noexcept {
        if (after <= duration::zero()) return;
        ++pauses;
        paused += after;
        pause_max = std::max(pause_max, after);
    }
};

} // namespace headgate::testing
