#pragma once

#include <headgate/core/chunk.hpp>
#include <headgate/core/stream.hpp>
#include <headgate/io/disk_quota.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>

namespace headgate {

// What spools keep, and how their disk does. One may be given to any number of spools of one thread; it then has their
// sums. It must outlive them.
struct spool_usage {
    std::size_t memory = 0;     // bytes kept in memory now, with those on their way to and from the disk
    std::size_t memory_max = 0; // the most there ever were
    std::size_t disk = 0;       // bytes kept in files now
    std::size_t disk_max = 0;
    std::uint64_t spilled = 0;  // bytes written to files, in all
    std::uint64_t refusals = 0; // how often a file could not be made or written
    std::error_code refusal;    // why, the last time
    std::uint64_t waits = 0;    // how often a quota had no room for what was to be written
};

struct spool_options {
    std::string folder;           // where the file is made; if empty, $TMPDIR, or /var/tmp if that is not set
    spool_usage* usage = nullptr; // where to count
    // What it may take on disk together with others; null for no limit. It outlives the spools; what they have counted
    // may outlive it.
    const disk_quotas* quotas = nullptr;
};

// A stage that reads ahead of its consumer, into memory up to `memory_limit` bytes and then into a file up to
// `disk_limit` bytes. When both are full its source waits. The source is released when it has ended, however slowly the
// consumer takes what is kept: `pipeline(db::query(pool, sql), &format_csv, spooled(8 << 20, 1 << 30), response)` holds
// its database connection no longer than the query takes. All bytes come out in their order; how they are cut into
// chunks may change.
//
// It ends like `buffered`: when the source fails, the chain fails at once, and what is kept then is not delivered any
// more.
//
// Memory: on top of `memory_limit`, which is at least `memory_min`, comes one item of the source at the most, and one
// piece, a quarter of the limit but at most 256 KiB, if the consumer takes the last of the memory while the disk is
// full. The limit is of bytes; small chunks are packed, so that their buffers take about twice as much at the most.
//
// Disk: the file is made when memory is full for the first time. It has no name, is never larger than `disk_limit`, and
// gives back what has been read where the file system can punch holes. It is closed when the source has ended and all
// of it has been read. If it cannot be made or written (no descriptor, no space, no permission, whatever the reason),
// that is no failure: the spool does with its memory, and tries the disk again, if it needs it, after a second; what
// has been written stays. If the file cannot be read, the flow fails with the system's error.
//
// Quotas count what the file takes on disk, in whole blocks, from before it is written until it is given back; where
// the file system cannot punch holes that is when the file is empty, or closed. A quota without room is like a full
// disk, but it is looked at again after `quota_pause`, or when this spool has given something back.
//
// All calls to the disk go through `offload`. When the spool is dropped while one runs, that call ends alone and closes
// the file. Closing a file frees its blocks, which takes the longer the more of it there is.
class spooled {
public:
    static constexpr std::size_t memory_min = 16 * 1024;
    static constexpr duration quota_pause = std::chrono::milliseconds(100);

    spooled(std::size_t memory_limit_bytes, std::size_t disk_limit_bytes, spool_options o = {});

    stream<chunk> operator()(stream<chunk> in) const;
    const char* name() const noexcept { return "spooled"; }

private:
    std::size_t memory_limit_;
    std::size_t disk_limit_;
    spool_options options_;
};

} // namespace headgate
