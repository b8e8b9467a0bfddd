#pragma once

#include <headgate/core/chunk.hpp>
#include <headgate/core/stream.hpp>

namespace headgate {

struct lines_options {
    std::size_t line_bytes_max = 1024 * 1024; // of one line without its "\n"
};

// The stage that gives lines, each a chunk without its "\n" or "\r\n". What follows the last "\n" is a line too, unless
// it is empty. A line that lies in one chunk of the input shares its buffer; others are copied. A longer line than
// allowed fails with errc::limit_exceeded, whose detail says at which byte it begins.
class lines {
public:
    explicit lines(lines_options o = {}) noexcept : max_(o.line_bytes_max) {}

    stream<chunk> operator()(stream<chunk> in) const;
    const char* name() const noexcept { return "lines"; }

private:
    std::size_t max_;
};

} // namespace headgate
