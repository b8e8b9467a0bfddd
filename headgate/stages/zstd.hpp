#pragma once

#include <headgate/core/chunk.hpp>
#include <headgate/core/stream.hpp>

namespace headgate {

struct zstd_options {
    int level = 3;                // 1 to 19
    int window_log = 0;           // how far back it looks: 1 << this bytes, 10 to 27; 0 for what the level has
    bool flush_when_idle = false; // as for gzip
};

// The stage that compresses to Zstandard (RFC 8878): one frame with a checksum, in chunks of 64 KiB. The frame is ended
// when the source has ended. What it keeps grows with the level: 3.7 MB at 3, 94 MB at 19.
class zstd {
public:
    // Throws std::invalid_argument if there is no such level.
    explicit zstd(zstd_options o = {});

    stream<chunk> operator()(stream<chunk> in) const;
    const char* name() const noexcept { return "zstd"; }

private:
    zstd_options options_;
};

struct unzstd_options {
    int window_log_max = 23; // refuses a frame that needs a window of more than 1 << this; RFC 8878 asks for 23 (8 MiB)
};

// The stage that decompresses Zstandard: one frame or several, and nothing else. Errors and bounds are as for gunzip.
class unzstd {
public:
    explicit unzstd(unzstd_options o = {}) noexcept : window_log_max_(o.window_log_max) {}

    stream<chunk> operator()(stream<chunk> in) const;
    const char* name() const noexcept { return "unzstd"; }

private:
    int window_log_max_;
};

} // namespace headgate
