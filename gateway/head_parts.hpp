#pragma once

#include <headgate/core/chunk.hpp>
#include <headgate/http/writer.hpp>

#include <cstddef>
#include <string_view>

#include <gateway/header_edits.hpp>

// What all heads that headgate writes have in common.
namespace headgate::gateway {

inline constexpr std::string_view via = "1.1 headgate";

// The head that `write(http::head_writer&)` writes, in a chunk with room for so many bytes. Empty if there was no room
// for it, or a field could not be written.
template <class Write>
chunk write_head(std::size_t room, Write write) {
    chunk out(room);
    http::head_writer w(out.bytes());
    write(w);
    const std::size_t size = w.end();
    out.truncate(size);
    return out;
}

// Whether the edits remove or replace the fields of that name. In this and the next two they may be null.
bool edited(const header_edits* edits, std::string_view name);

// Writes the fields that the edits set and add: all but what `after` edits again.
void add_edits(http::head_writer& w, const header_edits* edits, const header_edits* after = nullptr);

// How many bytes add_edits() writes at the most.
std::size_t bytes_of(const header_edits* edits);

// Writes the Connection of a response, if there must be one for the client to know what becomes of the connection.
void add_persistence(http::head_writer& w, bool persistent, int client_minor);

} // namespace headgate::gateway
