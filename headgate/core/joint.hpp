#pragma once

#include <headgate/core/flow.hpp>

#include <algorithm>

namespace headgate {

// Counts the bytes of an item for meters and limits: size() of what is made of bytes, sizeof otherwise. An overload for
// a type of your own is found by argument-dependent lookup.
template <class T>
std::size_t item_bytes(const T& item) noexcept {
    if constexpr (requires {
                      item.size();
                      requires sizeof(*item.data()) == 1;
                  })
        return item.size();
    else
        return sizeof(T);
}

// The meter at the joint behind one part of a chain: what passed, what is held there, and the part's clocks. `pipeline`
// makes them and streams keep them: two clock reads per pull. All else (live view, logs, the bottleneck verdict) is
// derived from these.
//
// A relay, which moves bytes without pulls, keeps the sink's alone, by the turn's clock: it has no clock reads of its
// own. What is not a write is then a wait for the source.
class joint : public place {
public:
    joint() { metered = true; }

    std::uint64_t items = 0;
    std::uint64_t bytes = 0;
    std::size_t held = 0;     // bytes the part keeps now, as it reports them with hold()
    std::size_t held_max = 0; // the most it ever kept
    std::size_t limit = 0;    // its bound, 0 if it states none
    time_point moved_at{};    // when the last item passed, by the turn's clock
    const char* name = "";

    // Time in pulls: this part, or one before it, at work or waiting.
    duration pulled(time_point now) const noexcept { return pulled_ + (pulling_ ? now - since_ : duration{}); }
    // Time between pulls: this part waiting for its consumer.
    duration waited(time_point now) const noexcept {
        return waited_ + (!pulling_ && begun_ ? now - since_ : duration{});
    }
    bool pulling() const noexcept { return pulling_; }
    // Whether the part has been pulled at all, and whether it has come to its end.
    bool begun() const noexcept { return begun_; }
    bool ended() const noexcept { return ended_; }
    // When the clocks were last read: at the begin or end of a pull.
    time_point looked_at() const noexcept { return since_; }

    // The time between pulls counts from now on.
    void begin(time_point now) noexcept {
        since_ = moved_at = now;
        begun_ = true;
    }
    void begin_pull() noexcept { begin_pull(executor::current().now()); }
    void begin_pull(time_point now) noexcept {
        if (begun_) waited_ += now - since_;
        since_ = now;
        begun_ = pulling_ = true;
    }
    void end_pull(std::size_t item) noexcept {
        stop(executor::current().now());
        moved(item);
    }
    // The end of a pull: of a relay's write.
    void stop(time_point now) noexcept {
        pulled_ += now - since_;
        since_ = now;
        pulling_ = false;
    }
    // Counts an item that passed by another way than a pull.
    void moved(std::size_t item) noexcept {
        ++items;
        bytes += item;
        moved_at = executor::current().turn_time();
    }
    // The end of the last pull, which gave nothing.
    void end() noexcept {
        stop(executor::current().now());
        ended_ = true;
    }
    void set_held(std::size_t n) noexcept {
        held = n;
        held_max = std::max(held_max, n);
    }

private:
    duration pulled_{};
    duration waited_{};
    time_point since_{};
    bool pulling_ = false;
    bool begun_ = false;
    bool ended_ = false;
};

// That a relay holds bytes, as long as it lives: it stands beside what it counts.
class held_bytes {
public:
    held_bytes(joint& at, std::size_t bytes) noexcept : at_(at) { at.set_held(bytes); }
    held_bytes(const held_bytes&) = delete;
    held_bytes& operator=(const held_bytes&) = delete;
    ~held_bytes() { at_.held = 0; }

private:
    joint& at_;
};

// Reports that the stage at `at` keeps `bytes` now, of at most `limit`. Does nothing where no pipeline looks.
inline void hold(place& at, std::size_t bytes, std::size_t limit = 0) noexcept {
    if (!at.metered) return;
    auto& j = static_cast<joint&>(at);
    j.limit = limit;
    j.set_held(bytes);
}

} // namespace headgate
