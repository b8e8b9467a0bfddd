#pragma once

#include <headgate/flow/pipeline.hpp>
#include <headgate/io/pace.hpp>
#include <headgate/io/pipe_pool.hpp>
#include <headgate/io/socket.hpp>

#include <cstdint>
#include <limits>

namespace headgate {

// Limits of moving bytes from one socket to another.
struct relay_limits {
    std::uint64_t bytes_max = std::numeric_limits<std::uint64_t>::max(); // stop after so many
    std::size_t buffer_bytes = 64 * 1024; // the most that is held in memory while copying
    pace_limits source{};                 // how slowly it may come
    pace_limits sink{};                   // how slowly it may be taken
    pipe_pool* pipes = nullptr;           // without one, all is copied
    byte_rate* rate = nullptr;            // how fast it may be moved; null: as fast as it goes
    std::uint64_t* total = nullptr;       // counts what has passed, as it passes

    duration pause() const noexcept { return rate ? rate->pause() : duration::zero(); }
    std::size_t slice() const noexcept { return rate ? rate->slice() : std::numeric_limits<std::size_t>::max(); }
};

// What a flow fails with when an operation on one of its sockets has: a limit without progress is errc::idle there.
inline std::error_code idle_if_timed_out(std::error_code e) noexcept {
    return e == errc::timed_out ? make_error_code(errc::idle) : e;
}

// Moves bytes from `from` to `to` until the end of `from` or `bytes_max`, and counts them in `out`. Small messages are
// copied through a buffer that is borrowed only while bytes are in it; after two full buffers in a row the kernel moves
// them (splice(2)), until reads come small again; not from or to a socket with TLS. Fails the flow with the side that
// failed: the system's error, or errc::idle. Gives how many bytes it moved.
task<std::uint64_t> relay_bytes(socket& from, socket& to, relay_limits limits, joint& out);

// One direction of a tunnel as the two ends of a pipeline, over sockets that outlive it. A clean end is passed on as a
// half-close.
struct tunnel_source {
    socket* from;
    relay_limits limits;
    const char* name() const noexcept { return "socket"; }
};
struct tunnel_sink {
    socket* to;
    const char* name() const noexcept { return "socket"; }
};
task<> relay(tunnel_source source, tunnel_sink sink, joint& out, detail::chain_limits& limits);

} // namespace headgate
