#pragma once

#include <headgate/core/timer.hpp>
#include <headgate/io/loop.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace headgate {

// Bounds what the kernel holds of one stream that is slower than its source. The kernel's own buffers grow while data
// comes, whether anybody takes it or not: behind a consumer that stands still, tens of megabytes (tcp_rmem, tcp_wmem).
//
// A stream of some size begins with small bounds: on the receive buffer of its source, and on what waits unsent at its
// sink. They are lifted when the sink has kept up for 8 MiB or a quarter of a second, at tens of megabytes per
// second or at whatever the source gives, and come back when it keeps the stream waiting. So what has been fast and
// then stands still holds what its source had been offered until then: that cannot be taken back, but is not offered
// again as it is taken (if the kernel tells what it has offered: Linux 6.2).
//
// Costs nothing for a stream of less than `begin_after`. Where the kernel cannot lock and unlock a receive buffer
// (SO_BUF_LOCK, Linux 5.16), only the sink is bounded. Takes the bounds back when destroyed: a connection is reused
// without them. On sockets that are not TCP it has no effect.
class kernel_share {
public:
    static constexpr std::size_t begin_after = 32 * 1024;
    // How long one wait for room may last before the sink counts as slow.
    static constexpr duration patience = std::chrono::milliseconds(50);

    // `bytes_max`: of both sockets, and of the pipe between them; 0 for no bounds.
    explicit kernel_share(std::size_t bytes_max) noexcept : bytes_max_(bytes_max) {}
    kernel_share(kernel_share&& o) noexcept
        : bytes_max_(std::exchange(o.bytes_max_, 0)), moved_(o.moved_), waited_(o.waited_), fast_since_(o.fast_since_),
          kept_up_(o.kept_up_), from_(std::exchange(o.from_, {})), to_(std::exchange(o.to_, {})),
          is_(std::exchange(o.is_, pace::unknown)), grown_(o.grown_) {}
    kernel_share& operator=(kernel_share&&) = delete;
    ~kernel_share() { end(); }

    // Where the stream comes from, if that is a socket. Before anything has moved.
    void set_source(slot& from) noexcept { from_ = {&from, from.generation}; }

    // `bytes` were moved to the sink, which was waited for so long.
    void moved(slot& to, std::size_t bytes, duration waited) noexcept {
        if (bytes_max_ == 0) return;
        moved_ += bytes;
        waited_ += waited;
        if (grown_ && is_ == pace::slow) bound_source();
        if (moved_ >= (is_ == pace::unknown ? begin_after : judged_after)) judge(to);
    }

    // Whether a wait for the sink that lasts longer than `patience` is to be told by too_slow().
    bool impatient() const noexcept { return is_ == pace::wary || is_ == pace::fast; }
    void too_slow() noexcept;

    // The most to be moved at once.
    std::size_t slice() const noexcept;

private:
    enum class pace : std::uint8_t { unknown, wary, fast, slow };
    struct watched {
        slot* at = nullptr;
        std::uint32_t generation = 0; // it may be closed meanwhile
    };
    static constexpr std::size_t judged_after = 1024 * 1024;

    void judge(slot& to) noexcept;
    void bound() noexcept;
    void bound_source() noexcept;
    void lift() noexcept;
    void let_source_go() noexcept;
    bool source_is_open() const noexcept { return from_.at && from_.at->generation == from_.generation; }
    void end() noexcept;
    void begin_proof(time_point now) noexcept {
        fast_since_ = now;
        kept_up_ = 0;
    }

    std::size_t bytes_max_;
    std::size_t moved_ = 0; // since it was judged last
    duration waited_{};     // for the sink, in that
    time_point fast_since_{};
    std::size_t kept_up_ = 0; // bytes, since then
    watched from_;
    watched to_;
    pace is_ = pace::unknown;
    bool grown_ = false; // the source's buffer is larger than it should be
};

} // namespace headgate
