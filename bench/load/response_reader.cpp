#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <sys/socket.h>

#include <bench/load/net.hpp>
#include <bench/load/response_reader.hpp>

namespace bench {

bool response_reader::read(int fd) {
    static std::array<char, 256 * 1024> buffer;
    if (state_ == state::length) { // nothing to look at: the kernel drops it
        const ssize_t n = ::recv(fd, nullptr, std::min<std::uint64_t>(left_, 4 * 1024 * 1024), MSG_TRUNC);
        if (n < 0 && errno == EAGAIN) return false;
        if (n <= 0) die("a response body was cut");
        left_ -= static_cast<std::uint64_t>(n);
        return left_ == 0 && complete();
    }
    const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EAGAIN) return false;
    if (n <= 0) die("a connection was closed before the end of a response");
    return parse(buffer.data(), buffer.data() + n);
}

bool response_reader::parse(const char* at, const char* end) {
    while (at != end) {
        bool done = false;
        switch (state_) {
        case state::head: done = parse_head(at, end); break;
        case state::chunk_head:
        case state::chunk_end:
        case state::last_chunk: done = parse_chunk_line(at, end); break;
        case state::length:
        case state::chunk_data: done = skip(at, end); break;
        }
        if (done) {
            if (at != end) die("bytes after the end of a response");
            return true;
        }
    }
    return false;
}

bool response_reader::parse_head(const char*& at, const char* end) {
    const std::size_t before = line_.size();
    line_.append(at, end);
    const auto found = line_.find("\r\n\r\n");
    if (found == line_.npos) {
        at = end;
        return false;
    }
    at += found + 4 - before;
    line_.resize(found + 2);
    errno = 0;
    if (!line_.starts_with("HTTP/1.1 200 ")) die("a response says " + line_.substr(0, line_.find('\r')));
    body_bytes_ = 0;
    if (::strcasestr(line_.c_str(), "\r\ntransfer-encoding: chunked\r\n")) {
        state_ = state::chunk_head;
    } else {
        const char* field = ::strcasestr(line_.c_str(), "\r\ncontent-length:");
        if (!field) die("a response has no length");
        left_ = body_bytes_ = std::strtoull(field + std::strlen("\r\ncontent-length:"), nullptr, 10);
        state_ = state::length;
    }
    line_.clear();
    return state_ == state::length && left_ == 0 && complete();
}

// A chunk's size, the empty line after its data, or the empty line after the last chunk.
bool response_reader::parse_chunk_line(const char*& at, const char* end) {
    const auto* newline = static_cast<const char*>(std::memchr(at, '\n', static_cast<std::size_t>(end - at)));
    const char* stop = newline ? newline + 1 : end;
    line_.append(at, stop);
    at = stop;
    if (!newline) return false;
    errno = 0;
    if (state_ == state::chunk_head) {
        left_ = std::strtoull(line_.c_str(), nullptr, 16);
        if (left_ == 0 && !line_.starts_with('0')) die("not a chunk: " + line_.substr(0, 20));
        body_bytes_ += left_;
        state_ = left_ != 0 ? state::chunk_data : state::last_chunk;
        line_.clear();
        return false;
    }
    if (line_ != "\r\n") die("not the end of a chunk: " + line_.substr(0, 20));
    line_.clear();
    if (state_ == state::last_chunk) return complete();
    state_ = state::chunk_head;
    return false;
}

bool response_reader::skip(const char*& at, const char* end) {
    const auto n = std::min<std::uint64_t>(left_, static_cast<std::uint64_t>(end - at));
    at += n;
    left_ -= n;
    if (left_ != 0) return false;
    if (state_ == state::length) return complete();
    state_ = state::chunk_end;
    return false;
}

} // namespace bench
