#pragma once

#include <cstdint>
#include <string>

namespace bench {

// Reads HTTP/1.1 responses from a socket, one after the other, and drops their bodies: those with a Content-Length
// without copying them from the kernel. Whatever is not a complete response with status 200 ends the program.
class response_reader {
public:
    // Reads what is there, once. Whether the response is complete now.
    bool read(int fd);
    // Of the last response, without framing.
    std::uint64_t body_bytes() const noexcept { return body_bytes_; }

private:
    enum class state { head, length, chunk_head, chunk_data, chunk_end, last_chunk };

    bool parse(const char* at, const char* end);
    bool parse_head(const char*& at, const char* end);
    bool parse_chunk_line(const char*& at, const char* end);
    bool skip(const char*& at, const char* end);
    bool complete() {
        state_ = state::head;
        return true;
    }

    state state_ = state::head;
    std::string line_; // the head, or a line of the chunked coding, as far as it has come
    std::uint64_t left_ = 0;
    std::uint64_t body_bytes_ = 0;
};

} // namespace bench
