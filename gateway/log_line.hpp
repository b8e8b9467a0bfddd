#pragma once

#include <span>
#include <string>

#include <gateway/access_log.hpp>
#include <gateway/observe/live_flow.hpp>
#include <gateway/options.hpp>
#include <gateway/tell.hpp>

namespace headgate::gateway {

// What a line of the access log is made of.
struct log_record {
    const flow_facts& facts;
    const live_flow* flow = nullptr; // null: it ended before it was one
    std::size_t worker = 0;
    bool interim = false; // it goes on
};

// Appends a line for it. Allocates nothing but what `out` needs.
//
// Text, for people and for grep:
// "2026-11-22T13:45:01.123Z 200 GET /path client=... upstream=... up=0 down=1234 ms=12.345 end=complete id=..."
//
// JSON: an object whose keys are those of docs/access-log.md. What is not known is null.
void append_text_line(std::string& out, const log_record& r, std::span<const std::string> redacted);
void append_json_line(std::string& out, const log_record& r, std::span<const std::string> redacted);

// Writes the line that says how many lines were dropped; gives its size.
std::size_t write_dropped(std::span<char, 200> to, log_format format, std::uint64_t lines) noexcept;

// The least level at which what has ended in this way has a line. What has not ended has one at all that show all.
log_level level_of(const flow_facts& f) noexcept;

} // namespace headgate::gateway
