#pragma once

#include <headgate/io/socket.hpp>

#include <algorithm>
#include <cassert>
#include <cstring>

namespace headgate::http {

// What has come in on a connection and has not been used yet. Holds a buffer only while there are bytes in it, so an
// idle connection costs none.
class inbound {
public:
    std::string_view bytes() const noexcept { return {buffer_.data() + begin_, end_ - begin_}; }
    bool empty() const noexcept { return begin_ == end_; }

    // The bytes at the front have been used. The buffer goes back to its pool with the last of them.
    void consume(std::size_t n) noexcept {
        begin_ += n;
        assert(begin_ <= end_);
        if (empty()) release();
    }
    void release() noexcept {
        buffer_ = chunk();
        begin_ = end_ = 0;
    }

    // Room behind the bytes, to read into; at least one byte. Takes a buffer of `capacity` bytes if there is none.
    // Bytes that are there stay where they are, unless there is no room behind them: then they move, to a buffer of
    // `capacity` bytes if need be.
    std::span<char> room(std::size_t capacity) {
        if (buffer_.capacity() == 0) {
            buffer_ = chunk(capacity);
        } else if (end_ == buffer_.size()) {
            move_to(std::max(capacity, 2 * (end_ - begin_)));
        }
        return buffer_.bytes().subspan(end_);
    }
    void received(std::size_t n) noexcept { end_ += n; }

    // Makes sure that a message of `capacity` bytes that starts with the first byte fits without being moved.
    void make_contiguous(std::size_t capacity) {
        if (buffer_.capacity() != 0 && buffer_.size() - begin_ < capacity) move_to(capacity);
    }

    // Whether there is no room behind the bytes.
    bool full() const noexcept { return end_ == buffer_.size() && !empty(); }

    // The bytes from `at` (which lies in bytes()), sharing the buffer.
    chunk share(std::string_view at) const noexcept {
        return buffer_.slice(static_cast<std::size_t>(at.data() - buffer_.data()), at.size());
    }
    // Keeps the buffer as it is for as long as the result lives, whatever is consumed.
    chunk hold() const noexcept { return buffer_; }

private:
    void move_to(std::size_t capacity) {
        chunk wider(capacity);
        std::memcpy(wider.data(), buffer_.data() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
        buffer_ = std::move(wider);
    }

    chunk buffer_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

} // namespace headgate::http
