#pragma once

#include <headgate/core/chunk.hpp>
#include <headgate/core/stream.hpp>

namespace headgate {

struct gzip_options {
    int level = 1; // 0 to 9, as for gzip(1). 1 is by far the fastest (ISA-L); the others are zlib's
    // Whether all that came in is given on (a sync flush) whenever there is nothing more to be had at once, as what is
    // watched while it comes needs it. Costs a few bytes each time.
    bool flush_when_idle = false;
};

// The stage that compresses to gzip (RFC 1952): one member, in chunks of 64 KiB. The trailer is written when the source
// has ended, so what comes out of a chain that failed is never a valid file. Keeps about 430 KB (level 1) or 330 KB.
class gzip {
public:
    // Throws std::invalid_argument if there is no such level.
    explicit gzip(gzip_options o = {});

    stream<chunk> operator()(stream<chunk> in) const;
    const char* name() const noexcept { return "gzip"; }

private:
    int level_;
    bool flush_when_idle_;
};

// The stage that decompresses gzip: one member or several, and nothing else. What is cut short fails with
// errc::premature_close, anything that is not gzip with errc::protocol; both say at which byte. Gives on at once what
// it can; a chunk has at most 64 KiB, but there is no limit to what a small input may grow to in all. Keeps
// about 110 KB.
class gunzip {
public:
    stream<chunk> operator()(stream<chunk> in) const;
    const char* name() const noexcept { return "gunzip"; }
};

} // namespace headgate
