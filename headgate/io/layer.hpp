#pragma once

#include <headgate/core/error.hpp>

#include <cstddef>
#include <optional>
#include <span>

#include <sys/uio.h>

namespace headgate {

// A protocol between a socket and its descriptor, TLS: the socket's operations ask it instead of the kernel. It belongs
// to the slot of the descriptor and is destroyed, without a word to the peer, when that is closed. No call waits: where
// there is nothing to read, or no room, it clears the slot's flag, and is asked again when the flag is set.
class socket_layer {
public:
    virtual ~socket_layer() = default;

    // At least one byte, or 0 at the peer's end; none yet if the slot is no longer readable. While it has more, or an
    // end or an error to tell, it keeps the slot readable, whatever the kernel says.
    virtual std::optional<result<std::size_t>> read(std::span<char> to) = 0;
    // Whether read() has anything to give. If not, the slot is no longer readable.
    virtual bool readable() = 0;

    struct written {
        bool all;   // the system has everything
        bool moved; // the system has more than before
    };
    // Takes bytes from the front of `from`, which then names what is left, until the system has all of them or has no
    // more room.
    virtual result<written> write(std::span<iovec>& from) = 0;
    // How much it has taken that the system has not.
    virtual std::size_t unsent() const noexcept = 0;
    // Gives the system as much of that as there is room for.
    virtual std::error_code flush() = 0;
    // Ends our direction, the descriptor's included. What there is no room for goes when there is.
    virtual std::error_code end() = 0;
};

} // namespace headgate
